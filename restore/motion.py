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
        found = self._flows.get((target, reference))
        if found is None:
            field = self._estimate(self._luma[target], self._luma[reference])
            found = torch.from_numpy(field).permute(2, 0, 1)[None].to(self._device)
            self._flows[target, reference] = found
        return resize_flow(found, size)

    def _estimate(self, target: np.ndarray, reference: np.ndarray) -> np.ndarray:
        # DIS needs a pyramid: below 16 samples a side it refuses, so tiny planes are padded.
        height, width = target.shape
        down, across = max(0, 16 - height), max(0, 16 - width)
        if target is reference:
            return np.zeros((height, width, 2), np.float32)
        if down or across:
            pad = ((0, down), (0, across))
            target, reference = np.pad(target, pad, "edge"), np.pad(reference, pad, "edge")
        field: np.ndarray = self._dis.calc(target, reference, None)
        return np.ascontiguousarray(field[:height, :width])


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, 2, h, w) -> (1, 2, H, W): bilinear, vectors scaled to the new grid."""
    height, width = flow.shape[-2:]
    if (height, width) == size:
        return flow
    scaled = F.interpolate(flow, size, mode="bilinear", align_corners=False)
    ratio = scaled.new_tensor([size[1] / width, size[0] / height])
    return scaled * ratio.view(1, 2, 1, 1)


def warp(
    plane: Tensor, flow: Tensor, mode: Literal["bilinear", "bicubic"] = "bicubic"
) -> Tensor:
    """out(p) = plane(p + flow(p)). (N, C, H, W), (N, 2, H, W) -> (N, C, H, W); edges repeat."""
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
