"""A comparison of two videos as a video, with the first one's sound: `restore compare`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from restore.color import Transfer
from restore.errors import InputError, OutputError
from restore.io.containers import LEAD
from restore.io.decode import decode
from restore.io.encode import SegmentEncoder, check_output, encoded_format
from restore.io.join import common_tick, open_source
from restore.io.mux import join
from restore.io.output import CONTAINERS, OutputOptions, fitted_to
from restore.io.probe import InputOptions
from restore.io.source import Source, Span
from restore.io.streams import plan_streams
from restore.io.verify import verify
from restore.panels.match import Moment, match
from restore.panels.panel import Picture, Projector, batch_of, panel_format
from restore.panels.view import ENCODED, Composer, View
from restore.run.threads import Ahead, Behind
from restore.video import FrameBatch, FrameInfo, VideoFormat

EDGE = Fraction(1)
"""Seconds that one video may begin before the other, or go on after it, to be shown all the same."""
FINE = Fraction(1, 90_000)
"""Seconds: times of frames that B alone has are right to this."""
_NEAR = Fraction(1, 2)
"""Seconds: a clock that begins so near to where it should is taken to begin there."""
_HDR = {Transfer.PQ, Transfer.HLG}
_QUEUED = 8


@dataclass(frozen=True)
class Comparison:
    """All that `restore compare` was asked to do."""

    a: Path
    b: Path
    output: Path
    view: View = field(default_factory=View)
    options: OutputOptions = ENCODED
    offset: Fraction | None = None
    """Seconds after A's first frame that are B's time 0; None: the clocks run alike, as those of a restoration do."""
    start: Fraction | None = None
    """Seconds after A's first frame."""
    end: Fraction | None = None
    input: InputOptions = field(default_factory=InputOptions)
    """How A is read, so that its borders and fields are treated as the restoration treated them."""
    overwrite: bool = False
    threads: int = 2


@dataclass(frozen=True)
class Compared:
    """What a comparison holds."""

    output: Path
    frames: int
    pairs: int
    only_a: int
    """Frames of A without one of B."""
    only_b: int
    largest_gap_ms: Fraction
    """Between the times of two frames of a pair."""
    size: int
    """Bytes."""


def compare(
    job: Comparison, note: Callable[[str], None], progress: Callable[[Fraction], None]
) -> Compared:
    """Make the comparison; `note` hears what a user should know, `progress` the seconds of A that are done. Raises
    RestoreError; nothing is left behind then."""
    _check_names(job)
    options = fitted_to(job.options, CONTAINERS.get(job.output.suffix.lower()))
    a, b = open_source([job.a], job.input), open_source([job.b], InputOptions())
    work = _Work(job, a, b, note)
    shape = replace(work.composer.format, time_base=work.base)
    problems = check_output(options, shape, job.output)
    if problems:
        raise OutputError("\n".join(f"{job.output.name}: {p}" for p in problems))
    encoded = encoded_format(options, shape)
    for line in work.differences():
        note(line)
    folder = tempfile.TemporaryDirectory(prefix=f".{job.output.name}.", dir=job.output.parent)
    with folder as name:
        file, joined = Path(name) / "comparison.nut", Path(name) / job.output.name
        encoder = SegmentEncoder(file, encoded, options, job.threads)
        work.encode(encoder, encoded, progress)
        span = work.span()
        cut = span is not None
        plan = plan_streams(a, job.output.suffix.lower().removeprefix("."), "copy", cut)
        for line in (*plan.lines(), *join([file], a, plan, joined, encoded, span)):
            note(line)
        verify(joined, [p * work.base * 1000 for p in work.pts], encoded, a, plan, span)
        size = joined.stat().st_size
        joined.replace(job.output)
    return Compared(
        job.output,
        len(work.pts),
        work.pairs,
        work.only_a,
        work.only_b,
        work.gap * 1000,
        size,
    )


