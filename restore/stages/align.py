"""Multi-frame alignment: neighbours are moved onto each frame by optical flow and averaged in where they agree.

Which do, and how much each counts: restore.neighbours.
"""

from __future__ import annotations

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from restore.neighbours import Surroundings
from restore.planes import pool
from restore.stage import Stage, Window
from restore.video import FrameBatch, Motion, Planes
from restore.warping import refine, warp_refined


class Align(Stage):
    """Where the codec exports its quantiser, that decides; else the block grid that the index found in the scene;
    where there is neither, frames are averaged only where they hardly differ."""

    radius: int = Field(2, ge=0, le=4)
    """Frames used on each side of the current one."""
    strength: float = Field(1.0, ge=0, le=4)
    """Multiplier of the difference that two frames may show and still be averaged: 0 leaves the picture alone."""
    chroma: bool = False
    """Also average the chroma planes, with the weights found on the luma."""

    _around: Surroundings = PrivateAttr()
    _chroma: dict[tuple[int, int], Tensor] = PrivateAttr(default_factory=dict)
    """Refined chroma of frames at hand, by (FrameInfo.index, plane): neighbours of several targets."""

    def model_post_init(self, _: object) -> None:
        self._around = Surroundings(self.radius, self.strength)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"grid"})

    @property
    def reads_quantisers(self) -> bool:
        return True

    @property
    def window(self) -> Window:
        return Window(self.radius, self.radius)

    def reset(self) -> None:
        self._around.reset()
        self._chroma.clear()

    def process(self, clip: FrameBatch) -> Planes:
        wanted = range(self.radius, len(clip) - self.radius)
        middle = tuple(p[wanted.start : wanted.stop] for p in clip.planes)
        if clip.motion is None or self.strength == 0 or self.radius == 0:
            return middle
        for key in [k for k in self._chroma if k[0] < clip.frames[0].index]:
            del self._chroma[key]
        fused = [self._fuse(clip, t, clip.motion) for t in wanted]
        planes = [torch.cat(p) for p in zip(*fused, strict=True)]
        return (*planes, *middle[len(planes) :])

    def _fuse(self, clip: FrameBatch, target: int, motion: Motion) -> list[Tensor]:
        """Frame number `target` of the clip, as (1, 1, h, w) planes: luma, and chroma where asked for."""
        count = len(clip.planes) if self.chroma else 1
        own = [p[target : target + 1].float() for p in clip.planes[:count]]
        total, weights = [p.clone() for p in own], [torch.ones_like(p) for p in own]
        for other in self._around(clip, target, motion, clip.planes[0]):
            weight = other.weight
            total[0].addcmul_(weight, other.moved)
            weights[0] += weight
            for i in range(1, count):
                shape = (own[i].shape[-2], own[i].shape[-1])
                fine = self._refined(clip, target + other.place, i)
                there = clip.frames[target + other.place].index
                plane = warp_refined(fine, motion.flow(clip.frames[target].index, there, shape))
                weight = pool(weight, shape) if i == 1 else weight
                total[i].addcmul_(weight, plane)
                weights[i] += weight
        return [(s / w).to(clip.planes[0].dtype) for s, w in zip(total, weights, strict=True)]

    def _refined(self, clip: FrameBatch, k: int, plane: int) -> Tensor:
        key = (clip.frames[k].index, plane)
        if key not in self._chroma:
            self._chroma[key] = refine(clip.planes[plane][k : k + 1].float())
        return self._chroma[key]


STAGE = Align
