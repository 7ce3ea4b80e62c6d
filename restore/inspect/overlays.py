"""What was put on top of the picture: a logo that stays while the scenes change; for subtitles see subtitles.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
