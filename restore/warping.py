"""Pictures moved along a flow, each fast path beside its reference.

Interpolation decides what averaging frames is worth: every moved frame loses detail to its kernel, and the average
of several loses it for good. So a frame is first put on a grid twice as fine by a long kernel, once, and moved from
there. Measured on codec material (gain over Lanczos after fusing six neighbours): bicubic 0.18 dB, 8-tap Lanczos
0.20, this 0.21, at the cost of bicubic.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Field = NDArray[np.float32]
"""(H, W, 2): displacement in samples, x then y. Or (H, W): one value for each sample."""


def grid(height: int, width: int) -> tuple[Field, Field]:
    """x (1, W) and y (H, 1)."""
    x = np.arange(width, dtype=np.float32)[None]
    return x, np.arange(height, dtype=np.float32)[:, None]


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, 2, h, w) -> (1, 2, H, W): bilinear, vectors scaled to the new grid."""
    height, width = flow.shape[-2:]
    if (height, width) == size:
        return flow
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
    x, y = grid(height, width)
    for n in range(len(plane)):
        across = flow[n, 0].float().numpy() + x
        down = flow[n, 1].float().numpy() + y
        for c in range(plane.shape[1]):
            image = plane[n, c].float().contiguous().numpy()
            done = cv2.remap(image, across, down, how, borderMode=cv2.BORDER_REPLICATE)
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


MARGIN = 2
"""Samples of repeated edge around a refined plane, so that the kernel finds its neighbours at the edges."""
_HALF = torch.tensor(
    [-0.0126302, 0.0597641, -0.1660114, 0.6188774, 0.6188774, -0.1660114, 0.0597641, -0.0126302]
)
"""Lanczos-4 windowed sinc half-way between samples."""


def refine(plane: Tensor) -> Tensor:
    """(1, 1, H, W) float32 -> (1, 1, 2 * (H + 2 * MARGIN), 2 * (W + 2 * MARGIN)): sample (y, x) comes to lie at
    (2 * (y + MARGIN), 2 * (x + MARGIN)), the new ones between by 8-tap Lanczos; edges repeat."""
    if plane.device.type == "cpu":
        return torch.from_numpy(_refine_cv2(plane[0, 0].contiguous().numpy()))[None, None]
    return refine_reference(plane)


def refine_reference(plane: Tensor) -> Tensor:
    """`refine`, on any device."""
    taps = _HALF.to(plane)
    count = len(taps)
    pad, before, after = MARGIN, count // 2 - 1, count // 2
    x = F.pad(plane, (pad, pad, pad, pad), "replicate")
    between = F.conv2d(F.pad(x, (before, after, 0, 0), "replicate"), taps.view(1, 1, 1, -1))
    rows = torch.stack((x, between), -1).flatten(-2)
    between = F.conv2d(F.pad(rows, (0, 0, before, after), "replicate"), taps.view(1, 1, -1, 1))
    return torch.stack((rows, between), -2).flatten(-3, -2)


def _refine_cv2(plane: Field) -> Field:
    taps, none = _HALF.numpy(), np.ones(1, np.float32)
    first = len(taps) // 2 - 1
    x = cv2.copyMakeBorder(plane, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)

    def between(source: Any, horizontal: bool) -> Any:
        across, down = (taps, none) if horizontal else (none, taps)
        anchor = (first, 0) if horizontal else (0, first)
        edge = cv2.BORDER_REPLICATE
        return cv2.sepFilter2D(source, cv2.CV_32F, across, down, anchor=anchor, borderType=edge)

    fine = np.empty((2 * x.shape[0], 2 * x.shape[1]), np.float32)
    across = between(x, True)
    fine[::2, ::2], fine[::2, 1::2] = x, across
    fine[1::2, ::2], fine[1::2, 1::2] = between(x, False), between(across, False)
    return fine


def warp_refined(fine: Tensor, flow: Tensor) -> Tensor:
    """The plane that `refine` was given, moved: out(p) = plane(p + flow(p)); flow (1, 2, H, W) -> (1, 1, H, W).
    Edges repeat. On the CPU positions are rounded to 1/64 sample."""
    if fine.device.type == "cpu":
        moved = _warp_cv2(fine[0, 0].numpy(), flow[0].permute(1, 2, 0).numpy())
        return torch.from_numpy(moved)[None, None]
    return warp_refined_reference(fine, flow)


def warp_refined_reference(fine: Tensor, flow: Tensor) -> Tensor:
    """`warp_refined`, on any device."""
    height, width = flow.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=torch.float32).view(1, -1, 1)
    x = torch.arange(width, device=flow.device, dtype=torch.float32).view(1, 1, -1)
    x = (x + flow[:, 0]).clamp(0, width - 1)
    y = (y + flow[:, 1]).clamp(0, height - 1)
    grid = torch.stack(
        (
            4 * (x + MARGIN) / (fine.shape[-1] - 1) - 1,
            4 * (y + MARGIN) / (fine.shape[-2] - 1) - 1,
        ),
        -1,
    )
    return F.grid_sample(fine, grid, "bicubic", "border", align_corners=True)


def _warp_cv2(fine: Field, flow: Field) -> Any:
    height, width = flow.shape[:2]
    x, y = grid(height, width)
    x, y = x + flow[..., 0], y + flow[..., 1]
    for axis, length in ((x, width), (y, height)):
        np.clip(axis, 0, length - 1, out=axis)
        axis += MARGIN
        axis *= 2
    return cv2.remap(fine, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
