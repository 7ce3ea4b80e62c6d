"""The moments rendered: only the frames that the chains need, and what the whole job would take."""

from __future__ import annotations

import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch

from restore.conceal import conceal
from restore.duplicates import mark_repeats
from restore.errors import InputError, PipelineFileError
from restore.index import Index, Segment, build_index
from restore.io.decode import DecodeLog, decode
from restore.io.encode import SegmentEncoder, check_output, encoded_format
from restore.io.join import open_source
from restore.io.segments import packet_sizes
from restore.io.source import Source
from restore.nets.backends import BackEnds
from restore.panels.panel import Picture, Projector, panel_format
from restore.pipeline import PipelineSpec
from restore.preview.moments import Sampled, choose
from restore.run.feed import Feed
from restore.video import FrameBatch, VideoFormat
from restore.worker import Worker

BURST = 4
"""Frames rendered at each moment: the first is shown, the others tell time and size."""
AFTER = Fraction(4)
"""Seconds that are read past the last moment asked for: its scene's facts are measured on them."""
_KEY_FRAMES = 250
"""Frames at most between two key frames of x264, x265 and SVT-AV1 (5 s at 50)."""


@dataclass(frozen=True)
class Cost:
    """What the whole job would take, from what the moments took. Of the picture alone."""

    seconds: float | None
    """None: how long the film is, is not known."""
    bytes: float | None
    per_frame: float
    """Seconds."""


@dataclass
class Shown:
    """One pipeline's results."""

    spec: PipelineSpec
    format: VideoFormat
    pictures: list[Picture] = field(default_factory=list)
    """By moment, in the panels' format."""
    cost: Cost | None = None


@dataclass
class Preview:
    """What was made."""

    panel: VideoFormat
    """Of all pictures."""
    source: VideoFormat
    times: list[Fraction]
    """Seconds after the first frame, of each moment."""
    before: list[Picture]
    after: list[Shown]
    frames: int
    duration: Fraction
    scenes: int
    whole: bool
    """The film was read to its end, so that frames, duration and scenes are known."""


def preview(
    path: Path,
    specs: Sequence[PipelineSpec],
    device: torch.device,
    threads: int,
    *,
    count: int = 6,
    at: Sequence[Fraction] = (),
    note: Callable[[str], None] = lambda _: None,
) -> Preview:
    """Render `count` moments of the film, or those `at` so many seconds after its first frame, by each pipeline. All
    must read the film alike ([input], [scenes]). Raises RestoreError."""
    first = specs[0]
    for spec in specs[1:]:
        for table in ("input", "scenes"):
            if getattr(spec, table) != getattr(first, table):
                raise PipelineFileError(
                    [
                        f"{spec.name}.toml: [{table}]: expected the same as in {first.name}.toml, found other "
                        "settings; try previewing one at a time"
                    ]
                )
    source = open_source([path], first.input)
    chains = [_Chain(spec, source, device, threads) for spec in specs]
    note("reading the film: scenes, and what there is to see")
    began = time.monotonic()
    index, sampled = _index(source, specs, max(at) if at else None)
    spent = time.monotonic() - began
    wanted = [_frame_at(index, t, path) for t in at] if at else choose(sampled, index.cuts, count)
    if not wanted:
        raise InputError(f"{path}: expected a frame that is whole, found none")
    panel = chains[0].format
    for chain in chains[1:]:
        panel = panel_format(panel, chain.format)
    panel = panel_format(source.video.format, panel)
    before = Projector(source.video.format, panel, "lanczos3")
    made = Preview(
        panel,
        source.video.format,
        [index.seconds(f) for f in wanted],
        [],
        [Shown(c.spec, c.format) for c in chains],
        len(index.pts),
        index.duration,
        len(index.cuts),
        not at,
    )
    with tempfile.TemporaryDirectory() as folder:
        for number, chain in enumerate(chains):
            chain.open(Path(folder) / f"{number}.nut")
        for number, window in enumerate(_windows(source, first, index, wanted, chains)):
            note(f"moment {number + 1} of {len(wanted)}")
            middle = next(b for b in window if b.frames[-1].index >= wanted[number])
            place = wanted[number] - middle.frames[0].index
            made.before.append(before(middle[place : place + 1]))
            for chain, shown in zip(chains, made.after, strict=True):
                picture = chain.render(window, wanted[number], _stop(index, wanted[number]))
                shown.pictures.append(Projector(chain.output, panel, "lanczos3")(picture))
        rates = (len(index.pts), len(index.repeats), len(index.cuts), spent)
        for chain, shown in zip(chains, made.after, strict=True):
            shown.cost = chain.cost(rates if made.whole else None)
    return made


