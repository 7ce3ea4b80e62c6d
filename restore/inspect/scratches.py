"""Scratches: thin upright lines that the film carries along while the scene goes on behind them.

In each frame, columns that stand out from those beside them over most of the height, in stripes with one sign (after
Kokaram 1998: the median taken off, then averaged down the picture). A line of the scene does that too, but it moves with
the scene. Where the scene stands nothing is said: block edges come and go there like scratches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.inspect.shift import shifts

_STRIPES = 8
_LEAST_STRIPES = 0.75
"""Share of the stripes in which a line must show."""
_CONTRAST = 3.0
"""Codes by which a line's mean in a stripe differs from the columns beside it."""
_NOISE = 3.5
"""... and times the deviation of other columns there."""
_WIDEST = 9
"""Columns of the median; lines up to half as wide are found."""
_NEAR = 1.5
"""Columns by which a scratch wanders from one frame to the next."""
_PRESENT = 0.3
"""Share of the frames of a shot that a scratch must be seen in."""
_MOVES = 0.4
"""Columns a frame by which the scene must move for what stays to be a scratch."""


@dataclass(frozen=True, slots=True)
class Scratches:
    lines: int
    """Scratches in the shot."""
    places: tuple[float, ...]
    """Columns where they are, on average."""


def scratches(luma: NDArray[np.uint8]) -> Scratches:
    """Of (T, H, W) frames of one scene, none repeated."""
    frames = luma.astype(np.float32)
    if len(frames) < 4 or frames.shape[1] < 4 * _STRIPES or frames.shape[2] < 4 * _WIDEST:
        return Scratches(0, ())
    # Without the scratches, which stand still and would say that all does.
    scene = np.stack([_without_lines(frame) for frame in luma])
    drift = np.cumsum([0.0, *shifts(scene)[:, 0]])
    tracks: list[list[tuple[int, float]]] = []
    for number, frame in enumerate(frames):
        for place in _lines(frame, scene[number]):
            track = next((t for t in tracks if _goes_on(t, number, place)), None)
            if track is None:
                tracks.append([(number, place)])
            else:
                track.append((number, place))
    found = [t for t in tracks if _is_scratch(t, drift, len(frames))]
    places = tuple(round(float(np.mean([x for _, x in t])), 1) for t in found)
    return Scratches(len(found), places)


def _without_lines(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(cv2.medianBlur(frame, _WIDEST), np.float32)


def _lines(frame: Any, without: Any) -> list[float]:
    """Columns of the upright lines of one frame; `without`: the same without them."""
    left = frame - without
    height = frame.shape[0] // _STRIPES * _STRIPES
    stripes = left[:height].reshape(_STRIPES, -1, frame.shape[1]).mean(1)
    usual = 1.4826 * np.median(np.abs(stripes), axis=1, keepdims=True)
    least = np.maximum(_CONTRAST, _NOISE * usual)
    # A line leans a little, and lies between two columns.
    share = np.maximum(_wider(stripes > least).mean(0), _wider(stripes < -least).mean(0))
    share[:2] = share[-2:] = 0
    lines, column = [], 0
    while column < len(share):
        if share[column] >= _LEAST_STRIPES:
            end = column
            while end + 1 < len(share) and share[end + 1] >= _LEAST_STRIPES:
                end += 1
            if end - column < _WIDEST // 2 + 2:
                lines.append((column + end) / 2)
            column = end
        column += 1
    return lines


def _wider(stripes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n, columns): each true one and those beside it."""
    return np.asarray(cv2.dilate(stripes.astype(np.uint8), np.ones((1, 3), np.uint8)), np.bool_)


def _goes_on(track: list[tuple[int, float]], number: int, place: float) -> bool:
    """Whether a line at `place` may be the one of `track`, seen last not long ago."""
    last, where = track[-1]
    return 0 < number - last <= 3 and abs(place - where) <= _NEAR * (number - last)


def _is_scratch(track: list[tuple[int, float]], drift: NDArray[np.float64], frames: int) -> bool:
    """Whether a line that was seen at these (frame, column) stays where the scene moves on."""
    if len(track) < max(3, _PRESENT * frames):
        return False
    numbers = np.array([n for n, _ in track])
    places = np.array([x for _, x in track])
    scene = drift[numbers]
    if np.abs(scene - scene[0]).max() >= _MOVES * (numbers[-1] - numbers[0]) and np.ptp(scene) >= 3:
        # What keeps its place against the scene by more than half of the scene's own way.
        return float(np.ptp(places - places[0] - (scene - scene[0]))) > 0.5 * float(np.ptp(scene))
    return False  # the scene stands: its own lines do, too
