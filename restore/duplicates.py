"""Frames that show the picture before them again: found once, restored once.

Telecine by repetition, animation on twos and captures that stalled hold the same picture for several frames. Such a
frame keeps its number and its time; the chain never sees it, so that windows reach real neighbours, and the result of
its original is put in its place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from restore.video import FrameBatch, FrameInfo, Planes

MAX_DIFFERENCE = 1
"""8-bit codes: no sample of a repeat differs more from the original ..."""
MEAN_DIFFERENCE = 0.02
"""... and on average no more than this: what a skipped macroblock's rounding leaves, far below any motion."""


def mark_repeats(batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
    """The same frames; FrameInfo.repeats of each that shows the picture of the last new one again (integer codes).
    Compared with the original, not with the frame before, so slow fades do not creep through."""
    original: tuple[int, Planes] | None = None
    for batch in batches:
        infos = []
        for n, info in enumerate(batch.frames):
            planes = tuple(p[n] for p in batch.planes)
            if original is not None and same_picture(planes, original[1], batch.format.depth):
                infos.append(replace(info, repeats=original[0]))
            else:
                original = info.index, planes
                infos.append(info)
        yield replace(batch, frames=tuple(infos))


def same_picture(planes: Planes, others: Planes, depth: int) -> bool:
    """Whether integer code planes, (1, h, w) each, differ by no more than what no one can see."""
    scale = 1 << (depth - 8)
    for plane, other in zip(planes, others, strict=True):
        # A few rows decide nearly every time, at a fraction of the cost.
        if _differ(plane[..., ::16, :], other[..., ::16, :], 16 * MEAN_DIFFERENCE * scale, scale):
            return False
    return not any(
        _differ(plane, other, MEAN_DIFFERENCE * scale, scale)
        for plane, other in zip(planes, others, strict=True)
    )


def _differ(plane: Tensor, other: Tensor, mean: float, scale: int) -> bool:
    if torch.equal(plane, other):
        return False
    error = (plane.to(torch.int32) - other.to(torch.int32)).abs()
    return int(error.max()) > MAX_DIFFERENCE * scale or float(error.float().mean()) > mean


def restore_once(
    batches: Iterable[FrameBatch], chain: Callable[[Iterable[FrameBatch]], Iterable[FrameBatch]]
) -> Generator[FrameBatch, None, None]:
    """All frames of `batches` with the planes that `chain` makes of those that are new; each of the others gets those
    of the frame before it. A repeat whose original is not among `batches`, or in another scene, is new."""
    waiting: deque[tuple[FrameInfo, bool]] = deque()

    def unique() -> Iterator[FrameBatch]:
        before: FrameInfo | None = None
        for batch in batches:
            new = []
            for info in batch.frames:
                new.append(before is None or _picture(info) != _picture(before))
                before = info
            waiting.extend(zip(batch.frames, new, strict=True))
            if all(new):
                yield batch
            elif any(new):
                yield _select(batch, [n for n, is_new in enumerate(new) if is_new])

    last: FrameBatch | None = None
    for done in chain(unique()):
        begin = 0
        for n, info in enumerate(done.frames):
            if waiting and not waiting[0][1]:
                if n > begin:
                    yield done[begin:n]
                yield from _again(last, waiting)
                begin = n
            if not waiting or waiting[0][0].index != info.index:
                raise ValueError(f"the chain gave frame {info.index} out of order")
            waiting.popleft()
            last = done[n : n + 1]
        yield done[begin:]
    yield from _again(last, waiting)


def _picture(info: FrameInfo) -> tuple[int, int]:
    return info.scene, info.index if info.repeats is None else info.repeats


def _again(last: FrameBatch | None, waiting: deque[tuple[FrameInfo, bool]]) -> Iterator[FrameBatch]:
    while last is not None and waiting and not waiting[0][1]:
        yield replace(last, frames=(waiting.popleft()[0],))


def _select(batch: FrameBatch, keep: list[int]) -> FrameBatch:
    return FrameBatch.cat([batch[n : n + 1] for n in keep])
