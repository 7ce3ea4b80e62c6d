"""Pictures moved along a flow, each fast path beside its reference.

Interpolation decides what averaging frames is worth: every moved frame loses detail to its kernel, and the average
of several loses it for good. So a frame is first put on a grid twice as fine by a long kernel, once, and moved from
there. Measured on codec material (gain over Lanczos after fusing six neighbours): bicubic 0.18 dB, 8-tap Lanczos
0.20, this 0.21, at the cost of bicubic.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Field = NDArray[np.float32]
"""(H, W, 2): displacement in samples, x then y. Or (H, W): one value for each sample."""


@lru_cache(maxsize=8)
def grid(height: int, width: int) -> Field:
    """(H, W, 2): the place of each sample, x then y. Not to be written to."""
    places = np.empty((height, width, 2), np.float32)
    places[..., 0] = np.arange(width, dtype=np.float32)
    places[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    return places


def as_field(planes: Tensor) -> Field:
    """(1, C, H, W) on the CPU -> (H, W, C), the same memory where it lies so."""
    return np.ascontiguousarray(planes[0].permute(1, 2, 0).numpy(), np.float32)


def as_flow(field: Field) -> Tensor:
    """(H, W, C) -> (1, C, H, W), the same memory."""
    return torch.from_numpy(field).permute(2, 0, 1)[None]


def remap(picture: Any, places: Any, how: int) -> Any:
    """What an (H, W) or (H, W, C) picture shows at `places` (h, w, 2), x then y; edges repeat."""
    second: Any = None  # of maps in two parts; the type stubs do not know that it may be missing
    return cv2.remap(picture, places, second, how, borderMode=cv2.BORDER_REPLICATE)


def enlarged(flow: Field, size: tuple[int, int]) -> Field:
    """(h, w, 2) -> (H, W, 2): bilinear, vectors scaled to the new grid."""
    height, width = flow.shape[:2]
    big: Any = cv2.resize(flow, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    across, down = size[1] / width, size[0] / height
    if across == down:
        big *= np.float32(across)
    else:
        big *= np.array([across, down], np.float32)
    return np.asarray(big, np.float32)


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, 2, h, w) -> (1, 2, H, W): bilinear, vectors scaled to the new grid."""
    height, width = flow.shape[-2:]
    if (height, width) == size:
        return flow
    if flow.device.type == "cpu" and not flow.requires_grad:
        return as_flow(enlarged(as_field(flow), size))
    scaled = F.interpolate(flow, size, mode="bilinear", align_corners=False)
    ratio = scaled.new_tensor([size[1] / width, size[0] / height])
    return scaled * ratio.view(1, 2, 1, 1)


def warp(plane: Tensor, flow: Tensor, mode: Literal["bilinear", "bicubic"] = "bicubic") -> Tensor:
    """out(p) = plane(p + flow(p)). (N, C, H, W), (N, 2, H, W) -> (N, C, H, W); edges repeat.
    On a CPU OpenCV does it (bicubic a = -0.75, as in PyTorch); `warp_reference` is what it must equal."""
    if plane.device.type != "cpu":
        return warp_reference(plane, flow, mode)
    height, width = plane.shape[-2:]
    how = cv2.INTER_CUBIC if mode == "bicubic" else cv2.INTER_LINEAR
    moved = torch.empty_like(plane, dtype=torch.float32)
    for n in range(len(plane)):
        places: Any = cv2.add(as_field(flow[n : n + 1].float()), grid(height, width))
        for c in range(plane.shape[1]):
            image = plane[n, c].float().contiguous().numpy()
            done = remap(image, places, how)
            moved[n, c] = torch.from_numpy(np.asarray(done))
    return moved.to(plane.dtype)


