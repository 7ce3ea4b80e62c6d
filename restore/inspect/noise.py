"""Noise and grain (see restore.grid.measure_noise), over all shots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from restore.grid import measure_noise

VISIBLE = 1.5
"""8-bit codes of deviation from which noise is seen."""


def noise_of(luma: NDArray[np.uint8]) -> float:
    """Of a few frames of (T, H, W): standard deviation of the noise, in codes."""
    few = np.ascontiguousarray(luma[:: max(1, len(luma) // 6)])
    return measure_noise(torch.from_numpy(few)[:, None])


def typical(found: Sequence[float]) -> float:
    """Of all shots; titles and black frames have none, so that the upper half speaks."""
    return float(np.quantile(found, 0.75)) if found else 0.0