class _Work:
    """Two sources on their way to one picture."""

    def __init__(self, job: Comparison, a: Source, b: Source, note: Callable[[str], None]) -> None:
        self._job, self._note = job, note
        self._sources = (a, b)
        formats = (a.video.format, b.video.format)
        self._panel = panel_format(*formats)
        kernel = job.view.kernel
        self._projectors = [Projector(f, self._panel, kernel) for f in formats]
        self._shown: list[tuple[FrameBatch, Picture] | None] = [None, None]
        self.composer = Composer(job.view, self._panel)
        self.base = common_tick(formats[0].time_base, FINE)
        self.first = a.video.start_pts * formats[0].time_base
        self.pts: list[int] = []
        """Of the comparison's frames: A's clock, in `base`."""
        self.pairs = self.only_a = self.only_b = 0
        self.gap = Fraction(0)
        self._begun_late = self._ended_early = False

    def differences(self) -> Iterator[str]:
        """What is done to make the two comparable."""
        for name, source, projector in zip("AB", self._sources, self._projectors, strict=True):
            fmt = source.video.format
            size = f"{name} is {fmt.width}x{fmt.height}"
            if projector.scaled:
                yield f"{size}: scaled to {projector.width}x{projector.height} by {self._job.view.kernel}"
            if projector.letterboxed:
                yield f"{name} has another shape than the other: its picture has black beside or above it"
        transfers = [s.video.format.color.transfer for s in self._sources]
        if transfers[0] is not transfers[1] and _HDR & set(transfers):
            yield (
                f"transfer {transfers[0].name} and {transfers[1].name}: shown as they are, so brightness "
                "and colours cannot be compared"
            )

    def encode(
        self, encoder: SegmentEncoder, encoded: VideoFormat, progress: Callable[[Fraction], None]
    ) -> None:
        """All frames asked for. Raises InputError where there is none."""
        flows = [Ahead(self._frames(n), _QUEUED, f"decode {'AB'[n]}") for n in (0, 1)]
        writer = Behind(encoder.encode, _QUEUED, "encode")
        try:
            for moment in self._wanted(flows[0], flows[1]):
                batch = self._compose(moment, encoded)
                writer.put(encoder.frames(batch))
                progress(moment.time)
            if not self.pts:
                raise InputError(
                    f"{self._job.a}, {self._job.b}: expected frames of both at the same times, found none"
                    + (
                        ""
                        if self._job.start is None and self._job.end is None
                        else " in the time range asked for"
                    )
                    + "; try --offset, which says where in A the other begins"
                )
            writer.finish()
            encoder.close()
        except BaseException:
            writer.close()
            encoder.abort()
            raise
        finally:
            for flow in flows:
                flow.close()

    def span(self) -> Span | None:
        """The part of A that the comparison covers; None: all of it."""
        job = self._job
        if job.start is None and job.end is None and not self._begun_late and not self._ended_early:
            return None
        start = self.pts[0] * self.base if self._begun_late else self.first + (job.start or 0)
        end = None if job.end is None else self.first + job.end
        if self._ended_early:
            end = self.pts[-1] * self.base + EDGE / 10
        return Span(start, end)

    def _frames(self, number: int) -> Iterator[tuple[Fraction, FrameBatch]]:
        """(seconds on A's clock, a batch of one frame)."""
        source, base = self._sources[number], self._sources[number].video.format.time_base
        move = Fraction(0) if number == 0 else self._b_at()
        for batch in decode(source, batch=4):
            for n, info in enumerate(batch.frames):
                yield info.pts * base + move, batch[n : n + 1]

    def _b_at(self) -> Fraction:
        """Seconds to add to B's clock to get A's."""
        a, b = self._sources
        lead = LEAD.get(CONTAINERS.get(b.path.suffix.lower(), ""), Fraction(0))
        # What restore and FFmpeg write begins at 0, where its earliest stream was; sound that
        # begins with its encoder's delay lies before that.
        zero = lead if abs(b.start - lead) < _NEAR else b.start
        if self._job.offset is not None:
            return self.first + self._job.offset - zero
        return min(a.start, self.first) - zero

    def _wanted(
        self, a: Iterator[tuple[Fraction, FrameBatch]], b: Iterator[tuple[Fraction, FrameBatch]]
    ) -> Iterator[Moment[FrameBatch, FrameBatch]]:
        """The frames that are compared, without what only one of the two has at its ends."""
        left, right = _Side(a), _Side(b)
        job = self._job
        start = None if job.start is None else self.first + job.start
        end = None if job.end is None else self.first + job.end
        shared = max(left.first, right.first) - EDGE
        for moment in match(left, right):
            if end is not None and moment.time >= end:
                return
            if start is not None and moment.time < start:
                continue
            if moment.time < shared:
                self._begun_late = True
                continue
            for side, here in ((left, moment.a_here), (right, moment.b_here)):
                if side.ended and not here and moment.time > side.last + EDGE:
                    self._ended_early = True
            if self._ended_early:
                return
            yield moment

    def _compose(self, moment: Moment[FrameBatch, FrameBatch], encoded: VideoFormat) -> FrameBatch:
        """The picture of a moment, its time noted."""
        pts = round(moment.time / self.base)
        if self.pts:
            pts = max(pts, self.pts[-1] + 1)
        self.pts.append(pts)
        self._count(moment)
        shown = Moment(
            moment.time - self.first,
            self._picture(0, moment.a),
            self._picture(1, moment.b),
            None if moment.a_time is None else moment.a_time - self.first,
            None if moment.b_time is None else moment.b_time - self.first,
            moment.a_here,
            moment.b_here,
        )
        info = FrameInfo(len(self.pts) - 1, pts, 1)
        return batch_of(self.composer(shown), info, self.composer.format, encoded)

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


def _check_names(job: Comparison) -> None:
    """Raises OutputError."""
    output = job.output
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise OutputError(f"{output}: expected a file name in a folder that exists")
    if output.exists():
        if any(path.exists() and output.samefile(path) for path in (job.a, job.b)):
            raise OutputError(f"{output}: is one of the two inputs; choose another name")
        if not job.overwrite:
            raise OutputError(f"{output}: exists already; choose another name or pass --overwrite")
    if job.start is not None and job.end is not None and job.end <= job.start:
        raise OutputError("--end: expected a time after --start")
