"""Ways to see two pictures at once: beside each other, split, wiped, subtracted, with zoomed regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, get_args

import numpy as np

from restore.errors import OutputError
from restore.io.output import OutputOptions
from restore.panels.match import Moment
from restore.panels.panel import (
    NEUTRAL,
    WHITE,
    Codes,
    Picture,
    Region,
    Zoom,
    blank,
    paste,
)
from restore.panels.text import box_of, draw, text_height
from restore.planes import Kernel
from restore.video import VideoFormat

Mode = Literal["side", "split", "wipe", "difference", "grid"]
MODES: tuple[Mode, ...] = get_args(Mode)

ENCODED = OutputOptions(use="preview", crf=17)
"""How a comparison is encoded unless told otherwise: every player shows it, and the eye misses nothing."""

_GREY = 126
"""Limited-range luma of mid grey: no difference."""


@dataclass(frozen=True, slots=True)
class View:
    """What a comparison shows."""

    mode: Mode = "side"
    """side: A left, B right; split: A's left part and B's right part of one picture; wipe: the same with a border that
    moves to and fro; difference: B - A, amplified, around grey; grid: A and B above, zoomed regions of both below."""
    crops: tuple[Region, ...] = ()
    """Regions in samples of the larger video. grid shows each in a row of its own; the other modes show the one there may
    be instead of the whole picture."""
    gain: float = 4.0
    """difference: how much it is amplified."""
    position: float = 0.5
    """split: where, as a share of the width."""
    period: Fraction = Fraction(6)
    """wipe: seconds for once to and fro."""
    kernel: Kernel = "lanczos3"
    """By which the smaller video is scaled, and zoomed regions."""
    labels: tuple[str, str] | None = ("A", "B")
    """None: no text in the picture at all."""


class Composer:
    """Pairs of panel pictures as pictures of the comparison."""

    def __init__(self, view: View, panel: VideoFormat) -> None:
        """`panel`: as panel_format gives it. Raises OutputError for regions that do not lie inside it."""
        self._view, self._panel = view, panel
        crops = view.crops
        for crop in crops:
            _check(crop, panel)
        if view.mode != "grid" and len(crops) > 1:
            raise OutputError(
                f"--crop: expected one region, got {len(crops)}; try --mode grid, which shows several"
            )
        if view.mode == "grid" and not crops:
            crops = (_middle(panel),)
        self._zooms = [Zoom(crop, panel, view.kernel) for crop in crops]
        if view.mode == "grid":
            width, height = 2 * panel.width, (1 + len(crops)) * panel.height
        else:
            part = self._zooms[0].format if self._zooms else panel
            width, height = part.width * (2 if view.mode == "side" else 1), part.height
        self.format = replace(panel, width=width, height=height)
        """Of the comparison's pictures."""

    def __call__(self, moment: Moment[Picture, Picture]) -> Picture:
        """One picture, which may be written to."""
        panel, view = self._panel, self._view
        a = moment.a or blank(panel.width, panel.height)
        b = moment.b or blank(panel.width, panel.height)
        if view.mode == "grid":
            canvas = self._grid(a, b)
        else:
            if self._zooms:
                a, b = self._zooms[0](a), self._zooms[0](b)
            canvas = self._plain(a, b, moment.time)
        if view.labels is not None:
            self._label(canvas, moment, view.labels)
        return canvas

    def _plain(self, a: Picture, b: Picture, time: Fraction) -> Picture:
        mode, width = self._view.mode, a[0].shape[1]
        if mode == "side":
            return _each(lambda x, y, _: np.concatenate([x, y], 1), a, b)
        if mode == "difference":
            gain = np.float32(self._view.gain)
            return _each(lambda x, y, n: _difference(x, y, n, gain), a, b)
        return split(a, b, self._border(time, width))

    def _border(self, time: Fraction, width: int) -> int:
        """Even, 0 to width: left of it lies A."""
        if self._view.mode == "split":
            return min(width, max(0, round(self._view.position * width / 2) * 2))
        phase = (time / self._view.period) % 1
        return round((1 - abs(2 * phase - 1)) * width / 2) * 2

    def _grid(self, a: Picture, b: Picture) -> Picture:
        panel = self._panel
        canvas = blank(self.format.width, self.format.height)
        paste(canvas, a, 0, 0)
        paste(canvas, b, panel.width, 0)
        for row, zoom in enumerate(self._zooms, 1):
            x = (panel.width - zoom.format.width) // 4 * 2
            y = row * panel.height + (panel.height - zoom.format.height) // 4 * 2
            paste(canvas, zoom(a), x, y)
            paste(canvas, zoom(b), panel.width + x, y)
        return canvas

    def _label(
        self, canvas: Picture, moment: Moment[Picture, Picture], labels: tuple[str, str]
    ) -> None:
        mode, width, rows = self._view.mode, self.format.width, self.format.height
        height = text_height(self._panel.height if mode == "grid" else rows)
        if mode == "difference":
            draw(canvas, f"{labels[1]} - {labels[0]}, x{self._view.gain:g}", height, 0, 0)
        else:
            draw(canvas, labels[0], height, 0, 0)
            at_edge = mode in ("split", "wipe")
            x = width - box_of(labels[1], height).shape[1] if at_edge else width // 2
            draw(canvas, labels[1], height, max(0, x), 0)
        for row, zoom in enumerate(self._zooms if mode == "grid" else (), 1):
            draw(canvas, f"{zoom.region} x{zoom.factor}", height, 0, row * self._panel.height)
        draw(canvas, clock(moment.time), height, 0, rows, bottom=True)
        if not moment.paired:
            text = _missing(moment, labels)
            draw(canvas, text, height, 0, rows - 3 * height, bottom=True)


