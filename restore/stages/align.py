"""Multi-frame alignment: neighbours are moved onto each frame by optical flow and averaged in where they agree.

How far two frames may differ and still be averaged follows from the quantiser, whose error is what averaging
removes; frames coded finer count for more (MFQE's peak-quality frames). The constants were fitted on films of known
truth made from clips that no score here uses.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from restore.grid import guess_step
from restore.motion import compare, confidence
from restore.neighbours import LEAST_STEP, neighbours, preference
from restore.planes import pool, quant_plane
from restore.stage import Stage, Window
from restore.video import FrameBatch, Motion, Planes, QuantMap
from restore.warping import refine, resize_flow, warp_refined

_CODES = 219.0
"""8-bit codes of one nominal unit of luma."""
_TOLERANCE, _GROWTH = 0.9, 0.73
"""Difference in 8-bit codes at which a neighbour counts 1/e: TOLERANCE * step ** GROWTH. Fitted: 0.72 before Lanczos;
a network makes up for some lost detail and gains up to 1.3 times that, at 0.01 dB where none follows."""
_QUIET, _SPARSE = 0.1, 4
"""The quietest places are this share of every fourth sample of every fourth row."""
_GRAINY = 0.17
"""Difference there, squared, in units of the tolerance, at which half of the tolerance, squared, is left."""


class Align(Stage):
    """Where the codec exports its quantiser, that decides; else the block grid that the index found in the scene;
    where there is neither, frames are averaged only where they hardly differ."""

    needs: ClassVar[frozenset[str]] = frozenset({"grid"})

    radius: int = Field(2, ge=0, le=4)
    """Frames used on each side of the current one."""
    strength: float = Field(1.0, ge=0, le=4)
    """Multiplier of the difference that two frames may show and still be averaged: 0 leaves the picture alone."""
    chroma: bool = False
    """Also average the chroma planes, with the weights found on the luma."""

    _fine: dict[tuple[int, int], Tensor] = PrivateAttr(default_factory=dict)
    """Refined planes of frames at hand, by (FrameInfo.index, plane): neighbours of several targets."""

    @property
    def reads_quantisers(self) -> bool:
        return True

    @property
    def window(self) -> Window:
        return Window(self.radius, self.radius)

    def reset(self) -> None:
        self._fine.clear()

    def process(self, clip: FrameBatch) -> Planes:
        wanted = range(self.radius, len(clip) - self.radius)
        middle = tuple(p[wanted.start : wanted.stop] for p in clip.planes)
        if clip.motion is None or self.strength == 0 or self.radius == 0:
            return middle
        for key in [k for k in self._fine if k[0] < clip.frames[0].index]:
            del self._fine[key]
        fused = [self._fuse(clip, t, clip.motion) for t in wanted]
        planes = [torch.cat(p) for p in zip(*fused, strict=True)]
        return (*planes, *middle[len(planes) :])

    def _fuse(self, clip: FrameBatch, target: int, motion: Motion) -> list[Tensor]:
        """Frame number `target` of the clip, as (1, 1, h, w) planes: luma, and chroma where asked for."""
        count = len(clip.planes) if self.chroma else 1
        own = [p[target : target + 1].float() for p in clip.planes[:count]]
        total, weights = [p.clone() for p in own], [torch.ones_like(p) for p in own]
        size = (own[0].shape[-2], own[0].shape[-1])
        places = neighbours([f.index for f in clip.frames], target, self.radius)
        quant = self._quant(clip, target, places)
        tolerated = self.strength * tolerance(quant, size, clip.original()[1].height)
        tolerated = tolerated.to(own[0].device)
        here = clip.frames[target].index
        flows, moved, found = [], [], []
        for k in places:
            flows.append(motion.flow(here, clip.frames[k].index, size))
            moved.append(warp_refined(self._refined(clip, k, 0), flows[-1]))
            found.append(compare(own[0], moved[-1], tolerated))
        share = quiet_share(
            [f.error for k, f in zip(places, found, strict=True) if abs(k - target) == 1]
        )
        for n, k in enumerate(places):
            doubt = motion.doubt(here, clip.frames[k].index, size)
            weight = confidence(found[n], doubt, share)
            weight *= preference(quant, clip.quant[k] if clip.quant else None)
            total[0].addcmul_(weight, moved[n])
            weights[0] += weight
            for i in range(1, count):
                shape = (own[i].shape[-2], own[i].shape[-1])
                plane = warp_refined(self._refined(clip, k, i), resize_flow(flows[n], shape))
                weight = pool(weight, shape) if i == 1 else weight
                total[i].addcmul_(weight, plane)
                weights[i] += weight
        return [(s / w).to(clip.planes[0].dtype) for s, w in zip(total, weights, strict=True)]

    def _quant(self, clip: FrameBatch, target: int, places: list[int]) -> QuantMap:
        """The frame's own quantiser, or that of the nearest frame that has one: a frame that only repeats has none."""
        if clip.quant:
            for k in (target, *sorted(places, key=lambda k: (abs(k - target), k))):
                known = clip.quant[k]
                if known is not None:
                    return known
        facts = clip.facts.get(clip.frames[target].scene)
        return QuantMap(torch.full((1, 1), guess_step(facts.grid if facts else None)))

    def _refined(self, clip: FrameBatch, k: int, plane: int) -> Tensor:
        key = (clip.frames[k].index, plane)
        if key not in self._fine:
            self._fine[key] = refine(clip.planes[plane][k : k + 1].float())
        return self._fine[key]


def quiet_share(errors: list[Tensor]) -> float:
    """The share of the tolerance, squared, that is granted to a film whose quietest places differ as much as the
    `errors`, squares in units of the tolerance, of the frames beside it say. Differences that are everywhere are no
    codec's: the film is grainier than its quantiser, and its grain is not to be averaged away."""
    if not errors:
        return 1.0
    quiet = []
    for error in errors:
        some = error[..., ::_SPARSE, ::_SPARSE].flatten()
        quiet.append(float(some.kthvalue(max(1, round(_QUIET * len(some)))).values))
    return 1 / (1 + (min(quiet) / _GRAINY) ** 2)


def tolerance(quant: QuantMap, size: tuple[int, int], source_height: int) -> Tensor:
    """Difference of luma, nominal, at which a neighbour counts 1/e: (1, 1, H, W), or one number where the whole frame
    has one quantiser."""
    step = quant.steps.flatten()[0]
    if bool((quant.steps != step).any()):
        step = quant_plane(quant, size, source_height)
    return _TOLERANCE / _CODES * step.clamp_min(LEAST_STEP) ** _GROWTH


STAGE = Align
