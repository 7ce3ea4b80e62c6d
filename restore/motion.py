"""Motion as a service: one estimate per pair of frames, shared by every stage; warp and confidence."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.options import Options
from restore.planes import gaussian_blur
from restore.video import FrameInfo


class MotionOptions(Options):
    """Table [motion]: how motion between frames is estimated."""

    method: Literal["dis"] = "dis"
    """Estimator: dis = dense inverse search (Kroeger et al. 2016), on the source luma."""
    preset: Literal["ultrafast", "fast", "medium"] = "fast"
    """Speed against accuracy of the estimator."""


class MotionService:
    """Flow between frames of one stream, computed once on the source luma, on demand."""

    def __init__(self, options: MotionOptions, device: torch.device) -> None:
        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._dis = cv2.DISOpticalFlow.create(presets[options.preset])
        self._device = device
        self._luma: dict[int, np.ndarray] = {}
        self._flows: dict[tuple[int, int], Tensor] = {}

    def add(self, frames: tuple[FrameInfo, ...], luma: Tensor) -> None:
        """Take the source luma, (T, 1, H, W) nominal, of frames about to enter the chain."""
        codes = (luma.float() * 219 + 16).round().clamp_(0, 255).to(torch.uint8).cpu().numpy()
        for info, plane in zip(frames, codes, strict=True):
            self._luma[info.index] = plane[0]

    def forget(self, before: int) -> None:
        """Drop everything about frames with a smaller index."""
        for index in [i for i in self._luma if i < before]:
            del self._luma[index]
        for pair in [p for p in self._flows if min(p) < before]:
            del self._flows[pair]

    def flow(self, target: int, reference: int, size: tuple[int, int]) -> Tensor:
        """See restore.video.Motion. KeyError for a frame that was never added or is forgotten."""
        return resize_flow(self._flow(target, reference).to(self._device), size)

    def _flow(self, target: int, reference: int) -> Tensor:
        """(1, 2, h, w) at the source's size. Only neighbours are estimated; longer motion is composed of theirs:
        half the work, and small displacements are estimated better than large ones."""
        found = self._flows.get((target, reference))
        if found is None:
            step = 1 if reference > target else -1
            if abs(reference - target) <= 1:
                found = self._estimate(self._luma[target], self._luma[reference])
            else:
                first = self._flow(target, reference - step)
                found = first + warp(self._flow(reference - step, reference), first, "bilinear")
            self._flows[target, reference] = found
        return found

    def _estimate(self, target: np.ndarray, reference: np.ndarray) -> Tensor:
        height, width = target.shape
        if target is reference:
            return torch.zeros(1, 2, height, width)
        # DIS needs a pyramid: below 16 samples a side it refuses, so tiny planes are padded.
        down, across = max(0, 16 - height), max(0, 16 - width)
        if down or across:
            pad = ((0, down), (0, across))
            target, reference = np.pad(target, pad, "edge"), np.pad(reference, pad, "edge")
        empty = np.zeros((*target.shape, 2), np.float32)
        field = np.asarray(self._dis.calc(target, reference, empty), np.float32)
        return torch.from_numpy(field[:height, :width].transpose(2, 0, 1).copy())[None]


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
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    for n in range(len(plane)):
        across = np.clip(flow[n, 0].float().numpy() + x, 0, width - 1)
        down = np.clip(flow[n, 1].float().numpy() + y, 0, height - 1)
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


def confidence(target: Tensor, warped: Tensor, h: Tensor | float, sigma: float = 1.0) -> Tensor:
    """exp(-G_sigma * (warped - target)^2 / h^2), in 0..1 (SCIENCE E4).
    (N, 1, H, W) planes of one unit; `h`, in that unit, may be a plane."""
    error = gaussian_blur((warped - target).float().square(), sigma)
    return torch.exp(-error / (torch.as_tensor(h, device=error.device) ** 2))
