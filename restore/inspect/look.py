"""Runs of frames from all over a source, each within one shot: what the detectors look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from restore.duplicates import mark_repeats
from restore.io.decode import DecodeLog, decode
from restore.io.samples import Tally, sampled_runs
from restore.io.source import Source
from restore.scenes import CutMarker, SceneOptions
from restore.video import FrameBatch, FrameInfo

Codes = NDArray[np.uint8]
"""(T, h, w) of one plane, in 8-bit codes."""

RUNS = 8
RUN = 24
"""Frames of a run: a second, which shows flicker and weave."""
BIG = 720 * 576
"""Luma samples of a picture above which runs are fewer and shorter."""
WHOLE = 350_000_000
"""Luma samples (3450 pictures of 352x288) up to which a file is decoded whole, so that damage, repeats and times are
known of every frame; of longer ones only the runs are decoded."""
_LEAST = 3
"""Runs that must be found by seeking; with fewer the file is read from its start."""


@dataclass(frozen=True, slots=True)
class Shot:
    """Consecutive frames of one scene; the longest of a run."""

    luma: Codes
    chroma: tuple[Codes, Codes] | None
    """Cb and Cr at their own size; None: grey."""
    new: NDArray[np.bool_]
    """(T,): of each frame, whether it shows a picture of its own, and not that of the frame before again."""
    intact: bool
    """No frame of it is damaged."""

    def __len__(self) -> int:
        return len(self.luma)

    def unique(self) -> Codes:
        """The luma of the frames that are no repeats."""
        return self.luma[self.new]


@dataclass
class Seen:
    """What is known of the frames that were decoded; filled while the shots are read."""

    whole: bool
    """All frames were; else only those of the runs."""
    frames: int = 0
    stamps: list[int] = field(default_factory=list)
    """Times after repair, in ticks; empty where not all frames were decoded."""
    damaged: list[int] = field(default_factory=list)
    """Times of damaged frames, in ticks."""
    repeats: int = 0
    types: Counter[str] = field(default_factory=Counter)
    steps: list[float] = field(default_factory=list)
    """Mean quantiser step of each frame of which it is known, in 8-bit codes."""
    log: DecodeLog = field(default_factory=DecodeLog)

    def note(self, batch: FrameBatch) -> None:
        self.frames += len(batch)
        for number, info in enumerate(batch.frames):
            self.types[info.picture_type] += 1
            self.repeats += info.repeats is not None
            if info.damaged:
                self.damaged.append(info.pts)
            if self.whole:
                self.stamps.append(info.pts)
            if batch.quant and (quant := batch.quant[number]) is not None:
                self.steps.append(float(quant.steps.mean()))


def look(source: Source, packets: Tally) -> tuple[Seen, Iterator[Shot]]:
    """(what was seen: complete once the shots are read, the shots in the order of the file)."""
    fmt = source.video.layout.decoded
    area = fmt.width * fmt.height
    count, length = (RUNS // 2, RUN // 2) if area > BIG else (RUNS, RUN)
    total = packets.packets.get(source.video.index, 0)
    if total * area > WHOLE:
        runs = sampled_runs(source, count, length)
        first = [run for run, _ in zip(runs, range(_LEAST), strict=False)]
        if len(first) == _LEAST:
            seen = Seen(whole=False)
            return seen, map(_shot, _noted(chain(first, runs), seen))
        # Seeking leads nowhere: as much from the start as one look may cost.
        total = min(total, WHOLE // area)
        seen = Seen(whole=False)
        return seen, map(_shot, _picked(source, seen, total, count, length))
    seen = Seen(whole=True)
    return seen, map(_shot, _picked(source, seen, total, count, length))


def _noted(runs: Iterable[FrameBatch], seen: Seen) -> Iterator[FrameBatch]:
    for run in runs:
        (marked,) = mark_repeats([run])
        seen.note(marked)
        yield marked


def _picked(
    source: Source, seen: Seen, total: int, count: int, length: int
) -> Iterator[FrameBatch]:
    """Every frame is noted (or the first `total`, where not the whole file is wanted); `count` runs of `length` frames
    are handed on."""
    length = max(1, min(length, total))
    starts = [max(0, round((total - length) * (2 * k + 1) / (2 * count))) for k in range(count)]
    wanted = [range(s, s + length) for s in dict.fromkeys(starts) if total > length] or [
        range(total)
    ]
    held: list[FrameBatch] = []
    for batch in mark_repeats(decode(source, quantisers=True, log=seen.log)):
        seen.note(batch)
        while wanted:
            keep = [n for n, f in enumerate(batch.frames) if f.index in wanted[0]]
            held += [batch[keep[0] : keep[-1] + 1]] if keep else []
            if batch.frames[-1].index < wanted[0].stop - 1:
                break
            if held:
                yield FrameBatch.cat(held)
            held = []
            wanted.pop(0)
        if not seen.whole and not wanted:
            return
    if held:
        yield FrameBatch.cat(held)


def _shot(run: FrameBatch) -> Shot:
    luma = _eight_bits(run.planes[0], run.format.depth)
    begin, end = longest_scene(luma)
    chroma = None
    if len(run.planes) == 3:
        blue, red = (_eight_bits(p, run.format.depth)[begin:end] for p in run.planes[1:])
        chroma = blue, red
    frames = run.frames[begin:end]
    return Shot(luma[begin:end], chroma, _own_pictures(frames), not any(f.damaged for f in frames))


def _own_pictures(frames: tuple[FrameInfo, ...]) -> NDArray[np.bool_]:
    shown = [f.index if f.repeats is None else f.repeats for f in frames]
    return np.array([n == 0 or shown[n] != shown[n - 1] for n in range(len(shown))], np.bool_)


def longest_scene(luma: Codes) -> tuple[int, int]:
    """(first, stop) of the longest stretch of (T, h, w) frames without a cut."""
    marker = CutMarker(SceneOptions())
    cuts = {cut for frame in luma for cut in marker.feed(frame)} | set(marker.finish())
    ends = [0, *sorted(cuts), len(luma)]
    longest = max(range(len(ends) - 1), key=lambda n: ends[n + 1] - ends[n])
    return ends[longest], ends[longest + 1]


def _eight_bits(plane: Tensor, depth: int) -> Codes:
    codes: NDArray[np.uint8] = (plane[:, 0].numpy() >> (depth - 8)).astype(np.uint8)
    return codes
