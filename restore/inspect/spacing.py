"""How far apart frames really are, whatever rate a header claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

SpacingKind = Literal["constant", "gaps", "variable", "unknown"]

_TOLERANCE = 0.03
"""Share of the usual distance by which another may differ and still be it; or one tick, for rounding ..."""
_COARSE = 0.2
"""... where that is no more than this share of it."""
_CONSTANT = 0.99
"""Share of the distances that must be the usual one for the rate to be constant."""
_MULTIPLES = 0.97
"""Share that must be it, or a whole multiple of it, for the rate to be constant with frames left out."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """Of a row of time stamps."""

    kind: SpacingKind
    """constant: one distance; gaps: one distance and whole multiples of it, where frames were left out when it was
    made; variable: all else; unknown: fewer than three stamps."""
    rate: float | None
    """Frames per second at the usual distance."""
    gaps: int
    """Distances that are a multiple of the usual one."""
    longest: float
    """Seconds between two frames, at most."""
    backward: int
    """Stamps that do not lie after the one before, in the order given."""


def spacing(stamps: Sequence[int], base: float) -> Spacing:
    """Of time stamps in ticks of `base` seconds, in display order."""
    times = np.asarray(stamps, np.int64)
    backward = int((np.diff(times) <= 0).sum()) if len(times) > 1 else 0
    steps = np.diff(np.unique(times)).astype(np.float64)
    if len(steps) < 2:
        return Spacing("unknown", None, 0, float(steps.max(initial=0)) * base, backward)
    usual = float(np.median(steps))
    slack = max(min(1.0, _COARSE * usual), _TOLERANCE * usual)
    near = np.abs(steps - usual) <= slack
    usual = float(steps[near].mean())  # what rounding to ticks has hidden
    times_usual = np.maximum(1, np.round(steps / usual))
    fits = np.abs(steps - times_usual * usual) <= slack
    gaps = int((fits & (times_usual > 1)).sum())
    if near.mean() >= _CONSTANT:
        kind: SpacingKind = "constant"
    elif fits.mean() >= _MULTIPLES:
        kind = "gaps"
    else:
        kind = "variable"
    return Spacing(kind, 1 / (usual * base), gaps, float(steps.max()) * base, backward)
