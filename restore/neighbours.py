"""Which frames beside one may help it, and how much each is worth."""

from __future__ import annotations

import math

from restore.video import QuantMap

LEAST_STEP = 1.0
"""Quantiser step, in 8-bit codes, taken where neither bitstream nor picture show one: a clean picture stays as it is (0.003 dB)."""
_PREFERENCE = 1.0
"""A frame with half the step counts 2 ** PREFERENCE times as much ..."""
_PREFERENCE_RANGE = (0.3, 2.2)
"""... within these ratios of steps."""


def neighbours(indices: list[int], target: int, radius: int) -> list[int]:
    """Positions, of at most `radius` frames on each side of `target`, of those that are not it: repeats of the edge of a
    scene (equal indices) left out, nearest first on each side, so that motion can be followed from one to the next."""
    ahead = range(target + 1, target + radius + 1)
    behind = range(target - 1, target - radius - 1, -1)
    return [
        k
        for side, step in ((behind, 1), (ahead, -1))
        for k in side
        if indices[k] != indices[k + step]
    ]


def preference(target: QuantMap | None, other: QuantMap | None) -> float:
    """How much more a frame counts than the target for being coded finer; 1 where either quantiser is unknown."""
    if target is None or other is None:
        return 1.0
    ratio = float(target.steps.mean().clamp_min(LEAST_STEP) / other.steps.mean().clamp_min(1.0))
    low, high = _PREFERENCE_RANGE
    return math.exp(_PREFERENCE * math.log(min(max(ratio, low), high)))
