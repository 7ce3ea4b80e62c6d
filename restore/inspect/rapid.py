"""What changes from frame to frame faster than a camera or a scene does: the part of a curve that jumps about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_FRAMES = 8
"""Frames of a curve below which nothing can be said of it."""

_FILTER = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / 6
"""What is left of a curve beside the cubic through the four neighbours of each point: nothing of fades, pans and swings
that take 16 frames or more (under 0.4 %), all of what changes sign with every frame."""
_WHITE = float(np.sqrt((_FILTER**2).sum()))
"""Deviation that the filter makes of white noise of 1."""
_KEPT, _OF_KEPT = 0.8, 0.4377
"""Share of the values, the smallest ones, that count, and the variance that is left of a Gaussian's 1 in them."""


def rapid(curve: NDArray[Any]) -> float:
    """(T,) -> standard deviation of what changes from frame to frame, as if it were white noise; robust: single jumps,
    as at a flash or a splice, do not count. 0 for curves shorter than LEAST_FRAMES."""
    if len(curve) < LEAST_FRAMES:
        return 0.0
    left = np.convolve(np.asarray(curve, np.float64), _FILTER, "valid")
    squares = np.sort(left**2)[: max(1, round(_KEPT * len(left)))]
    return float(np.sqrt(squares.mean() / _OF_KEPT) / _WHITE)