class _Chain:
    """A pipeline that renders windows, and takes the time."""

    def __init__(
        self, spec: PipelineSpec, source: Source, device: torch.device, threads: int
    ) -> None:
        formats = spec.formats(source.video.format)
        result, processed = spec.result(formats[-1]), bool(spec.stages)
        problems = check_output(spec.output, result, Path("out.mkv"), processed)
        if problems:
            raise PipelineFileError([f"{spec.name}.toml: [output]: {p}" for p in problems])
        self.spec, self.format = spec, result
        self.output = encoded_format(spec.output, result, processed)
        # As `restore run` will choose, so that its cost is foretold.
        backends = BackEnds(device, threads)
        self._worker = Worker(
            spec, source.video.format, self.output, backends, lambda _: nullcontext()
        )
        self._rendering: list[float] = []
        self._encoding: list[float] = []
        """Seconds per frame, of each moment."""

    def open(self, path: Path) -> None:
        """Where the frames go, to see how large they become."""
        self._path = path
        self._encoder = SegmentEncoder(path, self.output, self.spec.output)

    def render(self, window: Sequence[FrameBatch], first: int, stop: int) -> FrameBatch:
        """The window's frames from `first` until `stop`; the first of them is returned."""
        past, future = self.spec.halo()
        mine = [_inside(b, first - past, stop + future) for b in window]
        frames = [b for b in mine if b is not None]
        new = sum(f.repeats is None for b in frames for f in b.frames)
        began, shown, made = time.monotonic(), None, []
        for batch in self._worker(frames):
            part = _inside(batch, first, stop)
            if part is not None:
                made.append(part)
                shown = shown or part[0:1]
        # Every frame of the window went through the chain, those around the burst too.
        self._rendering.append((time.monotonic() - began) / max(1, new))
        began = time.monotonic()
        for part in made:
            self._encoder.write(part)
        self._encoding.append((time.monotonic() - began) / (stop - first))
        assert shown is not None
        return shown

    def cost(self, known: tuple[int, int, int, float] | None) -> Cost:
        """`known`: frames, repeats and scenes of the film, and seconds it took to read."""
        self._encoder.close()
        # The first moment pays for what is made once, such as a network's plan.
        rendering, encoding = (
            sum(times[1:] or times) / max(1, len(times) - 1)
            for times in (self._rendering, self._encoding)
        )
        per_frame = rendering + encoding
        if known is None:
            return Cost(None, None, per_frame)
        frames, repeats, scenes, spent = known
        sizes = packet_sizes(self._path)
        keys = [size for key, size in sizes if key]
        rest = [size for key, size in sizes if not key] or keys
        expected = max(scenes, frames / _KEY_FRAMES)
        size = expected * sum(keys) / len(keys) + (frames - expected) * sum(rest) / len(rest)
        seconds = spent + (frames - repeats) * rendering + frames * encoding
        return Cost(seconds, max(size, 0.0), per_frame)


def _index(
    source: Source, specs: Sequence[PipelineSpec], until: Fraction | None
) -> tuple[Index, Sampled]:
    """What is seen of the film, or of its part until AFTER seconds past `until`."""
    index, sampled = Index(source.video.format.time_base), Sampled()
    needs = frozenset().union(*(spec.needs() for spec in specs))
    batches = _decoded(source, specs[0], index)
    if until is not None:
        base = source.video.format.time_base
        end = source.video.start_pts * base + until + AFTER
        reach = max(spec.look_ahead() for spec in specs)
        batches = _until(batches, lambda b: b.frames[0].pts * base >= end, reach)
    for _ in build_index(index, sampled.watch(batches), specs[0].scenes, needs):
        pass
    return index, sampled


def _until(
    batches: Iterator[FrameBatch], over: Callable[[FrameBatch], bool], more: int
) -> Iterator[FrameBatch]:
    """Those before the first that is `over`, and with it `more` frames or as many as there are."""
    for batch in batches:
        if over(batch):
            if more <= 0:
                return
            more -= len(batch)
        yield batch


def _decoded(
    source: Source, spec: PipelineSpec, index: Index | None = None
) -> Iterator[FrameBatch]:
    """As a run decodes."""
    log, repairs = (DecodeLog(), []) if index is None else (index.log, index.repairs)
    batches = decode(source, batch=4, quantisers=index is None, log=log)
    if spec.input.conceal == "auto":
        batches = conceal(batches, log.refused, repairs)
    return mark_repeats(batches) if spec.input.duplicates == "auto" else batches


def _frame_at(index: Index, seconds: Fraction, path: Path) -> int:
    """The frame on screen at that time. Raises InputError."""
    wanted = index.pts[0] + seconds / index.time_base
    if wanted >= index.pts[-1] + index.durations[-1]:
        raise InputError(
            f"{path}: --at: expected a time before its end at {float(index.duration):.3f} s, "
            f"got {float(seconds):.3f} s"
        )
    return max(0, bisect_right(index.pts, wanted) - 1)


def _stop(index: Index, first: int) -> int:
    """Where the burst that begins at `first` ends: in its scene."""
    following = bisect_right(index.cuts, first)
    scene_end = index.cuts[following] if following < len(index.cuts) else len(index.pts)
    return min(first + BURST, scene_end)


def _windows(
    source: Source,
    spec: PipelineSpec,
    index: Index,
    wanted: Sequence[int],
    chains: Sequence[_Chain],
) -> Iterator[list[FrameBatch]]:
    """For each moment, rising, its burst with the largest context that a chain looks at."""
    halos = [chain.spec.halo() for chain in chains]
    halo = (max(past for past, _ in halos), max(future for _, future in halos))
    reach = max(chain.spec.curve_reach() for chain in chains)
    feed = Feed(_decoded(source, spec), index, halo, reach)
    for number, first in enumerate(wanted):
        yield list(feed.frames_of(Segment(number, first, _stop(index, first))))


def _inside(batch: FrameBatch, first: int, stop: int) -> FrameBatch | None:
    """The frames whose index lies in [first, stop)."""
    numbers = [f.index for f in batch.frames]
    low, high = bisect_left(numbers, first), bisect_left(numbers, stop)
    return batch[low:high] if low < high else None
