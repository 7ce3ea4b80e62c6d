"""The frames beside one: which there are, moved onto it, and how much each is to count.

How far two frames may differ and still show the same follows from the quantiser, whose error is what fusing them
removes; frames coded finer count for more (MFQE's peak-quality frames). The constants were fitted on films of known
truth made from clips that no score here uses.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from restore.grid import guess_step
from restore.motion import Difference, coarse, compare, confidence
from restore.planes import quant_plane, stretch
from restore.video import FrameBatch, Motion, QuantMap
from restore.warping import refine, warp_refined

_CODES = 219.0
"""8-bit codes of one nominal unit of luma."""
_TOLERANCE, _GROWTH = 0.9, 0.73
"""Difference in 8-bit codes at which a neighbour counts 1/e: TOLERANCE * step ** GROWTH. Fitted: 0.72 before Lanczos;
a network makes up for some lost detail and gains up to 1.3 times that, at 0.01 dB where none follows."""
_PREFERENCE = 1.0
"""A frame with half the step counts 2 ** PREFERENCE times as much ..."""
_PREFERENCE_RANGE = (0.3, 2.2)
"""... within these ratios of steps."""
_QUIET, _SPARSE = 0.1, 2
"""The quietest places are this share of every second error of every second row of errors."""
_GRAINY = 0.17
"""Difference there, squared, in units of the tolerance, at which half of the tolerance, squared, is left."""
_LEAST_STEP = 1.0
"""Taken where neither bitstream nor picture show a quantiser: a clean picture stays as it is (0.003 dB)."""


class Neighbour(NamedTuple):
    """A frame beside another."""

    place: int
    """How many frames later; earlier ones are negative."""
    moved: Tensor
    """Its luma, moved onto the other: (1, 1, H, W)."""
    weight: Tensor
    """How much it is to count, where the other counts 1: 0 to 2.2, (1, 1, H, W)."""


class Seen(NamedTuple):
    """What one frame shows of another, whoever asks."""

    moved: Tensor
    """Its luma, moved onto the other: (1, 1, H, W)."""
    found: Difference


class Surroundings:
    """Finds the neighbours of one frame after the other; luma is kept, refined, for as long as a frame may want it."""

    def __init__(self, radius: int, strength: float = 1.0) -> None:
        """`radius`: frames on each side. `strength`: multiplier of the difference that two frames may show."""
        self._radius, self._strength = radius, strength
        self._fine: dict[int, Tensor] = {}
        """By FrameInfo.index."""

    def reset(self) -> None:
        """Forget: what comes is another scene or film."""
        self._fine.clear()

    def __call__(
        self, clip: FrameBatch, target: int, motion: Motion, luma: Tensor
    ) -> list[Neighbour]:
        """Of frame number `target` of `clip`, whose frames show `luma` (T, 1, H, W), nominal: as decoded or as left by a
        stage. Nearest first on each side; none across a cut or beyond what the clip holds."""
        size = (luma.shape[-2], luma.shape[-1])
        here, grid = clip.frames[target].index, coarse(size)
        indices = [frame.index for frame in clip.frames]
        for key in [key for key in self._fine if key < indices[max(0, target - self._radius)]]:
            del self._fine[key]
        places = positions(indices, target, self._radius)
        quant = _quantiser(clip, target, places)
        tolerated = self._strength * tolerance(quant, grid, clip.original()[1].height)
        tolerated = tolerated.to(luma.device)
        # Stages that look at frames as they were decoded see the same.
        decoded = luma is clip.original()[0][0]
        seen = []
        for k in places:
            look = partial(self._look, indices, target, k, motion, luma)
            seen.append(motion.once(here, indices[k], clip.repairs, look) if decoded else look())
        beside = [s.found.error for k, s in zip(places, seen, strict=True) if abs(k - target) == 1]
        share = quiet_share(beside, tolerated)
        result = []
        for k, (moved, found) in zip(places, seen, strict=True):
            doubt = motion.doubt(here, indices[k], grid)
            weight = confidence(found, tolerated, doubt, share)
            weight *= preference(quant, clip.quant[k] if clip.quant else None)
            result.append(Neighbour(k - target, moved, stretch(weight, size)))
        return result

    def _look(self, indices: list[int], target: int, k: int, motion: Motion, luma: Tensor) -> Seen:
        if indices[k] not in self._fine:
            self._fine[indices[k]] = refine(luma[k : k + 1].float())
        flow = motion.flow(indices[target], indices[k], (luma.shape[-2], luma.shape[-1]))
        moved = warp_refined(self._fine[indices[k]], flow)
        return Seen(moved, compare(luma[target : target + 1].float(), moved))


def positions(indices: list[int], target: int, radius: int) -> list[int]:
    """Of the frames beside `target`: repeats of the edge of a scene (equal indices) left out, nearest first on each
    side, so that motion can be followed from one to the next."""
    ahead = range(target + 1, min(target + radius + 1, len(indices)))
    behind = range(target - 1, max(target - radius - 1, -1), -1)
    return [
        k
        for side, step in ((behind, 1), (ahead, -1))
        for k in side
        if indices[k] != indices[k + step]
    ]


def quiet_share(errors: list[Tensor], tolerated: Tensor) -> float:
    """The share of the tolerance, squared, that is granted to a film whose quietest places differ as much as the
    `errors`, nominal, squared, of the frames beside it say; `tolerated`, nominal, is a number or on their grid. Differences
    that are everywhere are no codec's: the film is grainier than its quantiser, and its grain is not to be averaged away."""
    if not errors:
        return 1.0
    sparse = (..., slice(None, None, _SPARSE), slice(None, None, _SPARSE))
    unit = (tolerated[sparse] if tolerated.ndim else tolerated) ** 2
    quiet = []
    for error in errors:
        some = (error[sparse] / unit).flatten().cpu().numpy()
        place = max(1, round(_QUIET * len(some))) - 1
        quiet.append(float(np.partition(some, place)[place]))
    return 1 / (1 + (min(quiet) / _GRAINY) ** 2)


def tolerance(quant: QuantMap, size: tuple[int, int], source_height: int) -> Tensor:
    """Difference of luma, nominal, at which a neighbour counts 1/e: (1, 1, H, W), or one number where the whole frame
    has one quantiser."""
    tolerated = _TOLERANCE / _CODES * quant.steps.clamp_min(_LEAST_STEP) ** _GROWTH
    if bool((quant.steps == quant.steps[0, 0]).all()):
        return tolerated[0, 0]
    return quant_plane(replace(quant, steps=tolerated), size, source_height)


def preference(target: QuantMap, other: QuantMap | None) -> float:
    """How much more a frame counts than the target for being coded finer; 1 where its quantiser is unknown."""
    if other is None:
        return 1.0
    steps = [max(float(quant.steps.mean()), _LEAST_STEP) for quant in (target, other)]
    ratio = steps[0] / steps[1]
    low, high = _PREFERENCE_RANGE
    return math.exp(_PREFERENCE * math.log(min(max(ratio, low), high)))


def _quantiser(clip: FrameBatch, target: int, places: list[int]) -> QuantMap:
    """The frame's own, or that of the nearest frame that has one: a frame that only repeats has none."""
    if clip.quant:
        for k in (target, *sorted(places, key=lambda k: (abs(k - target), k))):
            known = clip.quant[k]
            if known is not None:
                return known
    facts = clip.facts.get(clip.frames[target].scene)
    return QuantMap(torch.full((1, 1), guess_step(facts.grid if facts else None)))
