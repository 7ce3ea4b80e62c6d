"""Damaged frames found as they come, each run of them held until the good frame after it, and mended.

Damage outlives its flag: what is predicted from a broken frame is broken too, until a frame is coded on its own. So
the frames up to the next I frame are looked at in the same way (restore/mending.py). A packet that the decoder refused
leaves a hole in time; there a frame is put in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from statistics import median

import torch

from restore.mending import Frame, Repair, mended
from restore.video import FrameBatch, FrameInfo

REACH = 32
"""Frames a run of damage may last to be repaired from both ends; also how far ahead a good frame is sought."""
HOLE = Fraction(3, 2)
"""A frame may be missing where a step is longer than so many usual ones."""
_STEPS = 32


def conceal(
    batches: Iterable[FrameBatch], refused: Sequence[int] = (), log: list[Repair] | None = None
) -> Iterator[FrameBatch]:
    """Batches of integer codes in display order -> the same frames, damaged ones repaired, lost ones put in and all
    numbered anew. `refused`: pts of packets that the decoder refused; it may grow while frames come. `log` gets
    what was done. Batches in which nothing is wrong pass as they are; else up to REACH frames are held."""
    concealer = _Concealer(refused, [] if log is None else log)
    last: FrameBatch | None = None
    for last in batches:
        yield from concealer.feed(last)
    if last is not None:
        yield from concealer.finish(last)


class _Concealer:
    def __init__(self, refused: Sequence[int], log: list[Repair]) -> None:
        self._refused, self._log = refused, log
        self._used = 0  # refused packets that were taken over ...
        self._pending: list[int] = []  # ... and may lie ahead
        self._steps: list[int] = []
        # What the run is mended from: no B frame that refers to the run.
        self._good: Frame | None = None
        # Whole, but their last B frames may refer to damage that follows.
        self._held: list[FrameBatch] = []
        self._run: list[Frame] = []
        self._tail: list[Frame] = []  # B frames whose later reference has not come yet
        self._count = 0  # frames given

    def feed(self, batch: FrameBatch) -> Iterator[FrameBatch]:
        holes = [self._holes(info) for info in batch.frames]
        whole = not any(holes) and not any(f.damaged for f in batch.frames)
        if whole and not self._run:
            if any(f.picture_type != "B" for f in batch.frames) or len(self._held) >= REACH:
                yield from self._release()
            self._held.append(batch)
            if batch.frames[-1].picture_type != "B":
                yield from self._release()
            return
        ready: list[Frame] = []
        held, self._held = self._held, []
        for part in held:
            for n in range(len(part)):
                ready += self._take(_frame(part, n), batch)
        for n, times in enumerate(holes):
            for frame in _with_holes(_frame(batch, n), times):
                ready += self._take(frame, batch)
        if not self._run:
            # Frames whose fate is open only because B frames came last.
            ready += self._tail
            self._tail = []
        yield from self._give(ready, batch)

    def finish(self, like: FrameBatch) -> Iterator[FrameBatch]:
        """What is still held, when nothing follows."""
        yield from self._release()
        run, self._run = self._run, []
        yield from self._give(self._mended(run, None, like) if run else [], like)

    def _release(self) -> Iterator[FrameBatch]:
        held, self._held = self._held, []
        for batch in held:
            self._good = _frame(batch, len(batch) - 1)
            yield self._numbered(batch)

    def _holes(self, info: FrameInfo) -> list[int]:
        """Times of frames that should follow this one at once, but whose packets the decoder refused."""
        usual = median(self._steps or [info.duration])
        self._steps = [*self._steps[-_STEPS:], info.duration]
        if info.duration <= HOLE * usual:
            return []
        end = info.pts + info.duration
        near = self._refused_between(info.pts, end)
        room = round(info.duration / usual) - 1
        if len(near) >= room:
            return [info.pts + info.duration * k // (room + 1) for k in range(1, room + 1)]
        apart = [info.pts]
        for time in sorted(near):
            if min(time - apart[-1], end - time) >= usual / 2:
                apart.append(time)
        return apart[1:]

    def _refused_between(self, first: int, last: int) -> list[int]:
        self._pending += self._refused[self._used :]
        self._used = len(self._refused)
        self._pending = [t for t in self._pending if t > first]
        return [t for t in self._pending if t < last]

    def _take(self, frame: Frame, like: FrameBatch) -> list[Frame]:
        """Frames that are settled once `frame` is known."""
        kind = frame.info.picture_type
        if not self._run and not frame.broken:
            if kind == "B" and len(self._tail) < REACH:
                self._tail.append(frame)
                return []
            done, self._tail = [*self._tail, frame], []
            self._good = frame
            return done
        done = []
        if not self._run:
            if kind == "B":  # nothing refers to it
                done = self._tail
                self._good = done[-1] if done else self._good
            else:
                self._run = self._tail
            self._tail = []
        self._run.append(frame)
        lasting = any(f.broken and f.info.picture_type != "B" for f in self._run)
        if not frame.broken and (kind == "I" or not lasting):
            return done + self._close(len(self._run) - 1, like)
        if len(self._run) <= REACH:
            return done
        # No I frame in reach: what follows the damage at once must do.
        broken = [n for n, f in enumerate(self._run) if f.broken]
        whole = [n for n, f in enumerate(self._run) if n > broken[0] and not f.broken]
        return done + self._close(whole[0] if whole else len(self._run), like)

    def _close(self, end: int, like: FrameBatch) -> list[Frame]:
        """Mend the run up to its frame `end`, the good one, and go on with the rest."""
        run, after, rest = self._run[:end], self._run[end : end + 1], self._run[end + 1 :]
        self._run = []
        done = self._mended(run, after[0] if after else None, like)
        if after:
            self._good = after[0]
        done += after
        for frame in rest:
            done += self._take(frame, like)
        return done

    def _mended(self, run: list[Frame], after: Frame | None, like: FrameBatch) -> list[Frame]:
        return mended(run, self._good, after, like.format.depth, self._log)

    def _give(self, frames: list[Frame], like: FrameBatch) -> Iterator[FrameBatch]:
        size = max(1, len(like))
        for n in range(0, len(frames), size):
            part = frames[n : n + size]
            planes = [f.planes for f in part if f.planes is not None]
            yield self._numbered(
                replace(
                    like,
                    planes=tuple(torch.stack(p) for p in zip(*planes, strict=True)),
                    frames=tuple(f.info for f in part),
                    quant=tuple(f.quant for f in part) if like.quant else (),
                )
            )

    def _numbered(self, batch: FrameBatch) -> FrameBatch:
        first, self._count = self._count, self._count + len(batch)
        if batch.frames[0].index == first and batch.frames[-1].index == self._count - 1:
            return batch
        frames = tuple(replace(f, index=first + n) for n, f in enumerate(batch.frames))
        return replace(batch, frames=frames)


def _with_holes(frame: Frame, times: list[int]) -> list[Frame]:
    """The frame, shortened, and one never decoded at each of `times`."""
    info = frame.info
    starts = [info.pts, *times, info.pts + info.duration]
    lengths = [b - a for a, b in pairwise(starts)]
    lost = [
        Frame(FrameInfo(0, at, length, damaged=True, concealed=True), None, None)
        for at, length in zip(times, lengths[1:], strict=True)
    ]
    return [replace(frame, info=replace(info, duration=lengths[0])), *lost]


def _frame(batch: FrameBatch, n: int) -> Frame:
    quant = batch.quant[n] if batch.quant else None
    return Frame(batch.frames[n], tuple(p[n] for p in batch.planes), quant)
