"""Stills and a short film of both, for the page."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from restore.compare.pairs import Pairs
from restore.io.encode import SegmentEncoder, encoded_format
from restore.io.mux import join
from restore.io.output import OutputOptions
from restore.io.source import Span
from restore.io.streams import StreamPlan
from restore.panels.match import Moment
from restore.panels.panel import Picture, Projector, batch_of, blank, rgb_of
from restore.preview.sheet import jpeg_bytes
from restore.video import FrameBatch, FrameInfo, VideoFormat

WIDEST = 960
"""Columns of the film on the page, at most: it is copied into the page."""
_OPTIONS = OutputOptions(use="preview", crf=21, options={"bf": "0", "g": "25"})
"""Every browser plays it, and steps back through it without delay."""


@dataclass(frozen=True)
class Still:
    time: Fraction
    """Seconds after A's first frame."""
    before: bytes
    """JPEG."""
    after: bytes


@dataclass(frozen=True)
class Film:
    """A above B in one picture, so that they cannot fall out of step."""

    content: bytes
    """MP4 (H.264)."""
    size: tuple[int, int]
    """(columns, lines) of each, in samples."""
    start: Fraction
    """Seconds after A's first frame."""
    starts: tuple[Fraction, ...]
    """Of each frame, in seconds after the film's first."""


@dataclass(frozen=True)
class Pictures:
    stills: list[Still]
    film: Film | None
    shape: Fraction
    """Width over height of a picture as it is shown."""


def take(pairs: Pairs, times: Sequence[Fraction], start: Fraction, seconds: Fraction) -> Pictures:
    """Stills at `times` (of moments, seconds after A's first frame, rising), and a film of `seconds` from `start`; 0: no film."""
    panel = pairs.panel
    shape = panel.sample_aspect * panel.width / panel.height
    wanted, stills = list(times), list[Still]()
    end = start + seconds
    with tempfile.TemporaryDirectory() as folder:
        film = _FilmMaker(panel, Path(folder))
        for moment in pairs:
            time = moment.time - pairs.first
            if wanted and time == wanted[0]:
                wanted.pop(0)
                stills.append(_still(pairs.pictures(moment), panel))
            if start <= time < end:
                film.add(moment, pairs)
            if not wanted and time >= end:
                break
        made = film.finish(pairs)
    return Pictures(stills, made, shape)


def _still(shown: Moment[Picture, Picture], panel: VideoFormat) -> Still:
    empty = blank(panel.width, panel.height)
    a, b = (jpeg_bytes(rgb_of(p or empty, panel)) for p in (shown.a, shown.b))
    return Still(shown.time, a, b)


class _FilmMaker:
    def __init__(self, panel: VideoFormat, folder: Path) -> None:
        part = min(1.0, WIDEST / panel.width)
        width, height = (max(4, round(n * part / 4) * 4) for n in (panel.width, panel.height))
        aspect = panel.sample_aspect * panel.width * height / (panel.height * width)
        self._each = replace(panel, width=width, height=height, sample_aspect=aspect)
        stacked = replace(self._each, height=2 * height, time_base=Fraction(1, 90_000))
        self._format = encoded_format(_OPTIONS, stacked)
        self._folder, self._file = folder, folder / "film.nut"
        self._encoder = SegmentEncoder(self._file, self._format, _OPTIONS)
        self._shrink = Projector(panel, self._each, "lanczos3")
        self._panel = panel
        self._times: list[Fraction] = []

    def add(self, moment: Moment[FrameBatch, FrameBatch], pairs: Pairs) -> None:
        shown = pairs.pictures(moment)
        halves = [self._small(p) for p in (shown.a, shown.b)]
        y, cb, cr = (np.concatenate(both) for both in zip(*halves, strict=True))
        self._times.append(shown.time)
        pts = round(shown.time / self._format.time_base)
        info = FrameInfo(len(self._times) - 1, pts, 1)
        self._encoder.write(batch_of((y, cb, cr), info, self._format, self._format))

    def finish(self, pairs: Pairs) -> Film | None:
        if not self._times:
            self._encoder.abort()
            return None
        self._encoder.close()
        target = self._folder / "film.mp4"
        span = Span(self._times[0])  # its first frame is 0
        join([self._file], pairs.sources[0], _ALONE, target, self._format, span)
        size = (self._each.width, self._each.height)
        starts = tuple(time - self._times[0] for time in self._times)
        return Film(target.read_bytes(), size, self._times[0], starts)

    def _small(self, picture: Picture | None) -> Picture:
        picture = picture or blank(self._panel.width, self._panel.height)
        return self._shrink(batch_of(picture, FrameInfo(0, 0, 1), self._panel, self._panel))


_ALONE = StreamPlan("mp4", chapters=False)
"""No sound: a page should not speak unasked."""
