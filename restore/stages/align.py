"""Multi-frame alignment: neighbours are moved onto each frame by optical flow and averaged in where they agree."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from restore.motion import confidence, resize_flow, warp
from restore.stage import Stage, Window
from restore.video import FrameBatch, Motion, Planes, QuantMap

_CODES = 219.0
"""8-bit codes of one nominal unit of luma."""


class Align(Stage):
    radius: int = Field(2, ge=0, le=4)
    """Frames used on each side of the current one."""
    strength: float = Field(1.0, ge=0, le=4)
    """Multiplier of the difference that two frames may show and still be averaged: 0 leaves the picture alone."""
    chroma: bool = False
    """Also average the chroma planes, with the weights found on the luma."""

    @property
    def window(self) -> Window:
        return Window(self.radius, self.radius)

    def process(self, clip: FrameBatch) -> Planes:
        wanted = range(self.radius, len(clip) - self.radius)
        middle = tuple(p[wanted.start : wanted.stop] for p in clip.planes)
        if clip.motion is None or self.strength == 0 or self.radius == 0:
            return middle
        fused = [self._fuse(clip, t, clip.motion) for t in wanted]
        planes = [torch.cat(p) for p in zip(*fused, strict=True)]
        return (*planes, *middle[len(planes) :])

    def _fuse(self, clip: FrameBatch, target: int, motion: Motion) -> list[Tensor]:
        """Frame number `target` of the clip, as (1, 1, h, w) planes: luma, and chroma where asked for."""
        count = len(clip.planes) if self.chroma else 1
        own = [p[target : target + 1].float() for p in clip.planes[:count]]
        total, weights = [p.clone() for p in own], [torch.ones_like(p) for p in own]
        size = (own[0].shape[-2], own[0].shape[-1])
        step = mean_step(clip.quant[target] if clip.quant else None)
        for k in range(target - self.radius, target + self.radius + 1):
            if clip.frames[k].index == clip.frames[target].index or self._is_repeat(
                clip, k, target
            ):
                continue
            flow = motion.flow(clip.frames[target].index, clip.frames[k].index, size)
            other = mean_step(clip.quant[k] if clip.quant else None)
            moved = warp(clip.planes[0][k : k + 1].float(), flow)
            weight = confidence(own[0], moved, self.strength * 0.5 * step / _CODES)
            weight = weight * (step / other) ** 2
            for i, plane in enumerate(clip.planes[:count]):
                if i:
                    shape = (plane.shape[-2], plane.shape[-1])
                    moved = warp(plane[k : k + 1].float(), resize_flow(flow, shape))
                    weight = torch.nn.functional.interpolate(weight, shape, mode="bilinear")
                total[i] += weight * moved
                weights[i] += weight
        return [(s / w).to(clip.planes[0].dtype) for s, w in zip(total, weights, strict=True)]

    def _is_repeat(self, clip: FrameBatch, k: int, target: int) -> bool:
        """Whether frame `k` only repeats the edge of the scene: the same index stands nearer to `target` too."""
        nearer = k + 1 if k < target else k - 1
        return clip.frames[k].index == clip.frames[nearer].index


def mean_step(quant: QuantMap | None) -> float:
    """The frame's mean quantiser step in 8-bit codes; 8 where nothing is known."""
    return 8.0 if quant is None else max(1.0, float(quant.steps.mean()))


STAGE = Align
