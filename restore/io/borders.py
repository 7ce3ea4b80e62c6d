"""Borders around the picture: pillarbox, letterbox, the edge of the film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from restore.errors import InputError
from restore.io.geometry import Crop
from restore.video import VideoFormat

Lines = npt.NDArray[np.float32]

BLACK = 16
"""Black of limited range, in 8-bit codes; borders of full range are darker still."""
LEAST_CONTRAST = 60
"""Codes by which the picture must be brighter than black for its edges to be told from borders."""
LEAST_FRAMES = 8
WIDEST = 0.4
"""Share of a side that can be border: more is a picture with dark edges."""


@dataclass(frozen=True, slots=True)
class LineLevels:
    """Of one frame: how bright each row and column gets, in 8-bit codes (mean plus two standard
    deviations: grain of a border counts, a single bright sample does not)."""

    size: tuple[int, int]
    """(width, height)."""
    rows: Lines
    columns: Lines

    @staticmethod
    def of(luma: npt.NDArray[np.uint8]) -> LineLevels:
        codes = luma.astype(np.float32)
        rows, columns = (codes.mean(axis) + 2 * codes.std(axis) for axis in (1, 0))
        return LineLevels((codes.shape[1], codes.shape[0]), rows, columns)


def find_borders(frames: Sequence[LineLevels]) -> tuple[Crop, int]:
    """(border, brightness it keeps below): rows and columns at the edges that stay dark in every frame, but
    for one (which may be damaged), while the picture does not. No border where the frames are too few or too dark
    to tell. Not yet aligned to chroma."""
    if len(frames) < LEAST_FRAMES:
        return Crop(), 0
    rows, columns = (
        np.sort(np.stack(lines), axis=0)[-2]
        for lines in ([f.rows for f in frames], [f.columns for f in frames])
    )
    contrast = float(np.median(rows)) - BLACK
    if contrast < LEAST_CONTRAST:
        return Crop(), 0
    limit = BLACK + min(max(0.18 * contrast, 8.0), 40.0)
    sides = [_dark(lines, limit) for lines in (columns, rows, columns[::-1], rows[::-1])]
    return Crop(*sides), round(limit)


def _dark(lines: Lines, limit: float) -> int:
    """How many lines from the first on stay below `limit`; 0 where that is too much for a border."""
    bright = np.flatnonzero(lines >= limit)
    count = int(bright[0]) if len(bright) else len(lines)
    return count if count <= WIDEST * len(lines) else 0


def aligned(crop: Crop, fmt: VideoFormat, interlaced: bool) -> Crop:
    """The largest crop within `crop` that cuts whole chroma samples, and of interlaced pictures whole pairs of
    lines of chroma: nothing of the picture is lost, a line of border may stay."""
    down, across = (0, 0) if fmt.chroma is None else fmt.chroma.value
    lines, columns = (1 << down) * (2 if interlaced else 1), 1 << across
    return Crop(
        crop.left // columns * columns,
        crop.top // lines * lines,
        crop.right // columns * columns,
        crop.bottom // lines * lines,
    )


def asked_crop(text: str, fmt: VideoFormat, interlaced: bool, path: str) -> Crop:
    """The crop 'LEFT:TOP:RIGHT:BOTTOM'. Raises InputError where nothing would be left, or chroma cannot
    be cut there."""
    crop = Crop(*map(int, text.split(":")))
    if crop.left + crop.right >= fmt.width or crop.top + crop.bottom >= fmt.height:
        raise InputError(
            f"{path}: [input] crop: expected less than {fmt.width}x{fmt.height} samples to be cut, "
            f"got {text}; the order is LEFT:TOP:RIGHT:BOTTOM"
        )
    near = aligned(crop, fmt, interlaced)
    if near != crop:
        why = "fields and chroma" if interlaced else "chroma"
        raise InputError(
            f"{path}: [input] crop: expected whole samples of {why}, got {text}; try {near}"
        )
    return crop
