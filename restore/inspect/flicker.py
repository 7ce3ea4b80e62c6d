"""Brightness that changes from frame to frame: uneven exposure, an unsteady lamp, a fading print.

The change from one frame to the next is the median over blocks of the picture of how much each got brighter, so that
what moves does not count; what of the sum of the changes is faster than any fade is flicker (the idea of scale-time
equalisation, Delon 2006, reduced to one number).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.inspect.rapid import rapid

VISIBLE = 0.7
"""8-bit codes: flicker below is not seen."""
_BLOCK = 8


def flicker(luma: NDArray[np.uint8]) -> float:
    """(T, H, W) frames of one scene, none repeated -> deviation of their brightness from frame to frame, in codes; 0 for
    fewer frames than can tell."""
    size = (max(1, luma.shape[2] // _BLOCK), max(1, luma.shape[1] // _BLOCK))
    means = np.stack(
        [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in luma.astype(np.float32)]
    )
    # Black and white blocks are clipped: they cannot flicker.
    steps: list[Any] = []
    for before, after in pairwise(means):
        alive = (before > 24) & (before < 228)
        steps.append(np.median((after - before)[alive]) if alive.sum() >= 8 else 0.0)
    return rapid(np.cumsum([0.0, *steps]))
