"""Stills of a preview, and sheets that show them beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from restore.errors import OutputError
from restore.panels.panel import rgb_of
from restore.panels.text import box_of, drawable
from restore.panels.view import clock
from restore.preview.render import Preview

Image = npt.NDArray[np.uint8]
"""(H, W, 3) R, G, B."""

CELL = 400
"""Columns of a picture on the contact sheet, at least as wide where it fits two on a screen."""
DETAIL = (320, 240)
"""Columns and lines of a detail: sample by sample."""
_GAP = 6
_INK, _PAPER = 235, 24
_TEXT = 12


def stills(made: Preview) -> dict[str, Image]:
    """By file name: every moment before and after, in square samples; the contact sheet; the sheet of details."""
    names = ["before", *(_file_name(shown.spec.name) for shown in made.after)]
    columns = [made.before, *(shown.pictures for shown in made.after)]
    images = [[rgb_of(picture, made.panel) for picture in column] for column in columns]
    found: dict[str, Image] = {}
    for number, time in enumerate(made.times):
        at = clock(time).replace(":", "-")
        for name, column in zip(names, images, strict=True):
            found[f"{number + 1:02d}_{at}_{name}.png"] = column[number]
    heads = ["before", *(_head(made, n) for n in range(len(made.after)))]
    found["sheet.png"] = sheet(heads, made.times, [[_small(i) for i in c] for c in images])
    places = [busiest(image) for image in images[0]]
    details = [[_detail(i, at) for i, at in zip(c, places, strict=True)] for c in images]
    found["details.png"] = sheet(heads, made.times, details)
    return found


def sheet(
    heads: Sequence[str], times: Sequence[Fraction], columns: Sequence[Sequence[Image]]
) -> Image:
    """A column for each head, a row for each time. All pictures have one size."""
    height, width = columns[0][0].shape[:2]
    top = box_of("X", _TEXT).shape[0]
    rows = top + len(times) * (height + top + _GAP)
    canvas = np.full((rows, len(columns) * (width + _GAP) - _GAP, 3), _PAPER, np.uint8)
    for number, (head, column) in enumerate(zip(heads, columns, strict=True)):
        x = number * (width + _GAP)
        _write(canvas, head, x, 0, width)
        for row, (time, image) in enumerate(zip(times, column, strict=True)):
            y = top + row * (height + top + _GAP)
            if number == 0:
                _write(canvas, clock(time), x, y, width)
            canvas[y + top : y + top + height, x : x + width] = image
    return canvas


def busiest(image: Image) -> tuple[int, int]:
    """(x, y) of the top left corner of the detail with most fine structure (mean absolute Laplacian)."""
    height, width = image.shape[:2]
    size = (min(DETAIL[0], width), min(DETAIL[1], height))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    fine = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    total = np.pad(fine.cumsum(0, np.float64).cumsum(1), ((1, 0), (1, 0)))
    inside = total[size[1] :, size[0] :] - total[: -size[1], size[0] :]
    inside = inside - total[size[1] :, : -size[0]] + total[: -size[1], : -size[0]]
    y, x = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(x), int(y)


def write_png(path: Path, image: Image) -> None:
    """The file appears whole or not at all. Raises OutputError."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(png_bytes(image))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def png_bytes(image: Image) -> bytes:
    """An (H, W, 3) R, G, B picture as PNG."""
    return _encoded(".png", image, [])


def jpeg_bytes(image: Image, quality: int = 90) -> bytes:
    """The same as JPEG with chroma at full size."""
    full = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encoded(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *full])


def _encoded(kind: str, image: Image, options: list[int]) -> bytes:
    done, data = cv2.imencode(kind, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise OutputError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be written")
    return bytes(data)


def _head(made: Preview, number: int) -> str:
    """A pipeline's name and what it would cost."""
    shown = made.after[number]
    cost = shown.cost
    if cost is None or cost.seconds is None or cost.bytes is None:
        return shown.spec.name
    return f"{shown.spec.name}: {duration_text(cost.seconds)}, {size_text(cost.bytes)}"


def duration_text(seconds: float) -> str:
    """About how long: '40 s', '12 min', '20 h 10 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def size_text(size: float) -> str:
    """About how large: '3.4 MB', '1.2 GB'."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _file_name(pipeline: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in pipeline)


def _small(image: Image) -> Image:
    height, width = image.shape[:2]
    if width <= CELL:
        return image
    size = (CELL, max(1, round(height * CELL / width)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _detail(image: Image, at: tuple[int, int]) -> Image:
    return image[at[1] : at[1] + DETAIL[1], at[0] : at[0] + DETAIL[0]]


def _write(canvas: Any, text: str, x: int, y: int, width: int) -> None:
    cover = box_of(drawable(text), _TEXT)[:, :width]
    part = canvas[y : y + cover.shape[0], x : x + cover.shape[1]]
    share = cover[: part.shape[0], : part.shape[1], None].astype(np.float32) / 255
    part[:] = np.rint(_PAPER + (_INK - _PAPER) * share).astype(np.uint8)
