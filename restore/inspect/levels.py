"""Which codes the picture uses: range, clipping, fading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLACK, WHITE = 16, 235
"""Limited range, 8 bits (H.273)."""
_OUTSIDE = 0.005
"""Share of the samples that must be darker than black for the picture to be of full range, and a fifth of it brighter
than white ..."""
_FAR = 8
"""... by so many codes, which ringing seldom reaches."""
_CLIPPED = 0.02
"""Share of the samples at one end that is clipping; more than a lamp or a title takes."""
_FADED = 0.65
"""Share of the range that a picture fills which is not faded."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Of a histogram of 8-bit luma codes."""

    black: float
    """Code that one sample in 200 lies below."""
    white: float
    """Code that one sample in 200 lies above."""
    full_range: bool
    """The codes are those of full range, whatever the tag says."""
    crushed: float
    """Share of the samples that is black or darker."""
    blown: float
    """Share of the samples that is white or brighter."""
    faded: bool
    """Neither black nor white is reached by far: contrast has gone."""


def levels(histogram: NDArray[Any], tagged_full: bool) -> Levels:
    """Of (256,) counts of luma codes, those of the borders left out. `tagged_full`: what the stream says."""
    share = histogram / max(1, histogram.sum())
    below = share[: BLACK - _FAR].sum()
    above = share[WHITE + _FAR + 1 :].sum()
    # Whites above 235 are common in limited range (cameras and captures leave them); what is darker than black is not,
    # beyond what a codec's ringing makes.
    full = bool(below > _OUTSIDE and above > _OUTSIDE / 5)
    low, high = (0, 255) if full or tagged_full else (BLACK, WHITE)
    total = np.cumsum(share)
    black, white = (int(np.searchsorted(total, q)) for q in (0.005, 0.995))
    filled = (white - black) / (high - low)
    return Levels(
        float(black),
        float(white),
        full,
        float(share[: low + 1].sum()),
        float(share[high:].sum()),
        bool(histogram.sum() and filled < _FADED and black > low + 8 and white < high - 20),
    )


def is_clipped(share: float) -> bool:
    """Whether so much of the picture at one end is more than it should be."""
    return share > _CLIPPED
