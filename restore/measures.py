"""What the index measures of each frame, by name: a few numbers, which may depend on the frame before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from restore import flicker

Codes = NDArray[np.uint8]
"""(H, W) luma, 8-bit codes."""


class Measure(NamedTuple):
    """How one kind of numbers comes about."""

    begin: Callable[[], Callable[[Codes], NDArray[Any]]]
    """Makes what is given each frame of the film in turn, whatever scene it is of, and gives its numbers."""
    width: int
    """Numbers per frame."""


MEASURES = {"flicker": Measure(flicker.Steps, flicker.WIDTH)}
