"""What was put on top of the picture: a logo that stays while the scenes change, subtitles that come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""(left, top, width, height) in samples."""

_EDGE = 8.0
"""Codes of a step between neighbours that is an edge."""
_SAME = 0.85
"""How much of the edges' strength is left where those of all views are averaged with their direction."""
_VIEWS = 4
"""Views of different content that are needed to tell a logo from the scene."""
_LARGEST = 0.2
"""Share of the picture that a logo's box can have."""
_STAYING = 0.8
"""Share of a view's edges that are alike in all views, above which the views show one scene."""
_LEAST_EDGES = 60
"""Samples of edge in a logo."""


@dataclass(frozen=True, slots=True)
class Overlays:
    logo: Box | None
    logo_known: bool
    """False: the scenes are too few or too alike to tell a logo from them."""
    subtitles: Box | None
    """Where they stand: around those of all shots that have any."""
    subtitled: float
    """Share of the shots with subtitles."""


def view(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(T, H, W) frames of one scene -> (H, W) mean of a few: what stands keeps its edges, what moves loses them."""
    return np.asarray(luma[:: max(1, len(luma) // 6)].mean(0), np.float32)


def find_logo(views: Sequence[NDArray[np.float32]]) -> tuple[Box | None, bool]:
    """(box around what has the same edges in all views, whether the views differ enough to tell)."""
    if len(views) < _VIEWS or len({v.shape for v in views}) != 1:
        return None, False
    edges = np.stack([_edges(v) for v in views])  # (n, 2, H, W)
    strength = np.hypot(edges[:, 0], edges[:, 1])
    # Half of the views must have the edge: each view alone has others there.
    common = np.hypot(*np.median(edges, axis=0))
    mean = np.hypot(*edges.mean(0)) / np.maximum(strength.mean(0), 1e-6)
    kept = (common > _EDGE) & (mean > _SAME)
    any_edge = np.median(strength, axis=0) > _EDGE
    if kept.sum() > min(_STAYING * any_edge.sum(), _LARGEST * kept.size):
        return None, False  # the scene itself stays
    box = _largest_group(kept, reach=max(3, views[0].shape[1] // 40), least=_LEAST_EDGES)
    if box is None or box[2] * box[3] > _LARGEST * kept.size:
        return None, True
    return box, True


def _edges(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, H, W) steps to the right and down, in codes."""
    calm = cv2.GaussianBlur(picture, (0, 0), 0.7)
    steps = [cv2.Scharr(calm, cv2.CV_32F, 1, 0), cv2.Scharr(calm, cv2.CV_32F, 0, 1)]
    return np.asarray(np.stack(steps) / 16, np.float32)


def _largest_group(mask: NDArray[np.bool_], reach: int, least: int) -> Box | None:
    """Box around the group of samples, none farther than `reach` from the next, that holds most; None under `least`."""
    kernel = np.ones((reach, 2 * reach + 1), np.uint8)
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    count, labels = cv2.connectedComponents(closed, connectivity=8)
    if count < 2:
        return None
    held = np.bincount(labels[mask].ravel(), minlength=count)
    held[0] = 0
    best = int(held.argmax())
    if held[best] < least:
        return None
    rows, columns = np.nonzero((labels == best) & mask)
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1


_LOWER = 0.6
"""Share of the height above which no subtitles are looked for."""
_STROKE = 35.0
"""Codes by which a letter's stroke is brighter than what is around it."""
_BRIGHT = 160
"""Least code of a stroke."""
_EVEN = 30.0
"""Codes by which the strokes of one line deviate from each other at most: letters are of one colour, grass is not."""
_PACKED = (0.12, 0.7)
"""Share of a line of text that is strokes."""


def find_subtitles(luma: NDArray[np.uint8]) -> Box | None:
    """Box around the lines of text in the lower part of (T, H, W) frames of one scene: bright thin strokes that stand
    still while they are shown, packed side by side in flat rows."""
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
    boxes = [
        (int(x), int(y) + top, int(w), int(h))
        for n, (x, y, w, h, _) in enumerate(stats[1:count], 1)
        if _is_text(standing & (labels == n), lower[len(lower) // 2], (x, y, w, h), height)
    ]
    return around(boxes)


def _is_text(strokes: NDArray[np.bool_], frame: NDArray[np.uint8], box: Box, height: int) -> bool:
    """Whether the strokes in a box are a line of text; `frame` as large as they are, of a picture of `height`."""
    left, top, wide, high = box
    if wide < 0.1 * frame.shape[1] or not 0.02 * height <= high <= 0.2 * height or wide < 2 * high:
        return False
    inside = strokes[top : top + high, left : left + wide]
    if not _PACKED[0] <= inside.mean() <= _PACKED[1] or float(np.std(frame[strokes])) > _EVEN:
        return False
    # A line of text changes from stroke to gap about once in half its height; a rail or a roof edge does not.
    changes = (np.diff(inside.astype(np.int8), axis=1) != 0).sum(1)
    middle = changes[len(changes) // 4 : max(1, 3 * len(changes) // 4) + 1]
    return bool(np.median(middle) >= max(6.0, 0.8 * wide / high))


def around(boxes: Sequence[Box]) -> Box | None:
    """The box around all; None for none."""
    if not boxes:
        return None
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[0] + b[2] for b in boxes), max(b[1] + b[3] for b in boxes)
    return left, top, right - left, bottom - top
