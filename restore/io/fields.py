"""Field matching: frames of film put together again from the fields that television spread them over.

Of a frame's two fields the first one is kept; the second is its own, that of the frame before, or that of the
frame after: whichever weaves without combing (the p, c and u matches of FFmpeg's fieldmatch and TIVTC).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from restore.io.picture import Picture, frame_of, in_format, luma_codes, planes_in
from restore.io.scan import COMBED, FITS, combing
from restore.io.source import ScanPlan

_COLUMNS = 360
"""Columns looked at: combing is vertical."""
_DIFFERS = 6
"""Codes by which two fields must differ somewhere for the choice between them to matter there."""

Luma = npt.NDArray[np.int16]


def match_fields(
    pictures: Iterable[Picture], plan: ScanPlan, read_as: str
) -> Iterator[tuple[Picture, bool]]:
    """(each picture with the second field that fits, whether it is combed still). All of one size."""
    before: tuple[Picture, Luma] | None = None
    for now, after in pairwise(_with_luma(pictures)):
        if now is None:
            continue
        past, future = before or now, after or now
        second, combed = _choose(past[1], now[1], future[1], plan.top_first)
        other = (past[0], now[0], future[0])[second]
        before = now
        yield _woven(now[0], other, plan, read_as), combed


def _with_luma(pictures: Iterable[Picture]) -> Iterator[tuple[Picture, Luma] | None]:
    """Each with its luma; None before the first and after the last."""
    yield None
    for picture in pictures:
        luma = luma_codes(picture.frame)
        step = max(1, luma.shape[1] // _COLUMNS)
        # Copied: a view would not outlive its frame.
        yield picture, luma[: luma.shape[0] // 2 * 2, ::step].astype(np.int16)
    yield None


def _choose(past: Luma, now: Luma, future: Luma, top_first: bool) -> tuple[int, bool]:
    """(0, 1 or 2: the second field of `past`, `now` or `future` fits the first one of `now`; still combed)."""
    if not top_first:
        # Upside down the bottom field is the top one.
        past, now, future = past[::-1], now[::-1], future[::-1]
    first = now[::2]
    seconds = [frame[1::2] for frame in (past, now, future)]
    changes = np.abs(seconds[0] - seconds[1]) > _DIFFERS
    changes |= np.abs(seconds[2] - seconds[1]) > _DIFFERS
    area = int(changes.sum())
    if area == 0 or len(first) < 4:
        return 1, False
    counts, rough = zip(*(combing(first, second, changes) for second in seconds), strict=True)
    # The future only where neither fits: past and future may show the same, and the past is telecine's way.
    best = 0 if rough[0] < 0.95 * rough[1] else 1
    if _combed(counts[best], max(counts), area) and rough[2] < 0.8 * rough[best]:
        best = 2
    return best, _combed(counts[best], max(counts), area)


def _combed(count: int, most: int, area: int) -> bool:
    return count >= COMBED * area and count >= FITS * most


def _woven(now: Picture, other: Picture, plan: ScanPlan, read_as: str) -> Picture:
    if other is now:
        return now
    frame = in_format(now.frame, read_as)
    made = frame_of(planes_in(frame), frame.width, frame.height, read_as)
    second = 1 if plan.top_first else 0
    for plane, lines in zip(
        planes_in(made), planes_in(in_format(other.frame, read_as)), strict=True
    ):
        plane[second::2] = lines[second::2]
    made.opaque = now.frame.opaque
    return replace(now, frame=made)
