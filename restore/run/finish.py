"""The last steps of a run: segments joined, the file read again and compared. Names are given by run.commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, count
from pathlib import Path

from restore.allocation import give_back_freed
from restore.errors import InputError, OutputError
from restore.index import Index
from restore.io.decode import decode
from restore.io.framemd5 import sidecar_of, write_framemd5
from restore.io.mux import join
from restore.io.settle import settle
from restore.io.source import Span
from restore.io.streams import StreamPlan
from restore.io.verify import VerifyReport, verify
from restore.placing import give_name
from restore.run.archive_log import restore_log
from restore.run.job import Listener, Prepared
from restore.run.journal import Journal
from restore.run.parts import parts_dir
from restore.run.side import finish_side


@dataclass(frozen=True)
class Finished:
    """An output that holds what it should."""

    verified: VerifyReport
    sound: tuple[str, ...]
    """What a listener may want to know of the sound."""
    size: int
    """Bytes."""
    path: Path
    """Where it lies until it gets its name."""
    plan: StreamPlan
    """As the file was made: the whole of the source was seen by then."""


def finish(
    prepared: Prepared,
    journal: Journal,
    index: Index,
    segments: Sequence[Path],
    span: Span | None,
    listener: Listener,
    phase: Callable[[str], AbstractContextManager[None]],
    sides: Sequence[Path] = (),
) -> Finished:
    """Join `segments` into the job's output, with the source's other streams, and those of the comparison (`sides`)
    into its file, all in the journal's folder. `phase` takes the time of each step. Raises InputError when there is no frame, OutputError when the file is not what it should
    be: it is kept as .failed, and the segments stay."""
    job, spec, source = prepared.job, prepared.job.spec, prepared.source
    if not index.pts:
        raise _no_frames(prepared)
    listener.note("joining segments and streams")
    give_back_freed()
    joined = journal.room("film") / job.output.name
    base, plan = index.time_base, prepared.streams
    archive = spec.output.use == "archive"
    if archive:
        log = restore_log(spec, source, plan, index, journal.subject, journal.kept_terms)
        plan = replace(plan, attached=(log,))
    times = [p * base * 1000 for p in index.pts]
    source = replace(source, end=(index.pts[-1] + index.durations[-1]) * base)
    plan, changed = settle(source, plan, times[0] / 1000, spec.output.audio, span)
    for line in changed:
        listener.note(line)
    with phase("join"):
        sound = join(segments, source, plan, joined, prepared.output, span)
    for line in sound:
        listener.note(line)
    try:
        with phase("verify"):
            verified = verify(joined, times, prepared.output, source, plan, span)
    except OutputError as error:
        raise _kept_as_failed(joined, job.output, error) from error
    doubts = [f"stream {n}: not verified: {why}" for n, why in verified.unverified.items()]
    doubts += verified.notes
    for line in doubts:
        listener.note(line)
    size = joined.stat().st_size
    if archive:
        with phase("checksums"):
            write_framemd5(joined, journal.room("checksums") / sidecar_of(job.output).name)
        listener.note(f"checksums of every frame: {sidecar_of(job.output).name}")
    if prepared.side is not None:
        with phase("comparison"):
            beside = journal.room("comparison") / prepared.side.path.name
            finish_side(prepared.side, sides, source, times, span, beside)
    return Finished(verified, (*changed, *sound, *doubts), size, joined, plan)


def _no_frames(prepared: Prepared) -> InputError:
    """Says whether there is no film at all, or none in the part asked for."""
    job, source = prepared.job, prepared.source
    first: Fraction | None = None
    last = Fraction(0)
    if prepared.span is not None:
        base = source.video.format.time_base
        for batch in decode(source):
            first = batch.frames[0].pts * base if first is None else first
            last = batch.frames[-1].pts * base - first
    if first is None:
        return InputError(
            f"{job.inputs[0]}: no frame could be decoded; is the file complete? 'restore check' shows what it claims to hold"
        )
    asked = " ".join(
        f"{name} {float(time):g}"
        for name, time in (("--start", job.start), ("--end", job.end))
        if time is not None
    )
    return InputError(
        f"{job.inputs[0]}: no frame lies in the time range asked for ({asked}): the last one comes "
        f"{float(last):.3f} s after the first"
    )


def _kept_as_failed(joined: Path, output: Path, error: OutputError) -> OutputError:
    """Keep a file that is not what it should be, under a name that says so."""
    names = (f"{output.name}.failed{n}" for n in chain([""], map(str, count(2))))
    for failed in map(output.with_name, names):
        with suppress(FileExistsError):
            give_name(joined, failed, overwrite=False)
            break
    found = str(error).replace(str(joined), str(failed))
    return OutputError(
        f"{found}\n{output}: was not made: what was written fails its check and is kept as {failed.name}; "
        f"the finished segments stay in {parts_dir(output).name}; please report this"
    )
