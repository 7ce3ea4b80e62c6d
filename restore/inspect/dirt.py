"""Dust and dirt: spots that one frame has and its neighbours have not.

A rank-ordered difference detector (Nadenau and Mitra 1997): a sample is dirt where it lies beyond all six
motion-compensated samples of the frames before and after, by a first, and beyond the second and third of them by larger
thresholds. The neighbours must agree with each other, or nothing is known of the place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_THRESHOLDS = (14.0, 20.0, 30.0)
"""Codes beyond the nearest, the second and the third of the six samples."""
_AGREE = 10.0
"""Codes by which the two neighbours may differ."""
_EDGE = 8
"""Samples from the edges of the picture that are not looked at."""
_LEAST_AREA = 4
"""Samples of a spot; codecs and grain make smaller ones."""
_MOST = 0.02
"""Share of the picture that can be dirt; where more stands out the frames do not belong together (a flash)."""
MANY = 1.0
"""Spots a frame, on a picture of 352x288 samples (more on larger ones), from which there is dirt to be taken away."""


@dataclass(frozen=True, slots=True)
class Dirt:
    spots: float
    """A frame, on average of those looked at."""
    share: float
    """Of the picture that they cover."""
    looked_at: int
    """Frames."""


def dirt(luma: NDArray[np.uint8], frames: int = 6) -> Dirt:
    """Of (T, H, W) frames of one scene, none repeated; up to `frames` of them are looked at, spread out."""
    inner = range(1, len(luma) - 1)
    chosen = inner[:: max(1, len(inner) // frames)][:frames]
    found = [_spots(*luma[n - 1 : n + 2]) for n in chosen]
    if not found:
        return Dirt(0.0, 0.0, 0)
    spots, area = zip(*found, strict=True)
    return Dirt(float(np.mean(spots)), float(np.mean(area)), len(found))


def _spots(before: Any, now: Any, after: Any) -> tuple[int, float]:
    """(how many, share of the picture) in the middle one of three frames."""
    # A blurred picture has no spots: flow must not be led by what it is to find.
    calm = cv2.medianBlur(now, 5)
    past, future = (_moved(other, calm) for other in (before, after))
    here = now.astype(np.float32)
    ranked = np.sort(np.stack([*_column(past), *_column(future)]), axis=0)
    beyond = np.ones(here.shape, np.bool_)
    below = np.ones(here.shape, np.bool_)
    for rank, least in enumerate(_THRESHOLDS):
        beyond &= here - ranked[5 - rank] > least
        below &= ranked[rank] - here > least
    found = (beyond | below) & (np.abs(past - future) < _AGREE)
    # At the edges a neighbour shows what came in from outside.
    found[:_EDGE] = found[-_EDGE:] = found[:, :_EDGE] = found[:, -_EDGE:] = False
    if found.mean() > _MOST:
        return 0, 0.0
    count, _, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    real = areas[areas >= _LEAST_AREA]
    return len(real), float(real.sum() / found.size)


def _moved(other: Any, target: Any) -> Plane:
    """`other` where the picture of `target` finds it (dense inverse search)."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    calm = cv2.medianBlur(other, 5)
    flow = np.asarray(search.calc(target, calm, None), np.float32)  # type: ignore[call-overload]
    height, width = target.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        other, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.float32)


def _column(plane: Plane) -> list[Plane]:
    """Each sample's upper neighbour, itself and the lower one."""
    padded = np.pad(plane, ((1, 1), (0, 0)), "edge")
    return [padded[:-2], plane, padded[2:]]
