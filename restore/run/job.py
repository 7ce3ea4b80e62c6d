"""What a run is asked to do, checked before it begins; what it tells on the way, and at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import torch

from restore.errors import OutputError, PipelineFileError
from restore.io.card import choose_decoder
from restore.io.decode import DecodeLog
from restore.io.encode import check_output, encoded_format
from restore.io.framemd5 import sidecar_of
from restore.io.join import open_source
from restore.io.losses import losses
from restore.io.output import CONTAINERS, fitted_to
from restore.io.source import Source, Span
from restore.io.streams import StreamPlan, plan_streams
from restore.io.verify import VerifyReport
from restore.mending import Repair
from restore.nets.backends import AUTO, Choice
from restore.panels.view import View
from restore.pipeline import PipelineSpec
from restore.run.inputs import State, state_of
from restore.run.report import check_report
from restore.run.side import Side, prepare_side
from restore.video import VideoFormat
from restore.worker import find_device


@dataclass(frozen=True)
class Job:
    """All that `restore run` was asked to do."""

    spec: PipelineSpec
    inputs: tuple[Path, ...]
    """Joined in this order."""
    output: Path
    device: str = "auto"
    start: Fraction | None = None
    """Seconds after the first frame."""
    end: Fraction | None = None
    overwrite: bool = False
    threads: int = 0
    """0: as many as there are processors."""
    tile: int = 0
    """Side of the tiles in which networks are run, in input samples; 0: whole frames."""
    backend: str = AUTO
    """Of networks: 'auto', or the name of one (see nets.backends)."""
    strict: bool = False
    """Refuse a file with any fault instead of repairing it."""
    report: Path | None = None
    """Where the record of the run is written."""
    compare: Path | None = None
    """Where a comparison of before and after is written."""
    page: Path | None = None
    """Where a page about before and after is written."""
    view: View = field(default_factory=View)
    """What the comparison shows."""


@dataclass(frozen=True)
class Prepared:
    """A job whose every setting has been checked against its input; nothing has been written."""

    job: Job
    source: Source
    formats: list[VideoFormat]
    """After each stage, starting with the source's."""
    output: VideoFormat
    streams: StreamPlan
    device: torch.device
    threads: int
    side: Side | None = None
    """The comparison, where one is wanted."""
    losses: tuple[str, ...] = ()
    """What the output will lack of its source, as far as is known before the work."""
    seen: Mapping[Path, State] = field(default_factory=dict)
    """Every file of the source, as it was when it was opened."""

    @property
    def span(self) -> Span | None:
        """The part of the file asked for, counted from its first frame."""
        job, video = self.job, self.source.video
        if job.start is None and job.end is None:
            return None
        first = video.start_pts * video.format.time_base
        return Span(first + (job.start or 0), None if job.end is None else first + job.end)


@dataclass(frozen=True)
class Progress:
    """A moment of a run."""

    frames: int
    """Kept segments included."""
    made: int
    """Frames made by this run."""
    seconds: Fraction
    """Of video, kept segments included."""
    total: Fraction | None
    """Of video in all; None until the index has seen the end of the file."""
    stages: dict[str, float]
    """Seconds of wall clock spent in each stage so far."""


@dataclass
class Summary:
    """What a finished run did."""

    output: Path
    frames: int
    duration: Fraction
    damaged: list[Fraction]
    """Seconds, of each damaged frame."""
    repairs: list[Repair]
    """What was done about damaged and lost frames."""
    repeats: int
    """Frames that show the picture before them again: restored once."""
    log: DecodeLog
    verified: VerifyReport
    scenes: int
    """0: not looked for, because no stage asks."""
    segments: int
    kept: int
    """Segments taken over from an interrupted run."""
    wall_seconds: float
    stages: dict[str, float]
    phases: dict[str, float]
    """Seconds of wall clock for rendering, joining and verifying."""
    backends: dict[str, Choice]
    """What ran each network."""
    size: int
    """Bytes."""
    notes: list[str] = field(default_factory=list)
    losses: tuple[str, ...] = ()
    """What the output lacks of its source."""


class Listener:
    """Hears of a run; the CLI overrides what it shows."""

    def note(self, text: str) -> None:
        """Something a user may want to know, in a line."""

    def choice(self, text: str) -> None:
        """What was chosen for this machine, and why, in a line."""

    def progress(self, now: Progress) -> None:
        """After every batch."""


def prepare(job: Job) -> Prepared:
    """Everything that can be checked before the first frame; raises RestoreError, writes nothing."""
    _check_names(job)
    device = find_device(job.device)
    spec = replace(
        job.spec, output=fitted_to(job.spec.output, CONTAINERS.get(job.output.suffix.lower()))
    )
    job = replace(job, spec=spec)
    source = choose_decoder(
        open_source(job.inputs, job.spec.input),
        job.spec.input.hwaccel,
        job.spec.reads_quantisers(),
        device.index or 0,
    )
    seen = {file: state_of(file) for part in source.parts for file in part.files}
    formats = job.spec.formats(source.video.format)
    result, processed = job.spec.result(formats[-1]), bool(job.spec.stages)
    problems = check_output(job.spec.output, result, job.output, processed)
    if problems:
        raise PipelineFileError([f"{job.spec.name}.toml: [output]: {p}" for p in problems])
    output = encoded_format(job.spec.output, result, processed)
    container = job.output.suffix.lower().removeprefix(".")
    part = job.start is not None or job.end is not None
    streams = plan_streams(source, container, job.spec.output.audio, part)
    side = None
    if job.compare is not None:
        others = (*job.inputs, job.output, *([job.report] if job.report else []))
        side = prepare_side(job.compare, job.view, source, output, others, part, job.overwrite)
    threads = job.threads or len(os.sched_getaffinity(0))
    lost = losses(source, job.spec.output, streams)
    return Prepared(job, source, formats, output, streams, device, threads, side, lost, seen)


def _check_names(job: Job) -> None:
    """Nothing may stand where the job would write, and its times must make sense. Raises OutputError."""
    if job.output.is_dir():
        raise OutputError(f"{job.output}: expected a file name to write to, found a directory")
    if not job.output.absolute().parent.is_dir():
        raise OutputError(
            f"{job.output}: the folder {job.output.parent} does not exist; make it first"
        )
    if job.output.exists():
        if any(path.exists() and job.output.samefile(path) for path in job.inputs):
            raise OutputError(
                f"{job.output}: input and output are the same file; choose another name"
            )
        if not job.overwrite:
            raise OutputError(
                f"{job.output}: exists already; choose another name or pass --overwrite"
            )
    if job.report is not None:
        check_report(job.report, (*job.inputs, job.output), job.overwrite, job.output)
    sidecar = sidecar_of(job.output)
    if job.spec.output.use == "archive" and sidecar.exists() and not job.overwrite:
        raise OutputError(
            f"{sidecar}: exists already, and an archive's checksums belong there; choose another name or "
            f"pass --overwrite"
        )
    if job.start is not None and job.end is not None and job.end <= job.start:
        raise OutputError("--end: expected a time after --start")
