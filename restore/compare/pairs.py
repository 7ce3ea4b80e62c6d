"""Two sources decoded side by side, their frames paired by time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from restore.color import Transfer
from restore.io.containers import LEAD
from restore.io.decode import decode
from restore.io.output import CONTAINERS
from restore.io.source import Source, Span
from restore.panels.match import Moment, match
from restore.panels.panel import Picture, Projector, panel_format
from restore.planes import Kernel
from restore.threads import Ahead
from restore.video import FrameBatch

EDGE = Fraction(1)
"""Seconds that one video may begin before the other, or go on after it, to be shown all the same."""
_NEAR = Fraction(1, 2)
"""Seconds: a clock that begins so near to where it should is taken to begin there."""
_HDR = {Transfer.PQ, Transfer.HLG}
_QUEUED = 8

Frames = Iterator[tuple[Fraction, FrameBatch]]
"""(seconds on A's clock, a batch of one frame)."""


class Pairs:
    """Every frame of both that is compared. Iterate once; the counts are of what has passed."""

    def __init__(
        self,
        a: Source,
        b: Source,
        *,
        offset: Fraction | None = None,
        start: Fraction | None = None,
        end: Fraction | None = None,
        kernel: Kernel = "lanczos3",
    ) -> None:
        """`offset`: seconds after A's first frame that are B's time 0; None: the clocks run alike, as those of a
        restoration and its source do. `start`, `end`: seconds after A's first frame."""
        self.sources = (a, b)
        formats = (a.video.format, b.video.format)
        self.panel = panel_format(*formats)
        """Of the pictures."""
        self.first = a.video.start_pts * formats[0].time_base
        """Seconds of A's first frame on its clock."""
        self.pairs = self.only_a = self.only_b = 0
        self.gap = Fraction(0)
        """Largest distance in time of two frames of a pair, seconds."""
        self._offset, self._start, self._end, self._kernel = offset, start, end, kernel
        self._projectors = [Projector(f, self.panel, kernel) for f in formats]
        self._shown: list[tuple[FrameBatch, Picture] | None] = [None, None]
        self._begun: Fraction | None = None
        self._last = Fraction(0)
        self._begun_late = self._ended_early = False

    def __iter__(self) -> Iterator[Moment[FrameBatch, FrameBatch]]:
        """Moments with times on A's clock, without what only one of the two has at its ends: beyond EDGE, or all of it
        where B is a part."""
        flows = [Ahead(self._frames(n), _QUEUED, f"decode {'AB'[n]}") for n in (0, 1)]
        try:
            for moment in self._wanted(_Side(flows[0]), _Side(flows[1])):
                self._count(moment)
                yield moment
        finally:
            for flow in flows:
                flow.close()

    def pictures(self, moment: Moment[FrameBatch, FrameBatch]) -> Moment[Picture, Picture]:
        """The moment as pictures of the panel, its times counted from A's first frame."""
        return Moment(
            moment.time - self.first,
            self._picture(0, moment.a),
            self._picture(1, moment.b),
            None if moment.a_time is None else moment.a_time - self.first,
            None if moment.b_time is None else moment.b_time - self.first,
            moment.a_here,
            moment.b_here,
        )

    def differences(self) -> Iterator[str]:
        """What is done to make the two comparable, for people."""
        for name, source, projector in zip("AB", self.sources, self._projectors, strict=True):
            fmt = source.video.format
            size = f"{name} is {fmt.width}x{fmt.height}"
            if projector.scaled:
                yield f"{size}: scaled to {projector.width}x{projector.height} by {self._kernel}"
            if projector.letterboxed:
                yield f"{name} has another shape than the other: its picture has black beside or above it"
        transfers = [s.video.format.color.transfer for s in self.sources]
        if transfers[0] is not transfers[1] and _HDR & set(transfers):
            yield (
                f"transfer {transfers[0].name} and {transfers[1].name}: shown as they are, so brightness "
                "and colours cannot be compared"
            )

    def span(self) -> Span | None:
        """The part of A that has passed; None: all of it."""
        asked = (self._start, self._end) != (None, None)
        if not asked and not self._begun_late and not self._ended_early:
            return None
        start = self.first + (self._start or 0)
        if self._begun_late and self._begun is not None:
            start = self._begun
        end = None if self._end is None else self.first + self._end
        if self._ended_early:
            end = self._last + EDGE / 10
        return Span(start, end)

    def _frames(self, number: int) -> Frames:
        source, base = self.sources[number], self.sources[number].video.format.time_base
        move = Fraction(0) if number == 0 else clock_shift(*self.sources, self._offset)
        for batch in decode(source, batch=4):
            for n, info in enumerate(batch.frames):
                yield info.pts * base + move, batch[n : n + 1]

    def _wanted(self, left: _Side, right: _Side) -> Iterator[Moment[FrameBatch, FrameBatch]]:
        start = None if self._start is None else self.first + self._start
        end = None if self._end is None else self.first + self._end
        edge = EDGE if self._offset is None else Fraction(0)
        shared = max(left.first, right.first) - edge
        for moment in match(left, right):
            if end is not None and moment.time >= end:
                return
            if start is not None and moment.time < start:
                continue
            if moment.time < shared:
                self._begun_late = True
                continue
            for side, here in ((left, moment.a_here), (right, moment.b_here)):
                if side.ended and not here and moment.time > side.last + edge:
                    self._ended_early = True
            if self._ended_early:
                return
            self._begun = moment.time if self._begun is None else self._begun
            self._last = moment.time
            yield moment

    def _count(self, moment: Moment[FrameBatch, FrameBatch]) -> None:
        if moment.a_time is not None and moment.b_time is not None and moment.paired:
            self.pairs += 1
            self.gap = max(self.gap, abs(moment.a_time - moment.b_time))
        elif moment.a_here:
            self.only_a += 1
        else:
            self.only_b += 1

    def _picture(self, number: int, batch: FrameBatch | None) -> Picture | None:
        """A frame that is shown again is not converted again."""
        if batch is None:
            return None
        last = self._shown[number]
        if last is None or last[0] is not batch:
            last = self._shown[number] = (batch, self._projectors[number](batch))
        return last[1]


def clock_shift(a: Source, b: Source, offset: Fraction | None) -> Fraction:
    """Seconds to add to B's clock to get A's; `offset` as Pairs takes it."""
    lead = LEAD.get(CONTAINERS.get(b.path.suffix.lower(), ""), Fraction(0))
    # What restore and FFmpeg write begins at 0, where its earliest stream was; sound that
    # begins with its encoder's delay lies before that.
    zero = lead if abs(b.start - lead) < _NEAR else b.start
    first = a.video.start_pts * a.video.format.time_base
    if offset is not None:
        return first + offset - zero
    return min(a.start, first) - zero


class _Side(Iterator[tuple[Fraction, FrameBatch]]):
    """The frames of one video, and what is known of its ends."""

    def __init__(self, frames: Iterator[tuple[Fraction, FrameBatch]]) -> None:
        self._frames = frames
        self._held = next(frames, None)  # decode raises where there is none
        self.first = self.last = self._held[0] if self._held else Fraction(0)
        self.ended = False

    def __next__(self) -> tuple[Fraction, FrameBatch]:
        item, self._held = self._held or next(self._frames, None), None
        if item is None:
            self.ended = True
            raise StopIteration
        self.last = item[0]
        return item
