"""The comparison that `restore run --compare` makes in the same pass: before and after, segment by segment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from restore.errors import OutputError
from restore.io.encode import SegmentEncoder, check_output, encoded_format
from restore.io.mux import join
from restore.io.output import CONTAINERS, OutputOptions, fitted_to
from restore.io.settle import settle
from restore.io.source import Source, Span
from restore.io.streams import StreamPlan, plan_streams
from restore.io.verify import verify
from restore.panels.match import Moment
from restore.panels.panel import Picture, Projector, batch_of, panel_format
from restore.panels.view import ENCODED, Composer, View
from restore.threads import Behind
from restore.video import FrameBatch, FrameInfo, VideoFormat

_QUEUED = 8
"""Pairs of frames that wait for the comparison's encoder."""


@dataclass(frozen=True)
class Side:
    """A comparison whose every setting has been checked; nothing has been written."""

    path: Path
    view: View
    before: VideoFormat
    after: VideoFormat
    """As the worker delivers it."""
    encoded: VideoFormat
    options: OutputOptions
    streams: StreamPlan

    @property
    def kind(self) -> str:
        """Name of its segments' files; another where they would hold something else."""
        settings = repr((self.view, self.encoded, self.options))
        return f"side-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def prepare_side(
    path: Path,
    view: View,
    source: Source,
    after: VideoFormat,
    others: Sequence[Path],
    part: bool,
    overwrite: bool,
) -> Side:
    """Raises OutputError where the comparison cannot or must not be written. `others`: files that it may not be; `part`:
    only a part of the source is wanted."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise OutputError(f"--compare {path}: expected a file name in a folder that exists")
    if any(path.absolute() == other.absolute() for other in others):
        raise OutputError(f"--compare {path}: is the input or the output; choose another name")
    if path.exists() and not overwrite:
        raise OutputError(
            f"--compare {path}: exists already; choose another name or pass --overwrite"
        )
    before = source.video.format
    options = fitted_to(ENCODED, CONTAINERS.get(path.suffix.lower()))
    composer = Composer(view, panel_format(before, after))
    shape = replace(composer.format, time_base=after.time_base)
    problems = check_output(options, shape, path)
    if problems:
        raise OutputError("\n".join(f"--compare: {p}" for p in problems))
    streams = plan_streams(source, path.suffix.lower().removeprefix("."), "copy", part)
    encoded = encoded_format(options, shape)
    return Side(path, view, before, after, encoded, options, streams)


class SideWriter:
    """One segment of the comparison, made in a thread of its own."""

    def __init__(self, side: Side, path: Path, first: Fraction) -> None:
        """`first`: seconds of the video's first frame, which is 0 in the picture."""
        panel = panel_format(side.before, side.after)
        self._side, self._first = side, first
        self._composer = Composer(side.view, panel)
        kernel = side.view.kernel
        self._projectors = [Projector(f, panel, kernel) for f in (side.before, side.after)]
        self._encoder = SegmentEncoder(path, side.encoded, side.options)
        self._before: dict[int, FrameBatch] = {}
        self._behind = Behind(self._encode, _QUEUED, "side")

    def watch(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """The batches as they are, on their way into the worker; their frames are kept until they come out."""
        for batch in batches:
            for n, info in enumerate(batch.frames):
                self._before[info.index] = batch[n : n + 1]
            yield batch

    def put(self, made: FrameBatch) -> None:
        """Frames as they came out. Raises what went wrong with earlier ones."""
        for n, info in enumerate(made.frames):
            self._behind.put((self._before[info.index], made[n : n + 1]))
        last = made.frames[-1].index
        # A copy of the keys: `watch` may add some in another thread.
        for index in [i for i in list(self._before) if i <= last]:
            del self._before[index]

    def close(self) -> None:
        """Only now does the file exist."""
        self._behind.finish()
        self._encoder.close()

    def abort(self) -> None:
        """Leave nothing behind."""
        self._encoder.abort(idle=self._behind.close())

    def _encode(self, pair: tuple[FrameBatch, FrameBatch]) -> None:
        info = pair[1].frames[0]
        time = info.pts * self._side.after.time_base - self._first
        a, b = (project(batch) for project, batch in zip(self._projectors, pair, strict=True))
        moment: Moment[Picture, Picture] = Moment(time, a, b, time, time, True, True)
        own = FrameInfo(info.index, info.pts, info.duration)
        picture, fmt = self._composer(moment), self._composer.format
        self._encoder.write(batch_of(picture, own, fmt, self._side.encoded))


def finish_side(
    side: Side,
    segments: Sequence[Path],
    source: Source,
    times_ms: Sequence[Fraction],
    span: Span | None,
    joined: Path,
) -> None:
    """Join the segments into the file `joined`, and read it back. Raises OutputError."""
    plan, _ = settle(source, side.streams, Fraction(times_ms[0]) / 1000, "copy", span)
    join(segments, source, plan, joined, side.encoded, span)
    verify(joined, times_ms, side.encoded, source, plan, span)
