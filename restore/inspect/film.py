"""The faults of film and its transfer, over all shots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from restore.inspect import dirt, flicker, noise, weave
from restore.inspect.picture import Reading

_CIF = 352 * 288


@dataclass(frozen=True, slots=True)
class Film:
    noise: float
    """Standard deviation of noise and grain, in 8-bit codes."""
    flicker: float
    """Deviation of the brightness from frame to frame, in codes."""
    weave: tuple[float, float]
    """Deviation of the picture's place from frame to frame (across, down), in samples."""
    spots: float
    """Of dust and dirt a frame, on average."""
    dirty: bool
    scratches: int
    """In the shot that has most."""
    scratched: float
    """Share of the shots that have any."""

    @property
    def noisy(self) -> bool:
        return self.noise >= noise.VISIBLE

    @property
    def flickers(self) -> bool:
        return self.flicker >= flicker.VISIBLE

    @property
    def weaves(self) -> bool:
        return max(self.weave) >= weave.VISIBLE


def film(readings: Sequence[Reading], area: int) -> Film:
    """Of pictures of `area` samples. Where a fault differs from shot to shot the typical one counts."""
    moving = [r for r in readings if r.frames >= 8]
    spots = _median([r.dirt.spots for r in readings if r.dirt.looked_at])
    lines = [r.scratches.lines for r in readings]
    return Film(
        noise.typical([r.noise for r in readings]),
        _median([r.flicker for r in moving]),
        (_median([r.weave[0] for r in moving]), _median([r.weave[1] for r in moving])),
        spots,
        spots >= dirt.MANY * max(1.0, area / _CIF),
        max(lines, default=0),
        sum(n > 0 for n in lines) / max(1, len(lines)),
    )


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0
