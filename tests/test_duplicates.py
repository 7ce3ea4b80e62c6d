"""Repeats are found by their picture, leave the chain, and come back with their own number and time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from restore.duplicates import mark_repeats, restore_once
from restore.video import Chroma, FrameBatch, FrameInfo, VideoFormat

FORMAT = VideoFormat(32, 32, Chroma.C420, 8, Fraction(1, 1000))


def video(pictures: list[int], depth: int = 8, scenes: list[int] | None = None) -> FrameBatch:
    """One frame of noise for each seed."""
    planes = []
    for height, width in FORMAT.plane_shapes():
        shots = {
            p: torch.randint(
                0,
                200 << (depth - 8),
                (1, height, width),
                generator=torch.Generator().manual_seed(p),
            )
            for p in pictures
        }
        kind = torch.uint8 if depth == 8 else torch.uint16
        planes.append(torch.stack([shots[p] for p in pictures]).to(torch.int32).to(kind))
    frames = tuple(
        FrameInfo(i, 3 + 40 * i, 40, scenes[i] if scenes else 0) for i in range(len(pictures))
    )
    return FrameBatch(tuple(planes), frames, replace(FORMAT, depth=depth))


def cut(whole: FrameBatch, size: int) -> Iterator[FrameBatch]:
    return (whole[i : i + size] for i in range(0, len(whole), size))


def marks(whole: FrameBatch, size: int = 3) -> list[int | None]:
    return [f.repeats for b in mark_repeats(cut(whole, size)) for f in b.frames]


@pytest.mark.parametrize("size", [1, 3, 20])
@pytest.mark.parametrize("depth", [8, 10])
def test_repeats_name_their_original(size: int, depth: int) -> None:
    whole = video([1, 1, 2, 3, 3, 3, 1, 1], depth)
    assert marks(whole, size) == [None, 0, None, None, 3, 3, None, 6]


@pytest.mark.parametrize(
    ("change", "share", "same"), [(1, 0.015, True), (1, 0.1, False), (2, 0.001, False)]
)
@pytest.mark.parametrize("depth", [8, 10])
def test_what_no_one_can_see_is_a_repeat(change: int, share: float, same: bool, depth: int) -> None:
    whole = video([1, 1], depth)
    luma = whole.planes[0].to(torch.int32)
    count = max(1, round(share * luma[1].numel()))
    luma[1].view(-1)[torch.randperm(luma[1].numel())[:count]] += change << (depth - 8)
    whole = replace(whole, planes=(luma.to(whole.planes[0].dtype), *whole.planes[1:]))
    assert marks(whole) == [None, 0 if same else None]


def test_a_change_of_colour_alone_is_new() -> None:
    whole = video([1, 1])
    whole.planes[2][1, 0, 5, 5] += 9
    assert marks(whole) == [None, None]


def test_a_slow_fade_does_not_creep_through() -> None:
    """Each frame is within a code of the one before, the third is two codes from the first."""
    whole = video([1] * 3)
    for n in (1, 2):
        whole.planes[0][n, 0, 0, 0] += n
    assert marks(whole) == [None, 0, None]


class Spy:
    """A chain that adds 1 to each code, a batch late, as stages with a window do."""

    def __init__(self) -> None:
        self.fed: list[int] = []

    def __call__(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        held: FrameBatch | None = None
        for batch in batches:
            self.fed += [f.index for f in batch.frames]
            if held is not None:
                yield held
            held = replace(batch, planes=tuple(p + 1 for p in batch.planes))
        if held is not None:
            yield held


@pytest.mark.parametrize("size", [1, 2, 3, 20])
@pytest.mark.parametrize(
    "pictures", [[1, 1, 2, 3, 3, 3, 1, 1], [1, 1, 1], [1, 2, 3], [2, 2, 3, 4, 4]]
)
def test_every_frame_comes_back_in_its_place(pictures: list[int], size: int) -> None:
    whole = video(pictures)
    marked = list(mark_repeats(cut(whole, size)))
    spy = Spy()
    done = FrameBatch.cat(list(restore_once(marked, spy)))
    assert done.frames == tuple(f for b in marked for f in b.frames)
    for ours, source in zip(done.planes, whole.planes, strict=True):
        assert torch.equal(ours, source + 1)
    assert spy.fed == [f.index for f in done.frames if f.repeats is None]


def test_a_repeat_without_its_original_is_a_frame_of_its_own() -> None:
    """A segment may begin among repeats; a cut may lie between a frame and its repeat."""
    marked = FrameBatch.cat(list(mark_repeats([video([1, 1, 1, 2, 2], scenes=[0, 0, 0, 0, 1])])))
    spy = Spy()
    done = FrameBatch.cat(list(restore_once([marked[1:]], spy)))
    assert [f.index for f in done.frames] == [1, 2, 3, 4]
    assert spy.fed == [1, 3, 4]


def test_nothing_in_nothing_out() -> None:
    assert list(restore_once([], Spy())) == []
