"""One decode for chains that look at nothing but the frame: same frames, same segments after a kill."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from restore.color import ColorInfo
from restore.index import Index
from restore.run.onepass import SEGMENT_FRAMES, OnePass
from restore.video import FrameBatch, FrameInfo, VideoFormat

FMT = VideoFormat(2, 2, None, 8, Fraction(1, 25), ColorInfo())


def batches(count: int, size: int = 7) -> Iterator[FrameBatch]:
    """Grey frames whose code is their number modulo 251."""
    for first in range(0, count, size):
        numbers = range(first, min(first + size, count))
        planes = torch.tensor([n % 251 for n in numbers], dtype=torch.uint8)
        frames = tuple(FrameInfo(n, n, 1, damaged=n == 5) for n in numbers)
        yield FrameBatch((planes[:, None, None, None].expand(-1, 1, 2, 2),), frames, FMT)


@pytest.mark.parametrize("count", [1, SEGMENT_FRAMES - 1, SEGMENT_FRAMES, 2 * SEGMENT_FRAMES + 3])
def test_every_frame_once_and_in_its_segment(count: int) -> None:
    index = Index(FMT.time_base)
    passing = OnePass(batches(count), index)
    seen: list[int] = []
    for segment in passing:
        part = list(passing.frames_of(segment))
        seen += [f.index for b in part for f in b.frames]
        assert [int(p[0, 0, 0]) for b in part for p in b.planes[0]] == [
            f.index % 251 for b in part for f in b.frames
        ]
        assert passing.end(segment).stop == min(segment.first + SEGMENT_FRAMES, count)
    assert seen == list(range(count))
    assert index.complete
    assert index.pts == seen
    assert index.damaged == ([5] if count > 5 else [])
    bounds = [(s.first, s.stop) for s in index.segments]
    starts = range(0, count, SEGMENT_FRAMES)
    assert bounds == [(s, min(s + SEGMENT_FRAMES, count)) for s in starts]


def test_segments_that_are_kept_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.run.onepass.SEGMENT_FRAMES", 300)
    index = Index(FMT.time_base)
    passing = OnePass(batches(700), index)
    taken = []
    for segment in passing:
        if segment.number == 1:
            taken = [f.index for b in passing.frames_of(segment) for f in b.frames]
        elif segment.number == 0:
            passing.skip(segment)
    assert taken == list(range(300, 600))
    assert len(index.pts) == 700
    assert [s.stop for s in index.segments] == [300, 600, 700]


def test_no_frames_no_segments() -> None:
    index = Index(FMT.time_base)
    assert list(OnePass(iter(()), index)) == []
    assert index.complete
    assert replace(index).segments == []
