"""Multi-frame alignment: neighbours are moved onto each frame by optical flow and averaged in where they agree."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from restore.motion import confidence, resize_flow, warp
from restore.stage import Stage, Window
from restore.video import FrameBatch, Motion, Planes, QuantMap

_CODES = 219.0
"""8-bit codes of one nominal unit of luma."""
_SCALE, _GROWTH = 0.72, 0.73
"""Two frames may differ by h = _SCALE * step ** _GROWTH codes and still count; fitted on MPEG-1, RV20, MPEG-4 and
H.264 encodes of clips that no score is taken on."""
_QUALITY = 1.7
"""A frame coded with half the step counts 2 ** _QUALITY as much (SCIENCE E4: peak frames count more) ..."""
_QUALITY_RANGE = (-1.2, 0.8)
"""... within this range of the logarithm of the ratio of steps."""
_UNKNOWN_STEP = 6.0
"""Of a codec that does not tell: a light hand."""


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
        for k in neighbours(clip, target, self.radius):
            flow = motion.flow(clip.frames[target].index, clip.frames[k].index, size)
            other = mean_step(clip.quant[k] if clip.quant else None)
            moved = warp(clip.planes[0][k : k + 1].float(), flow)
            weight = confidence(own[0], moved, self.strength * tolerance(step) / _CODES)
            weight = weight * preference(step, other)
            for i, plane in enumerate(clip.planes[:count]):
                if i:
                    shape = (plane.shape[-2], plane.shape[-1])
                    moved = warp(plane[k : k + 1].float(), resize_flow(flow, shape))
                    weight = F.interpolate(weight, shape, mode="bilinear")
                total[i] += weight * moved
                weights[i] += weight
        return [(s / w).to(clip.planes[0].dtype) for s, w in zip(total, weights, strict=True)]


def neighbours(clip: FrameBatch, target: int, radius: int) -> list[int]:
    """Positions in the clip of the frames around `target`, each frame once: at the ends of a scene the window is
    filled with repeats, which say nothing new."""
    seen = {clip.frames[target].index}
    found = []
    for k in range(max(0, target - radius), min(len(clip), target + radius + 1)):
        if clip.frames[k].index not in seen:
            seen.add(clip.frames[k].index)
            found.append(k)
    return found


def tolerance(step: float) -> float:
    """The difference, in 8-bit codes, at which a neighbour's weight falls to 1/e."""
    return _SCALE * math.pow(step, _GROWTH)


def preference(step: float, other: float) -> float:
    """Weight of a frame coded with the step `other` beside one coded with `step`."""
    low, high = _QUALITY_RANGE
    return math.exp(_QUALITY * min(high, max(low, math.log(step / other))))


def mean_step(quant: QuantMap | None) -> float:
    """The frame's mean quantiser step in 8-bit codes."""
    return _UNKNOWN_STEP if quant is None else max(1.0, float(quant.steps.mean()))


STAGE = Align
