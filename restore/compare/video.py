"""A comparison of two videos as a video, with the first one's sound: `restore compare`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from restore.compare.pairs import Pairs
from restore.compare.placement import find_placement
from restore.errors import InputError, OutputError
from restore.faults import cannot_write
from restore.io.encode import SegmentEncoder, check_output, container_of, encoded_format
from restore.io.join import common_tick, open_source
from restore.io.mux import join
from restore.io.output import CONTAINERS, OutputOptions, fitted_to
from restore.io.probe import InputOptions
from restore.io.settle import settle
from restore.io.streams import plan_streams
from restore.io.verify import verify
from restore.panels.panel import batch_of
from restore.panels.view import ENCODED, Composer, View
from restore.placing import give_name
from restore.threads import Behind
from restore.video import FrameInfo

FINE = Fraction(1, 90_000)
"""Seconds: times of frames that B alone has are right to this."""
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
    place = find_placement(a, b, job.offset, job.input.crop != "off", note)
    for line in place.notes:
        note(line)
    if place.crop is not None:
        a = open_source([job.a], job.input.model_copy(update={"crop": place.crop}))
    pairs = Pairs(a, b, offset=place.offset, start=job.start, end=job.end, kernel=job.view.kernel)
    composer = Composer(job.view, pairs.panel)
    base = common_tick(a.video.format.time_base, FINE)
    shape = replace(composer.format, time_base=base)
    container_of(job.output)
    problems = check_output(options, shape, job.output)
    if problems:
        raise OutputError("\n".join(f"{job.output.name}: {p}" for p in problems))
    encoded = encoded_format(options, shape)
    for line in pairs.differences():
        note(line)
    folder = tempfile.TemporaryDirectory(prefix=f".{job.output.name}.", dir=job.output.parent)
    with folder as name:
        file, joined = Path(name) / "comparison.nut", Path(name) / job.output.name
        encoder = SegmentEncoder(file, encoded, options)
        pts = _encode(job, pairs, composer, encoder, progress)
        span = pairs.span()
        container = job.output.suffix.lower().removeprefix(".")
        plan = plan_streams(a, container, "copy", span is not None)
        plan, _ = settle(a, plan, pts[0] * base, "copy", span)
        for line in (*plan.lines(), *join([file], a, plan, joined, encoded, span)):
            note(line)
        verify(joined, [p * base * 1000 for p in pts], encoded, a, plan, span)
        size = joined.stat().st_size
        try:
            give_name(joined, job.output, overwrite=job.overwrite)
        except OSError as error:
            raise cannot_write(
                job.output, error, "it was made meanwhile, and stays as it is"
            ) from error
    return Compared(
        job.output, len(pts), pairs.pairs, pairs.only_a, pairs.only_b, pairs.gap * 1000, size
    )


def _encode(
    job: Comparison,
    pairs: Pairs,
    composer: Composer,
    encoder: SegmentEncoder,
    progress: Callable[[Fraction], None],
) -> list[int]:
    """All frames asked for; their times on A's clock, in the encoder's time base. Raises InputError where there is
    none."""
    base, pts = encoder.format.time_base, list[int]()
    writer = Behind(encoder.encode, _QUEUED, "encode")
    try:
        for moment in pairs:
            at = round(moment.time / base)
            pts.append(max(at, pts[-1] + 1) if pts else at)
            picture = composer(pairs.pictures(moment))
            info = FrameInfo(len(pts) - 1, pts[-1], 1)
            batch = batch_of(picture, info, composer.format, encoder.format)
            writer.put(encoder.frames(batch))
            progress(moment.time - pairs.first)
        if not pts:
            asked = (job.start, job.end) != (None, None)
            raise InputError(
                f"{job.a}, {job.b}: expected frames of both at the same times, found none"
                + (" in the time range asked for" if asked else "")
                + "; try --offset, which says where in A the other begins"
            )
        writer.finish()
        encoder.close()
    except BaseException:
        encoder.abort(idle=writer.close())
        raise
    return pts


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