def _missing(moment: Moment[Picture, Picture], labels: tuple[str, str]) -> str:
    """Which side has no frame here, and what it shows instead."""
    label, shown = (labels[1], moment.b_time) if moment.a_here else (labels[0], moment.a_time)
    return f"{label}: no frame here, " + (
        "none yet" if shown is None else f"shows {clock(shown)} again"
    )


def split(a: Picture, b: Picture, border: int) -> Picture:
    """A left of sample column `border` (even), B right of it, with a white line of two samples between them."""

    def join(x: Codes, y: Codes, number: int) -> Codes:
        at = border if number == 0 else border // 2
        joined = np.concatenate([x[:, :at], y[:, at:]], 1)
        line = slice(max(0, at - 1), at + 1) if number == 0 else slice(max(0, at - 1), at)
        if 0 < at < x.shape[1]:
            joined[:, line] = WHITE if number == 0 else NEUTRAL
        return joined

    return _each(join, a, b)


def clock(seconds: Fraction) -> str:
    """'0:01.240'; rounded to the millisecond."""
    thousandths = round(abs(seconds) * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:" if hours else f"{minutes}:"
    sign = "-" if seconds < 0 else ""
    start = f"{hours}:" if hours else ""
    return f"{sign}{start}{text}{rest // 1000:02d}.{rest % 1000:03d}"


def parse_region(text: str) -> Region:
    """'x,y,w,h' -> the region. Raises OutputError."""
    try:
        x, y, width, height = (int(part) for part in text.split(","))
        if min(x, y) < 0 or min(width, height) < 2:
            raise ValueError
    except ValueError:
        raise OutputError(
            f"--crop {text}: expected x,y,width,height in samples of the larger video, such as 100,60,160,120"
        ) from None
    return Region(x, y, width, height)


def _check(crop: Region, panel: VideoFormat) -> None:
    if crop.x + crop.width > panel.width or crop.y + crop.height > panel.height:
        raise OutputError(
            f"--crop {crop}: expected a region inside the larger video, which is "
            f"{panel.width}x{panel.height}; its right lower corner is {crop.x + crop.width},{crop.y + crop.height}"
        )


def _middle(panel: VideoFormat) -> Region:
    """A quarter of each side, in the middle."""
    width, height = max(2, panel.width // 4), max(2, panel.height // 4)
    return Region((panel.width - width) // 2, (panel.height - height) // 2, width, height)


def _difference(a: Codes, b: Codes, number: int, gain: np.float32) -> Codes:
    zero = NEUTRAL if number else _GREY
    apart = b.astype(np.float32) - a.astype(np.float32)
    made: Codes = np.rint(np.clip(zero + gain * apart, 0, 255)).astype(np.uint8)
    return made


def _each(make: Callable[[Codes, Codes, int], Codes], a: Picture, b: Picture) -> Picture:
    """`make(plane of a, plane of b, its number)` for Y, Cb and Cr."""
    y, cb, cr = (make(x, z, n) for n, (x, z) in enumerate(zip(a, b, strict=True)))
    return y, cb, cr
