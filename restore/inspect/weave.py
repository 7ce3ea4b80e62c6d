"""A picture that is not steady: film that weaves in the gate, a transfer that jumps.

What of the picture's path (see restore.inspect.shift) is faster than any camera moves is weave.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restore.inspect.rapid import rapid
from restore.inspect.shift import shifts

VISIBLE = 0.2
"""Samples: the deviation of the picture's place from frame to frame, below which nobody sees it."""
_FRAMES = 16
"""Of a scene, from its first, that are looked at."""
_AGREE = 0.3
"""Samples by which the way over two frames may differ from the sum of both steps ..."""
_TRUSTED = 0.7
"""... in so many of the places, for the path to mean something."""


def weave(luma: NDArray[np.uint8]) -> tuple[float, float]:
    """(T, H, W) frames of one scene, none repeated -> deviation of their place from frame to frame (across, down), in
    samples; 0 for fewer frames than can tell, or where what moves cannot be followed as one."""
    frames = luma[:_FRAMES].astype(np.float32)
    steps, doubles = shifts(frames), shifts(frames, 2)
    if len(doubles) < 1:
        return 0.0, 0.0
    found = []
    for axis in (0, 1):
        both = steps[:-1, axis] + steps[1:, axis]
        trusted = np.mean(np.abs(both - doubles[:, axis]) < _AGREE) >= _TRUSTED
        found.append(rapid(np.cumsum([0.0, *steps[:, axis]])) if trusted else 0.0)
    return found[0], found[1]
