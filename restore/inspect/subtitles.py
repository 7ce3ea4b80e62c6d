"""Subtitles in the picture: lines of text at one place, low and in the middle, while the scenes behind them change.

Signs, fences and grass look like text, too. They move with their scene, stand elsewhere, or stand for as long as the scene
does; subtitles keep their place over the scenes while their words change, and stand still where the scene moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.inspect.overlays import Box

_LOWER = 0.6
"""Share of the height above which nothing is looked for."""
_STROKE = 35.0
"""Codes by which a letter's stroke is brighter than what is around it."""
_BRIGHT = 160
"""Least code of a stroke."""
_EVEN = 30.0
"""Codes by which the strokes of one line deviate from each other at most: letters are of one colour, grass is not."""
_PACKED = (0.12, 0.7)
"""Share of a line of text that is strokes."""
_STANDS_OUT = 4.0
"""Codes by which letters are brighter than the picture above and below; the gaps of dark letters on white are not."""
_HIGH = (0.02, 0.14)
"""Share of the height that a line of text has."""
_CENTRED = 0.06
"""Share of the width by which a line's middle may lie beside the picture's."""
_END = 0.7
"""Share of the height above which no line ends."""
_SAME_PLACE = 0.5
"""Share of the lower of two lines that lies beside the other, from which they are at one place."""
_SAME_WORDS = 0.5
"""Share of the strokes of two lines, of those that either has, above which they say the same."""
_MOVES = 8.0
"""Codes of change, its mean left out, around the strokes: the scene moves behind them."""
_FEW = 4
"""Shots from which on a line in one of them alone says nothing."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """What looks like a line of text in one shot, low and in the middle of the picture."""

    box: Box
    strokes: NDArray[np.bool_]
    """(height, width) of the box."""
    floats: bool
    """The scene behind it moves while it stands."""
    picture: tuple[int, int]
    """(height, width)."""


def find_lines(luma: NDArray[np.uint8]) -> tuple[TextLine, ...]:
    """In (T, H, W) frames of one scene: bright thin strokes that stand still, packed side by side in flat rows."""
    height, width = luma.shape[1:]
    top = int(_LOWER * height)
    lower = luma[:: max(1, len(luma) // 6), top:]
    thick = max(5, height // 30 * 2 + 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (thick, thick))
    strokes: Any = None
    for frame in lower:
        bright = cv2.morphologyEx(frame, cv2.MORPH_TOPHAT, kernel)
        here = (bright > _STROKE) & (frame > _BRIGHT)
        strokes = here.astype(np.int32) if strokes is None else strokes + here
    standing = strokes >= max(1, 0.7 * len(lower))
    joined = cv2.morphologyEx(
        standing.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, max(5, width // 24)), np.uint8)
    )
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    found = []
    for n in range(1, count):
        x, y, w, h = (int(v) for v in stats[n][:4])
        own = standing & (labels == n)
        if _is_placed((x, y, w, h), top, (height, width)) and _is_text(
            own, lower[len(lower) // 2], (x, y, w, h)
        ):
            cut = own[y : y + h, x : x + w].copy()
            floats = _floats(lower, standing, (x, y, w, h))
            found.append(TextLine((x, y + top, w, h), cut, floats, (height, width)))
    return tuple(found)


def _is_placed(box: Box, top: int, size: tuple[int, int]) -> bool:
    """Whether a box below line `top` of a picture of `size` lies where subtitles do, and is as flat as they are."""
    left, below, wide, high = box
    height, width = size
    low, most = _HIGH
    flat = wide >= max(0.1 * width, 2 * high) and low * height <= high <= most * height
    middle = abs(left + wide / 2 - width / 2) <= _CENTRED * width
    return flat and middle and below > 0 and top + below + high >= _END * height


def _is_text(strokes: NDArray[np.bool_], frame: NDArray[np.uint8], box: Box) -> bool:
    """Whether the strokes in a box are a line of text; `frame` as large as they are."""
    left, top, wide, high = box
    inside = strokes[top : top + high, left : left + wide]
    if not _PACKED[0] <= inside.mean() <= _PACKED[1] or float(np.std(frame[strokes])) > _EVEN:
        return False
    near = np.concatenate([frame[max(0, top - high) : top], frame[top + high : top + 2 * high]])
    if float(frame[strokes].mean() - np.median(near[:, left : left + wide])) < _STANDS_OUT:
        return False
    # A line of text changes from stroke to gap about once in half its height; a rail or a roof edge does not.
    changes = (np.diff(inside.astype(np.int8), axis=1) != 0).sum(1)
    middle = changes[len(changes) // 4 : max(1, 3 * len(changes) // 4) + 1]
    return bool(np.median(middle) >= max(6.0, 0.8 * wide / high))


def _floats(frames: NDArray[np.uint8], standing: NDArray[np.bool_], box: Box) -> bool:
    """Whether the picture around the strokes, a line's height to each side, changes from one of (T, h, W) `frames` to
    another."""
    left, top, wide, high = box
    rows, columns = (
        slice(max(0, top - high), top + 2 * high),
        slice(max(0, left - high), left + wide + high),
    )
    # Letters have outlines and shadows, which stand as they do.
    letters = cv2.dilate(standing[rows, columns].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if letters.all():
        return False
    behind = frames[:, rows, columns][:, ~letters].astype(np.float32)
    return bool((behind[1:] - behind[0]).std(1).max(initial=0.0) > _MOVES)


def find_subtitles(shots: Sequence[Sequence[TextLine]]) -> tuple[Box | None, float]:
    """(the box around the lines of all shots that are subtitles, share of the shots that have some), from the lines of
    each shot. At the place where most shots have a line, words must change, or stand while their scene moves; one shot of
    many is not enough."""
    lines = [(n, line) for n, shot in enumerate(shots) for line in shot]
    if not lines:
        return None, 0.0
    places = [[(n, o) for n, o in lines if _one_place(o, line)] for _, line in lines]
    kept = max(places, key=lambda place: len({n for n, _ in place}))
    held = [line for _, line in kept]
    words_change = any(not _same_words(held[0], line) for line in held[1:])
    with_text = {n for n, _ in kept}
    if len(with_text) == 1 and len(shots) >= _FEW:
        return None, 0.0
    if not words_change and not any(line.floats for line in held):
        return None, 0.0
    # The other line of two is beside these.
    boxes = [line.box for n, line in lines if n in with_text]
    return around(boxes), len(with_text) / len(shots)


def _one_place(one: TextLine, other: TextLine) -> bool:
    (_, top, _, high), (_, other_top, _, other_high) = one.box, other.box
    common = min(top + high, other_top + other_high) - max(top, other_top)
    return one.picture == other.picture and common >= _SAME_PLACE * min(high, other_high)


def _same_words(one: TextLine, other: TextLine) -> bool:
    """Whether the strokes of both, laid over each other, are the same."""
    planes = []
    for line in (one, other):
        x, y, w, h = line.box
        plane = np.zeros(line.picture, np.bool_)
        plane[y : y + h, x : x + w] = line.strokes
        planes.append(plane)
    either = int((planes[0] | planes[1]).sum())
    return int((planes[0] & planes[1]).sum()) >= _SAME_WORDS * either


def around(boxes: Sequence[Box]) -> Box | None:
    """The box around all; None for none."""
    if not boxes:
        return None
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[0] + b[2] for b in boxes), max(b[1] + b[3] for b in boxes)
    return left, top, right - left, bottom - top
