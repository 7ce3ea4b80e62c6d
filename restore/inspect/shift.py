"""How far the picture as a whole moves from one frame to another."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def shifts(frames: NDArray[np.float32], apart: int = 1) -> NDArray[np.float64]:
    """(T, H, W) -> (T - apart, 2): shift (across, down) in samples from each frame to the one `apart` later, by phase
    correlation (Kuglin and Hines 1975), within a Hann window."""
    window = cv2.createHanningWindow((frames.shape[2], frames.shape[1]), cv2.CV_32F)
    # Multiplied here: OpenCV 5 would multiply the frames themselves, again with every call.
    seen: list[Any] = [frame * window for frame in frames]
    found = [cv2.phaseCorrelate(a, b)[0] for a, b in zip(seen, seen[apart:], strict=False)]
    return np.array(found, np.float64).reshape(-1, 2)
