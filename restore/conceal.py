"""Damaged frames repaired as a viewer would choose: from the good frames on either side, where these agree.

A decoder hides an error with what it has: the frames before. With the frame after as well, a better picture can be
made: both neighbours are moved onto the frame along the motion between them (Jiang et al. 2018, equation 4, with DIS
flow) and where they agree with each other, but not with the decoder, their mean takes the decoder's place. What the
decoder got right stays, whatever the flag says. Damage outlives its flag: what is predicted from a broken frame is
broken too, until a frame is coded on its own. So the frames up to the next I frame are looked at in the same way.

Where the neighbours are of different scenes, or no motion makes them agree, the decoder's picture stays if it
resembles one of them at all; otherwise the nearest good frame is shown again. A packet that the decoder refused leaves
a hole in time; there a frame is put in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Literal

import torch
from torch import Tensor

from restore.blending import (
    Between,
    Guess,
    Picture,
    Plane,
    mend,
    resemblance,
    spread,
    strange,
)
from restore.video import FrameBatch, FrameInfo, QuantMap

REACH = 32
"""Frames a run of damage may last to be repaired from both ends; also how far ahead a good frame is sought."""
SAME_SCENE = 0.6
"""Share of the picture over which the neighbours, moved onto a frame, must agree."""
PLAUSIBLE = 0.5
"""Share of a damaged picture that must resemble a neighbour for the decoder's picture to stay."""
VISIBLE = 0.004
"""Share of a picture below which a repair is left alone."""
HOLE = Fraction(3, 2)
"""A frame may be missing where a step is longer than so many usual ones."""
_STEPS = 32

Action = Literal["interpolated", "concealed", "repeated", "kept"]
"""interpolated: made from both neighbours; concealed: parts of it were; repeated: the nearest good frame is shown
again; kept: the decoder's picture is the best there is."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done about one frame."""

    pts: int
    action: Action
    share: float
    """Of the picture that was replaced, 0 to 1."""
    inserted: bool = False
    """The frame was never decoded."""


@dataclass(frozen=True, slots=True)
class _Frame:
    info: FrameInfo
    planes: tuple[Tensor, ...] | None
    """Codes, (1, h, w) each; None: never decoded."""
    quant: QuantMap | None

    @property
    def broken(self) -> bool:
        return self.planes is None or self.info.damaged


