"""Finished segments, read back: their packets, and every packet's time in the whole stream.

Decode times are derived anew over the whole stream, because each segment's encoder counted its own:
dts_k = sorted(pts)_(k-r), k in decode order, r the frames by which the order of decoding goes ahead of that of display. The
first r lie closely before the first frame, however long frames last: some containers have no room for times below 0.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from restore.errors import OutputError
from restore.io.containers import without_pauses
from restore.io.encode import START
from restore.video import VideoFormat

LONGEST_LEAD = Fraction(1, 20)
"""Seconds between the decode times of frames before the first one is shown, at most."""


class SegmentClock:
    """Times of all video packets, known before the first is muxed: two integers a frame."""

    def __init__(
        self, segments: Sequence[Path], fmt: VideoFormat, longest: Fraction | None = None
    ) -> None:
        """`longest`: seconds that a frame may stand, in whole ticks; what would stand longer does not."""
        self.pts = array("q")
        """In decode order, in fmt.time_base."""
        look: tuple[Any, ...] | None = None
        for path in segments:
            with open_segment(path) as (file, stream, start):
                context = stream.codec_context
                mine = (context.extradata, context.codec.id, context.width, context.height)
                if look is not None and mine != look:
                    raise OutputError(
                        f"{path}: was encoded with other settings than {segments[0]} and cannot be "
                        f"joined to it; try deleting the unfinished output and starting again"
                    )
                look = mine
                for packet in file.demux(stream):
                    if packet.size:
                        self.pts.append(start + _ticks(packet.pts, stream, fmt))
        if not self.pts:
            raise OutputError("no segment holds a frame; try starting again")
        order = array("q", sorted(self.pts))
        self.first = order[0]
        if any(a == b for a, b in pairwise(order)):
            raise OutputError("two segments hold the same frame; try starting again")
        if longest is not None:
            ticks = longest / fmt.time_base
            moved = (t.numerator for t in without_pauses([Fraction(t) for t in order], ticks))
            shown = dict(zip(order, moved, strict=True))
            self.pts = array("q", (shown[p] for p in self.pts))
            order = array("q", sorted(self.pts))
        rank = {pts: number for number, pts in enumerate(order)}
        ahead = max(number - rank[pts] for number, pts in enumerate(self.pts))
        steps = [b - a for a, b in pairwise(order)]
        self.usual = _usual(steps)
        """Duration of a frame, in ticks."""
        step = max(1, min(int(self.usual), int(LONGEST_LEAD / fmt.time_base)))
        lead = (self.first - step * n for n in range(ahead, 0, -1))
        self.dts = array("q", [*lead, *order[: len(order) - ahead]])
        last = round(median(steps[-32:])) if steps else 1
        following = dict(zip(order, [*order[1:], order[-1] + last], strict=True))
        self.durations = array("q", (following[p] - p for p in self.pts))


def packet_sizes(path: Path) -> list[tuple[bool, int]]:
    """(whether it is a key frame, bytes) of each packet of a segment."""
    with open_segment(path) as (file, stream, _):
        return [(bool(p.is_keyframe), p.size) for p in file.demux(stream) if p.size]


def _usual(steps: Sequence[int]) -> Fraction:
    """The mean where the rate is constant but for rounding to ticks, else the median."""
    mean = Fraction(sum(steps), len(steps)) if steps else Fraction(1)
    constant = all(abs(step - mean) <= 1 for step in steps)
    return mean if constant else Fraction(median(steps))


class open_segment:  # noqa: N801 - a context manager that reads as a verb
    """(file, its video stream, pts of its first frame)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[InputContainer, VideoStream, int]:
        try:
            self._file = av.open(str(self._path), "r")
            start = int(self._file.metadata[START])
            return self._file, self._file.streams.video[0], start
        except (av.FFmpegError, KeyError, IndexError, ValueError) as error:
            raise OutputError(
                f"{self._path}: is not a whole segment ({error}); try deleting it and starting again"
            ) from error

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _ticks(pts: int | None, stream: Stream, fmt: VideoFormat) -> int:
    """A segment's time in fmt.time_base: exact, NUT only multiplies the base."""
    exact = (pts or 0) * Fraction(stream.time_base or 0) / fmt.time_base
    if exact.denominator != 1:
        raise OutputError(f"a segment holds a time between two ticks: {exact}")
    return exact.numerator
