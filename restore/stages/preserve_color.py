"""Keep brightness and colour: low frequencies of every plane follow the source."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from restore.planes import chroma_shift, gaussian_blur, resample
from restore.stage import Stage
from restore.video import FrameBatch, Planes, VideoFormat


class PreserveColor(Stage):
    radius: float = Field(8.0, gt=0, le=64)
    """Sigma of the low-pass, in source samples: what is coarser follows the source."""
    strength: float = Field(1.0, ge=0, le=1)
    """0 leaves the picture alone, 1 makes the low frequencies those of the source."""

    def process(self, clip: FrameBatch) -> Planes:
        source, source_format = clip.original()
        if clip.source is None or self.strength == 0:
            return clip.planes
        return tuple(
            self._lock(p, s, i > 0, clip.format, source_format)
            for i, (p, s) in enumerate(zip(clip.planes, source, strict=True))
        )

    def _lock(
        self,
        plane: Tensor,
        source: Tensor,
        chroma: bool,
        fmt: VideoFormat,
        source_format: VideoFormat,
    ) -> Tensor:
        size, small = plane.shape[-2:], source.shape[-2:]
        scale = (source_format.height / fmt.height, source_format.width / fmt.width)
        shift = chroma_shift(fmt, scale) if chroma else (0.0, 0.0)
        seen = resample(
            plane.float(), (small[0], small[1]), kernel="bilinear", scale=scale, shift=shift
        )
        drift = gaussian_blur(seen - source.float(), self.radius)
        drift = resample(drift, (size[0], size[1]), kernel="bilinear")
        locked = plane.float() - self.strength * drift
        if chroma:
            # A frame without colour gets none, not even by rounding.
            grey = (source == 0).flatten(1).all(1).view(-1, 1, 1, 1)
            locked = torch.where(grey, torch.zeros_like(locked), locked)
        return locked.to(plane.dtype)


STAGE = PreserveColor