@dataclass(frozen=True, slots=True)
class _Span:
    first: int
    last: int
    """Times of the two frames."""
    between: Between

    def at(self, pts: int) -> Guess:
        return self.between.at((pts - self.first) / (self.last - self.first))


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
        self._good: _Frame | None = (
            None  # what the run is mended from: no B frame that refers to the run
        )
        self._held: list[
            FrameBatch
        ] = []  # whole, but their last B frames may refer to damage that follows
        self._run: list[_Frame] = []
        self._tail: list[_Frame] = []  # B frames whose later reference has not come yet
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
        ready: list[_Frame] = []
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

    def _take(self, frame: _Frame, like: FrameBatch) -> list[_Frame]:
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

    def _close(self, end: int, like: FrameBatch) -> list[_Frame]:
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

    def _mended(self, run: list[_Frame], after: _Frame | None, like: FrameBatch) -> list[_Frame]:
        """The run between the good frames self._good and `after`: first what was decoded, then what was not."""
        depth, good = like.format.depth, self._good
        done = list(run)
        between = self._between(good, after, depth)
        masks: dict[int, Plane | None] = {}
        # B frames before the damage refer to it, so they come after it.
        first = next(n for n, f in enumerate(run) if f.broken)
        for n in [*range(first, len(run)), *range(first - 1, -1, -1)]:
            frame, mended, masks[n] = run[n], None, None
            if frame.planes is None:
                continue
            if between is not None:
                source = n - 1 if n > first else n + 1
                where = None if frame.broken else masks.get(source)
                far = min(n, len(run) - 1 - n)
                # Those next to it that are whole or mended by now.
                beside = (
                    [done[n - 1]] if n > first else [good] if n == first else [done[n + 1], good]
                )
                beside += [after] if n == len(run) - 1 else []
                mended, masks[n] = self._blended(frame, between, far, where, beside, depth)
            done[n] = mended or self._chosen(frame, good, after, depth)
        for n, frame in enumerate(done):
            if frame.planes is None:
                later = [f for f in [*done[n + 1 :], after] if f is not None and f.planes]
                before = done[n - 1] if n else good
                done[n] = self._made(frame, before, later[0] if later else None, depth)
        return [f for f in done if f.planes is not None]

    def _between(self, first: _Frame | None, last: _Frame | None, depth: int) -> _Span | None:
        if first is None or last is None or first.planes is None or last.planes is None:
            return None
        one, other = Picture.of(first.planes, depth), Picture.of(last.planes, depth)
        return _Span(first.info.pts, last.info.pts, Between(one, other))

    def _made(
        self, lost: _Frame, before: _Frame | None, after: _Frame | None, depth: int
    ) -> _Frame:
        """A frame that was never decoded, from those beside it."""
        span = self._between(before, after, depth)
        guess = None if span is None else span.at(lost.info.pts)
        if guess is not None and guess.agreement >= SAME_SCENE:
            self._log.append(Repair(lost.info.pts, "interpolated", 1.0, True))
            return replace(lost, planes=guess.picture.codes(depth))
        sides = [f for f in (before, after) if f is not None and f.planes]
        if not sides:
            return lost  # a hole before any picture
        self._log.append(Repair(lost.info.pts, "repeated", 1.0, True))
        near = min(sides, key=lambda f: abs(f.info.pts - lost.info.pts))
        return replace(lost, planes=near.planes, quant=near.quant)

    def _blended(
        self,
        frame: _Frame,
        span: _Span,
        far: int,
        where: Plane | None,
        beside: Sequence[_Frame | None],
        depth: int,
    ) -> tuple[_Frame | None, Plane | None]:
        """The frame, None where the neighbours do not agree; and where damage can be in the frame beside it.
        What also one of the frames `beside` it shows is no damage: something that passed while the ends of the
        run did not see it."""
        guess = span.at(frame.info.pts)
        if guess.agreement < SAME_SCENE:
            return None, None
        mine = Picture.of(frame.planes, depth)
        others = [Picture.of(f.planes, depth) for f in beside if f is not None and f.planes]
        picture, mask = mend(mine, guess, far, strange(mine, others, where))
        share = float(mask.mean())
        if share < VISIBLE:
            if frame.broken:
                self._log.append(Repair(frame.info.pts, "kept", 0.0))
            return frame, spread(mask)
        whole = share > 0.95
        self._log.append(Repair(frame.info.pts, "interpolated" if whole else "concealed", share))
        quant = None if whole else frame.quant
        info = replace(frame.info, concealed=True)
        return _Frame(info, picture.codes(depth), quant), spread(mask)

    def _chosen(
        self, frame: _Frame, good: _Frame | None, after: _Frame | None, depth: int
    ) -> _Frame:
        """The decoder's picture where it resembles a neighbour, else the picture of the one it resembles more."""
        if not frame.info.damaged or frame.planes is None:
            return frame
        mine = Picture.of(frame.planes, depth)
        sides = [f for f in (good, after) if f is not None and f.planes]
        sides.sort(key=lambda f: abs(f.info.pts - frame.info.pts))
        alike = [resemblance(mine, Picture.of(f.planes, depth)) for f in sides]
        if max(alike, default=1.0) >= PLAUSIBLE:
            self._log.append(Repair(frame.info.pts, "kept", 0.0))
            return frame
        self._log.append(Repair(frame.info.pts, "repeated", 1.0))
        other = sides[alike.index(max(alike))]
        return _Frame(replace(frame.info, concealed=True), other.planes, other.quant)

    def _give(self, frames: list[_Frame], like: FrameBatch) -> Iterator[FrameBatch]:
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


def _with_holes(frame: _Frame, times: list[int]) -> list[_Frame]:
    """The frame, shortened, and one never decoded at each of `times`."""
    info = frame.info
    starts = [info.pts, *times, info.pts + info.duration]
    lengths = [b - a for a, b in pairwise(starts)]
    lost = [
        _Frame(FrameInfo(0, at, length, damaged=True, concealed=True), None, None)
        for at, length in zip(times, lengths[1:], strict=True)
    ]
    return [replace(frame, info=replace(info, duration=lengths[0])), *lost]


def _frame(batch: FrameBatch, n: int) -> _Frame:
    quant = batch.quant[n] if batch.quant else None
    return _Frame(batch.frames[n], tuple(p[n] for p in batch.planes), quant)