def warp_reference(
    plane: Tensor, flow: Tensor, mode: Literal["bilinear", "bicubic"] = "bicubic"
) -> Tensor:
    """`warp` in PyTorch, on any device."""
    height, width = plane.shape[-2:]
    y = torch.arange(height, device=plane.device, dtype=torch.float32).view(1, -1, 1)
    x = torch.arange(width, device=plane.device, dtype=torch.float32).view(1, 1, -1)
    flow = flow.float()
    grid = torch.stack(
        (
            (2 * (x + flow[:, 0]) + 1) / width - 1,
            (2 * (y + flow[:, 1]) + 1) / height - 1,
        ),
        -1,
    )
    moved = F.grid_sample(plane.float(), grid, mode, "border", align_corners=False)
    return moved.to(plane.dtype)


_HALF = torch.tensor(
    [-0.0126302, 0.0597641, -0.1660114, 0.6188774, 0.6188774, -0.1660114, 0.0597641, -0.0126302]
)
"""Lanczos-4 windowed sinc half-way between samples."""


def refine(plane: Tensor) -> Tensor:
    """(1, 1, H, W) float32 -> (1, 1, 2H - 1, 2W - 1): sample (y, x) comes to lie at (2y, 2x), the new ones between by 8-tap
    Lanczos; edges repeat."""
    if plane.device.type == "cpu":
        return torch.from_numpy(_refine_cv2(plane[0, 0].contiguous().numpy()))[None, None]
    return refine_reference(plane)


def refine_reference(plane: Tensor) -> Tensor:
    """`refine`, on any device."""
    taps = _HALF.to(plane)
    before, after = len(taps) // 2 - 1, len(taps) // 2
    between = F.conv2d(F.pad(plane, (before, after, 0, 0), "replicate"), taps.view(1, 1, 1, -1))
    rows = torch.stack((plane, between), -1).flatten(-2)
    between = F.conv2d(F.pad(rows, (0, 0, before, after), "replicate"), taps.view(1, 1, -1, 1))
    return torch.stack((rows, between), -2).flatten(-3, -2)[..., :-1, :-1]


def _refine_cv2(plane: Field) -> Field:
    (height, width), taps, edge = plane.shape, _HALF.numpy(), cv2.BORDER_REPLICATE
    first = len(taps) // 2 - 1
    between = cv2.filter2D(plane, cv2.CV_32F, taps[None], anchor=(first, 0), borderType=edge)
    rows: Any = cv2.merge((plane, between)).reshape(height, 2 * width)
    fine = np.empty((2 * height, 2 * width), np.float32)
    fine[::2] = rows
    cv2.filter2D(rows, cv2.CV_32F, taps[:, None], fine[1::2], (0, first), borderType=edge)
    return fine[:-1, :-1]


def warp_refined(fine: Tensor, flow: Tensor) -> Tensor:
    """The plane that `refine` was given, moved: out(p) = plane(p + flow(p)); flow (1, 2, H, W) -> (1, 1, H, W).
    Edges repeat. On the CPU positions are rounded to 1/64 sample."""
    if fine.device.type == "cpu":
        moved = _warp_cv2(fine[0, 0].numpy(), as_field(flow))
        return torch.from_numpy(moved)[None, None]
    return warp_refined_reference(fine, flow)


def warp_refined_reference(fine: Tensor, flow: Tensor) -> Tensor:
    """`warp_refined`, on any device."""
    height, width = flow.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=torch.float32).view(1, -1, 1)
    x = torch.arange(width, device=flow.device, dtype=torch.float32).view(1, 1, -1)
    x, y = x + flow[:, 0], y + flow[:, 1]
    grid = torch.stack(
        (
            (4 * x + 1) / fine.shape[-1] - 1,
            (4 * y + 1) / fine.shape[-2] - 1,
        ),
        -1,
    )
    return F.grid_sample(fine, grid, "bicubic", "border", align_corners=False)


def _warp_cv2(fine: Field, flow: Field) -> Any:
    places: Any = cv2.scaleAdd(flow, 2.0, _fine_grid(*flow.shape[:2]))
    return remap(fine, places, cv2.INTER_CUBIC)


@lru_cache(maxsize=8)
def _fine_grid(height: int, width: int) -> Field:
    """(H, W, 2): where the samples of a plane lie in its refined one. Not to be written to."""
    return 2 * grid(height, width)
