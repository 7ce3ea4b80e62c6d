"""How much of the picture's size is true: where the spectrum ends.

The power spectra of pictures fall with the square of frequency (Field 1987), a little faster where a lens or a scanner
gives way. Anchored where detail is coarse, that law says what fine detail there should be; where the picture holds far
less, all the way up, its detail ends: it was enlarged from a smaller one, is out of focus, or a codec threw it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MISSING = 10.0
"""Decibels below the law where there is no detail left; sharp pictures have 3 to 8 less at the very end."""
_ANCHOR = (0.05, 0.12)
"""Cycles per sample at which the law is tied to the picture."""
_ROUNDING = 1 / 12
"""Variance of rounding to codes: below it nothing is to be seen."""
_LEAST = 20.0
"""Times the rounding that the law must leave at the finest detail for its lack to mean something."""
SOFT = 0.75
"""Share of the size that is true, below which a picture is soft or was enlarged."""


@dataclass(frozen=True, slots=True)
class Sharpness:
    across: float | None
    """Share of the width that holds detail, 0 to 1; None where the picture is too flat to tell."""
    down: float | None


def sharpness(luma: NDArray[np.uint8]) -> Sharpness:
    """Of (T, H, W) luma; a few frames say as much as all."""
    frames = luma[:: max(1, len(luma) // 4)].astype(np.float64)
    return Sharpness(_true_share(frames), _true_share(frames.swapaxes(1, 2)))


def _true_share(frames: NDArray[Any]) -> float | None:
    """Of (T, n, length), along the last axis."""
    length = frames.shape[2]
    if length < 48 or frames.shape[1] < 16:
        return None
    window = np.hanning(length)
    centred = (frames - frames.mean(2, keepdims=True)) * window
    power = np.abs(np.fft.rfft(centred, axis=2)) ** 2 / (window**2).sum()
    spectrum = _smooth(power.mean((0, 1)))
    frequency = np.fft.rfftfreq(length)
    inside = (frequency >= _ANCHOR[0]) & (frequency <= _ANCHOR[1])
    level = np.exp(np.mean(np.log(spectrum[inside] * frequency[inside] ** 2 + 1e-12)))
    fine = frequency > _ANCHOR[1]
    expected = level / frequency[fine] ** 2
    if expected[-1] < _LEAST * _ROUNDING:
        return None
    short = 10 * np.log10(expected / np.maximum(spectrum[fine], _ROUNDING))
    held = np.flatnonzero(short < _MISSING)
    return float(2 * frequency[fine][held[-1]]) if len(held) else 2 * _ANCHOR[1]


def _smooth(spectrum: NDArray[Any]) -> NDArray[Any]:
    """Over a fortieth of the band: single lines of a pattern are no end of detail."""
    width = max(3, len(spectrum) // 40 * 2 + 1)
    padded = np.pad(spectrum, width // 2, "edge")
    return np.convolve(padded, np.ones(width) / width, "valid")
