"""The local engine: decode thread -> device -> encode thread, segment by segment, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from restore import __version__
from restore.allocation import give_back_libraries
from restore.conceal import conceal
from restore.duplicates import mark_repeats
from restore.errors import DeviceError, InputError, OutputError, RestoreError
from restore.index import Index, Segment, build_index
from restore.io.decode import DecodeLog, decode
from restore.io.encode import SegmentEncoder
from restore.io.losses import Seen, losses
from restore.machine import VARIABLE, cpu_level
from restore.nets.backends import BackEnds, Choice
from restore.nets.tensorrt_plan import plans_dir
from restore.placing import ClaimedError, claimed
from restore.run.batches import batch_frames
from restore.run.commit import commit, targets_of
from restore.run.feed import Feed, first_alone, trim
from restore.run.finish import finish
from restore.run.inputs import Watch, hash_all, hash_input
from restore.run.job import Job, Listener, Prepared, Progress, Summary
from restore.run.journal import Journal
from restore.run.onepass import OnePass
from restore.run.report import run_report, with_output, write_report
from restore.run.side import SideWriter
from restore.run.strict import refuse_damage
from restore.threads import Ahead, Behind
from restore.video import FrameBatch
from restore.worker import Worker

_QUEUED_BATCHES = 2
"""That wait for the networks, and as many for the encoder: the faster side fills its queue however long it is."""


WritePage = Callable[[Path, dict[str, Any], Path], None]
"""write_page(film, record, page): makes the page about the film that was made."""


def run(prepared: Prepared, listener: Listener, write_page: WritePage | None = None) -> Summary:
    """Make the output and all else that was asked for, or resume making it. Interrupted at any point, the same call goes
    on after the last finished segment and gives the same bytes; interrupted while files get their names, it is
    run.commit.finish_interrupted that goes on. `write_page` makes job.page. Raises RestoreError."""
    job = prepared.job
    with ExitStack() as held:
        try:
            held.enter_context(claimed(targets_of(job).values()))
        except ClaimedError as error:
            raise OutputError(
                f"{error.path}: another process is making this file now; wait for it or choose another name"
            ) from error
        subject = _subject(prepared)
        journal = Journal(job.output, subject)
        held.callback(journal.release)
        _tell_kept(journal, listener)
        work = _Run(prepared, journal, listener, Watch(prepared.seen, subject["input"]))
        try:
            return _reported(work, write_page)
        except BaseException:
            # What stands in the way of removing it must not hide what went wrong.
            with suppress(OSError, OutputError):
                journal.give_up()
            raise


def _tell_kept(journal: Journal, listener: Listener) -> None:
    for line in journal.damaged:
        listener.note(f"starting afresh: {journal.folder.name}/{line}")
    if journal.replaced:
        listener.note(f"starting afresh: {', '.join(journal.replaced)} changed since the last run")
    elif journal.finished:
        listener.note(f"resuming: {journal.finished} segments are done already")


def _reported(work: _Run, write_page: WritePage | None) -> Summary:
    """Do the work, write the record of it whatever comes of it, and give all files their names."""
    prepared, job, journal = work.prepared, work.prepared.job, work.journal
    started = time.monotonic()

    def record(summary: Summary | None = None, error: BaseException | None = None) -> Any:
        asked = {
            "output": job.output.absolute(),
            "start": job.start,
            "end": job.end,
            "strict": job.strict,
            "device": prepared.device,
            "backend": job.backend,
            "threads": prepared.threads,
            "tile": job.tile,
        }
        timing = {
            "wall_seconds": time.monotonic() - started,
            "phases": work.phases,
            "stages": work.stages,
        }
        document = run_report(
            job.spec, prepared.source, work.streams, work.index, asked, timing, error
        )
        document["losses"] = list(prepared.losses)
        document["back_ends"] = {subject: asdict(c) for subject, c in work.backends.items()}
        if summary is not None:
            made, verified = work.made, summary.verified
            document = with_output(document, summary.output, made, verified, summary.notes)
            document["losses"] = list(summary.losses)
        return document

    def finish_work() -> tuple[Summary, Exception | None]:
        """The error is that of the page, which keeps no film back."""
        summary = work.go()
        summary.wall_seconds = time.monotonic() - started
        document = record(summary)
        if job.report is not None:
            write_report(journal.room("record") / job.report.name, document, overwrite=False)
        if job.page is None or write_page is None:
            return summary, None
        page = journal.room("page") / job.page.name
        try:
            write_page(work.made, document, page)
        except Exception as error:
            if _is_of_disk(error):
                raise
            page.unlink(missing_ok=True)
            return summary, error
        return summary, None

    try:
        try:
            summary, trouble = finish_work()
            work.watch.check()
        except Exception:
            work.watch.check()  # a file that changed explains whatever went wrong
            raise
        commit(journal, job, list(prepared.seen), journal.subject["input"])
    except BaseException as error:
        if job.report is not None and not journal.committed:
            _write_aborted(job, record, error)
        raise
    if trouble is not None:
        raise trouble
    return summary


def _write_aborted(job: Job, record: Callable[..., Any], error: BaseException) -> None:
    """Write the record of a run that came to nothing. What stands in its way is told with `error`, never instead."""
    assert job.report is not None
    try:
        write_report(job.report, record(error=error), overwrite=job.overwrite, output=job.output)
    except (RestoreError, OSError) as second:
        if isinstance(error, RestoreError):
            raise type(error)(f"{error}\n{second}") from error


def _is_of_disk(error: BaseException | None) -> bool:
    """Whether the system refused to read or write: the same command may succeed another time."""
    while error is not None:
        if isinstance(error, OSError):
            return True
        error = error.__cause__
    return False


def _subject(prepared: Prepared) -> dict[str, Any]:
    """Hashes of all that decides the picture, by the name a user knows them under."""
    job = prepared.job
    weights = [p for entry in job.spec.stages for p in entry.build().assets()]
    return {
        "input": hash_input([f for part in prepared.source.parts for f in part.files]),
        "pipeline": job.spec.fingerprint(),
        "weights": hash_all(weights),
        "time range": [str(job.start), str(job.end)],
        "version": f"{__version__}, torch {torch.__version__}{_openvino()}",
        **({"tile": job.tile} if job.tile else {}),
    }


def _openvino() -> str:
    """Not imported for it: that takes a third of a second."""
    return f", openvino {version('openvino')}" if find_spec("openvino") else ""


class _Run:
    def __init__(
        self, prepared: Prepared, journal: Journal, listener: Listener, watch: Watch
    ) -> None:
        self.prepared, self.journal, self.listener = prepared, journal, listener
        self.watch = watch
        self.made = Path()
        """The output, until it gets its name."""
        self.source, self.spec = prepared.source, prepared.job.spec
        self.span = prepared.span
        known = len(journal.damaged)
        self.index = journal.load_index() or Index(self.source.video.format.time_base)
        for line in journal.damaged[known:]:
            listener.note(f"looking through the input again: {journal.folder.name}/{line}")
        self.stages: dict[str, float] = {}
        self.phases: dict[str, float] = {}
        self.threads = prepared.threads
        self.batch = batch_frames(
            prepared.device, self.threads, self.spec.formats(self.source.video.format)
        )
        self.frames = self.frames_made = 0
        self.kept = 0
        self.backends: dict[str, Choice] = {}
        self.trouble: list[str] = []
        self.streams = prepared.streams
        self.side = prepared.side
        self.sides: list[Path] = []
        """Segments of the comparison."""

    def go(self) -> Summary:
        if self.prepared.job.strict:
            with self._phase("strict"):
                self._refuse_damage()
        self._fix_device()
        with self._phase("render"):
            files = self._once() if self.spec.frame_by_frame() else self._twice()
        return self._finish(files)

    def _once(self) -> list[Path]:
        """Frame by frame: the index is filled by the decode that is rendered."""
        self.index = Index(self.source.video.format.time_base)
        decoded = Ahead(self._decode(self.index), _QUEUED_BATCHES, "decode")
        passing = OnePass(decoded, self.index)
        try:
            return self._render(passing, passing)
        finally:
            decoded.close()

    def _twice(self) -> list[Path]:
        """The index runs ahead with a decode of its own: stages look at cuts, facts and neighbours."""
        indexed = self.index.complete
        segments = Ahead(iter(self.index.segments) if indexed else self._segments(), 0, "index")
        decoded = Ahead(self._decode(), _QUEUED_BATCHES, "decode")
        try:
            reach = self.spec.curve_reach()
            return self._render(segments, Feed(decoded, self.index, self.spec.halo(), reach))
        finally:
            segments.close()
            decoded.close()

    def _refuse_damage(self) -> None:
        log = DecodeLog()
        try:
            refuse_damage(self.source, self.prepared.streams, self.span, log)
        except InputError:
            self.index.log = log  # for the record
            raise

    def _fix_device(self) -> None:
        """What a run began with decides its bytes; threads, and how many frames are in work at a time, do not."""
        device = self.prepared.device
        kind = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        level = str(cpu_level())
        terms = self.journal.terms({"device": kind, "machine": level})
        if terms["device"] != kind:
            raise DeviceError(
                f"{self.prepared.job.output}: {self.journal.finished} segments were made on "
                f"{terms['device']} and this is {kind}: the picture would change in the middle; use the "
                f"same device (--device), or delete {self.journal.folder} to start afresh"
            )
        if terms.get("machine", level) != level:
            raise DeviceError(
                f"{self.prepared.job.output}: {self.journal.finished} segments were made on a machine of class "
                f"{terms['machine']} and this is {level}: the picture would change in the middle; set "
                f"{VARIABLE}={terms['machine']} where the CPU has that, or delete {self.journal.folder} to start afresh"
            )

    def _decode(self, index: Index | None = None, plain: bool = False) -> Iterator[FrameBatch]:
        """All frames asked for, damage repaired; `index` hears what was wrong. `plain`: without what only stages
        look at."""
        quantisers = self.spec.reads_quantisers() and not plain
        log, repairs = (DecodeLog(), []) if index is None else (index.log, index.repairs)
        batches = decode(self.source, batch=self.batch, quantisers=quantisers, log=log)
        batches = first_alone(batches)
        if self.spec.input.conceal == "auto":
            batches = conceal(batches, log.refused, repairs)
        trimmed = trim(batches, self.span)
        # Without stages there is no work to save, and every code may be wanted as it is.
        wanted = self.spec.input.duplicates == "auto" and self.spec.stages
        return mark_repeats(trimmed) if wanted else trimmed

    def _segments(self) -> Iterator[Segment]:
        batches = self._decode(self.index, plain=True)
        needs, ahead = self.spec.needs(), self.spec.look_ahead()
        yield from build_index(self.index, batches, self.spec.scenes, needs, ahead)
        self.watch.check(often=True)
        self.journal.save_index(self.index)

    def _render(self, segments: Iterator[Segment], feed: Feed | OnePass) -> list[Path]:
        worker: Worker | None = None
        files = []
        beside = None if self.side is None else self.side.kind
        for segment in segments:
            path = self.journal.segment(segment, beside)
            if path is None:
                # Built when the first frame is needed: a resumed run may need none.
                worker = worker or self._worker()
                self._encode(worker, feed, segment)
                self.watch.check(often=True)
                path = self.journal.finish(feed.end(segment), beside)
            else:
                self.kept += 1
                feed.skip(segment)
                self._advance(segment.stop - self.frames, made=False)
            files.append(path)
            if beside is not None:
                self.sides.append(self.journal.file(segment, beside))
        return files

    def _worker(self) -> Worker:
        """Loaded, with the back ends that the run began with."""
        job, device, kept = self.prepared.job, self.prepared.device, self.journal.kept_terms
        backends = BackEnds(
            device,
            self.threads,
            asked=job.backend,
            kept=kept.get("back ends"),
            kept_plans=kept.get("plans"),
            plans=plans_dir(),
            tile=job.tile,
            note=self._trouble,
        )
        source, output = self.source.video.format, self.prepared.output
        worker = Worker(self.spec, source, output, backends, self._meter)
        if device.type == "cpu":  # those of a GPU load more while they work
            give_back_libraries()
        self.backends = backends.choices
        self.journal.fix("back ends", {s: c.name for s, c in self.backends.items()})
        plans = {s: c.plan for s, c in self.backends.items() if c.plan}
        if plans:
            self.journal.fix("plans", plans)
        for subject, choice in self.backends.items():
            self.listener.choice(f"{subject}: {choice}")
        return worker

    def _trouble(self, text: str) -> None:
        """Heard on the way, and written into the record."""
        self.trouble.append(text)
        self.listener.note(text)

    def _encode(self, worker: Worker, feed: Feed | OnePass, segment: Segment) -> None:
        encoder = SegmentEncoder(self.journal.file(segment), self.prepared.output, self.spec.output)
        writer = Behind(encoder.encode, _QUEUED_BATCHES, "encode")
        side, frames = None, feed.frames_of(segment)
        if self.side is not None:
            first_time = self.source.video.start_pts * self.index.time_base
            path = self.journal.file(segment, self.side.kind)
            side = SideWriter(self.side, path, first_time)
            frames = side.watch(frames)
        try:
            with closing(worker(frames)) as made:
                for batch in made:
                    wanted = [segment.first <= f.index < segment.stop for f in batch.frames]
                    if any(wanted):
                        first = wanted.index(True)
                        part = batch[first : first + sum(wanted)]
                        writer.put(encoder.frames(part))
                        if side is not None:
                            side.put(part)
                        self._advance(len(part), made=True)
            writer.finish()
            if side is not None:
                side.close()
            encoder.close()
        except BaseException:
            with ExitStack() as ended:  # each whatever happens to the others
                ended.callback(encoder.abort, idle=writer.close())
                if side is not None:
                    ended.callback(side.abort)
            raise

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.phases[name] = time.monotonic() - started

    @contextmanager
    def _meter(self, where: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.stages[where] = self.stages.get(where, 0.0) + time.monotonic() - started

    def _advance(self, frames: int, *, made: bool) -> None:
        self.frames += frames
        if made:
            self.frames_made += frames
        last = self.frames - 1
        self.listener.progress(
            Progress(
                self.frames,
                self.frames_made,
                self.index.seconds(last) + self.index.durations[last] * self.index.time_base,
                self.index.duration if self.index.complete else None,
                dict(self.stages),
            )
        )

    def _finish(self, files: list[Path]) -> Summary:
        index, base = self.index, self.index.time_base
        made = finish(
            self.prepared,
            self.journal,
            index,
            files,
            self.span,
            self.listener,
            self._phase,
            self.sides,
        )
        self.made = made.path
        self.streams = made.plan
        return Summary(
            self.prepared.job.output,
            len(index.pts),
            index.duration,
            [index.pts[i] * base for i in index.damaged],
            [r for r in index.repairs if index.pts[0] <= r.pts <= index.pts[-1]],
            len(index.repeats),
            index.log,
            made.verified,
            0 if self.spec.frame_by_frame() else len(index.cuts),
            len(index.segments),
            self.kept,
            0.0,
            self.stages,
            self.phases,
            self.backends,
            made.size,
            [*self.source.notes, *made.sound, *self.trouble],
            self._losses(made.verified.captioned),
        )

    def _losses(self, kept_captions: int) -> tuple[str, ...]:
        index = self.index
        seen = Seen(
            len(index.pts),
            index.captioned,
            index.scaled,
            kept_captions,
            frozenset(index.log.side_data),
        )
        return losses(self.source, self.spec.output, self.prepared.streams, seen)
