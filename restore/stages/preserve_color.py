"""Keep brightness and colour: low frequencies of every plane follow the source."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from restore.planes import gaussian_blur
from restore.stage import Stage
from restore.video import FrameBatch, Planes


class PreserveColor(Stage):
    radius: float = Field(8.0, gt=0, le=64)
    """Sigma of the low-pass, in source samples: what is coarser follows the source."""
    strength: float = Field(1.0, ge=0, le=1)
    """0 leaves the picture alone, 1 makes the low frequencies those of the source."""

    def process(self, clip: FrameBatch) -> Planes:
        source, _ = clip.original()
        if clip.source is None or self.strength == 0:
            return clip.planes
        return tuple(
            lock(p, s, self.radius, self.strength, neutral=i > 0)
            for i, (p, s) in enumerate(zip(clip.planes, source, strict=True))
        )


def lock(plane: Tensor, source: Tensor, radius: float, strength: float, *, neutral: bool) -> Tensor:
    """(T, 1, H, W) whose low frequencies become those of `source` (T, 1, h, w), which shows the same picture
    (SCIENCE E13: out - LP(out) + LP(up(in))). `neutral`: frames whose source is 0 all over become 0, exactly.

    The difference of the low-passes is found on a coarse grid of cells a third of `radius` wide, where blurring costs
    nothing; cells cover the same parts of both pictures, whatever their sizes."""
    height, width = source.shape[-2:]
    cell = max(1, int(radius / 3))
    coarse = (max(1, round(height / cell)), max(1, round(width / cell)))
    drift = F.adaptive_avg_pool2d(plane.float(), coarse)
    drift = drift - F.adaptive_avg_pool2d(source.float(), coarse)
    drift = gaussian_blur(drift, radius * coarse[0] / height)
    size = (plane.shape[-2], plane.shape[-1])
    spread = F.interpolate(drift, size, mode="bilinear", align_corners=False)
    locked = plane.float() - strength * spread
    if neutral:
        # A frame without colour gets none, not even by rounding.
        grey = (source == 0).flatten(1).all(1).view(-1, 1, 1, 1)
        locked = torch.where(grey, torch.zeros_like(locked), locked)
    return locked.to(plane.dtype)


STAGE = PreserveColor
