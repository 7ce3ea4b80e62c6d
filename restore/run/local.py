"""The local engine: decode thread -> device -> encode thread, segment by segment, on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
from restore.errors import DeviceError, InputError
from restore.index import Index, Segment, build_index
from restore.io.decode import DecodeLog, decode
from restore.io.encode import SegmentEncoder
from restore.io.losses import Seen, losses
from restore.nets.backends import BackEnds, Choice
from restore.nets.tensorrt_plan import plans_dir
from restore.run.batches import batch_frames
from restore.run.feed import Feed, first_alone, trim
from restore.run.finish import finish
from restore.run.job import Listener, Prepared, Progress, Summary
from restore.run.journal import Journal, hash_all, hash_input, parts_dir
from restore.run.onepass import OnePass
from restore.run.report import run_report, with_output, write_report
from restore.run.side import SideWriter
from restore.run.strict import refuse_damage
from restore.threads import Ahead, Behind
from restore.video import FrameBatch
from restore.worker import Worker

_QUEUED_BATCHES = 2
"""That wait for the networks, and as many for the encoder: the faster side fills its queue however long it is."""


def run(prepared: Prepared, listener: Listener) -> Summary:
    """Make the output, or resume making it. Interrupted at any point, the same call goes on after the last
    finished segment and gives the same bytes."""
    job, started = prepared.job, time.monotonic()
    had_parts = parts_dir(job.output).exists()
    journal = Journal(job.output, _subject(prepared))
    try:
        if journal.replaced:
            listener.note(
                f"starting afresh: {', '.join(journal.replaced)} changed since the last run"
            )
        elif journal.finished:
            listener.note(f"resuming: {journal.finished} segments are done already")
        summary = _reported(_Run(prepared, journal, listener), started)
    except BaseException:
        if not journal.finished and not had_parts:
            journal.remove()
        raise
    finally:
        journal.release()
    return summary


def _reported(work: _Run, started: float) -> Summary:
    """Do the work, and write the record of it whatever comes of it."""
    prepared, job = work.prepared, work.prepared.job

    def write(summary: Summary | None = None, error: BaseException | None = None) -> None:
        if job.report is None:
            return
        asked = {
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
            job.spec, prepared.source, prepared.streams, work.index, asked, timing, error
        )
        document["losses"] = list(prepared.losses)
        document["back_ends"] = {subject: asdict(c) for subject, c in work.backends.items()}
        if summary is not None:
            document = with_output(document, summary.output, summary.verified, summary.notes)
            document["losses"] = list(summary.losses)
        write_report(job.report, document)

    try:
        summary = work.go()
    except BaseException as error:
        write(error=error)
        raise
    summary.wall_seconds = time.monotonic() - started
    write(summary)
    return summary


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
    def __init__(self, prepared: Prepared, journal: Journal, listener: Listener) -> None:
        self.prepared, self.journal, self.listener = prepared, journal, listener
        self.source, self.spec = prepared.source, prepared.job.spec
        self.span = prepared.span
        self.index = journal.load_index() or Index(self.source.video.format.time_base)
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
            return self._render(segments, Feed(decoded, self.index, self.spec.halo()))
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
        terms = self.journal.terms({"device": kind})
        if terms["device"] != kind:
            raise DeviceError(
                f"{self.prepared.job.output}: {self.journal.finished} segments were made on "
                f"{terms['device']} and this is {kind}: the picture would change in the middle; use the "
                f"same device (--device), or delete {self.journal.folder} to start afresh"
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
        needs, future = self.spec.needs(), self.spec.halo()[1]
        yield from build_index(self.index, batches, self.spec.scenes, needs, future)
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
            encoder.abort(idle=writer.close())
            if side is not None:
                side.abort()
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
