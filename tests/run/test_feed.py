"""The feed hands each segment its frames and halo, the same ones whatever was done before."""

from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch

from restore.index import Index, Segment
from restore.io.source import Span
from restore.run.feed import Feed, first_alone, trim
from restore.video import FrameBatch, FrameInfo, VideoFormat

FORMAT = VideoFormat(4, 4, None, 8, Fraction(1, 1000))


def batches(count: int = 100, size: int = 7) -> Iterator[FrameBatch]:
    for start in range(0, count, size):
        numbers = range(start, min(start + size, count))
        frames = tuple(FrameInfo(i, 5 + i * 40, 40) for i in numbers)
        values = torch.tensor(list(numbers), dtype=torch.uint8).view(-1, 1, 1, 1)
        yield FrameBatch((values.expand(-1, 1, 4, 4),), frames, FORMAT)


@pytest.fixture
def index() -> Index:
    """Scenes 0..29, 30..99; segments 0..29, 30..59 (cut inside the scene), 60..99."""
    found = Index(FORMAT.time_base, cuts=[0, 30])
    found.segments = [Segment(0, 0, 30), Segment(1, 30, 60), Segment(2, 60, 100)]
    return found


def spans(index: Index, numbers: list[int]) -> dict[int, list[tuple[int, int]]]:
    feed = Feed(batches(), index, (3, 2))
    return {
        n: [(f.index, f.scene) for b in feed.frames_of(index.segments[n]) for f in b.frames]
        for n in numbers
    }


def test_halo_only_inside_a_scene(index: Index) -> None:
    found = spans(index, [0, 1, 2])
    assert [i for i, _ in found[0]] == list(range(30))
    assert [i for i, _ in found[1]] == list(range(30, 62))
    assert [i for i, _ in found[2]] == list(range(57, 100))
    assert {s for _, s in found[0]} == {0}
    assert {s for _, s in found[2]} == {1}


@pytest.mark.parametrize("numbers", [[2], [1, 2], [0, 2]])
def test_skipping_segments_changes_nothing(index: Index, numbers: list[int]) -> None:
    whole = spans(index, [0, 1, 2])
    assert spans(index, numbers) == {n: whole[n] for n in numbers}


def test_batches_are_cut_at_the_same_places_after_a_resume(index: Index) -> None:
    def cut(numbers: list[int]) -> list[int]:
        feed = Feed(batches(), index, (3, 2))
        return [[len(b) for b in feed.frames_of(index.segments[n])] for n in numbers][-1]

    assert cut([0, 1, 2]) == cut([2])


def test_memory_does_not_grow(index: Index) -> None:
    index.segments = [Segment(0, 0, 100)]
    index.cuts = [0]
    feed = Feed(batches(), index, (3, 2))
    most = 0
    for _ in feed.frames_of(index.segments[0]):
        most = max(most, sum(len(b) for b in feed._held))
    assert most <= 3 + 2 + 3 * 7


def test_trim_renumbers_and_keeps_the_time() -> None:
    part = trim(batches(), Span(Fraction("1.005"), Fraction("2.005")))
    kept = [(f.index, f.pts) for b in part for f in b.frames]
    assert kept == [(i, 1005 + i * 40) for i in range(25)]


def test_trim_between_frames() -> None:
    kept = [f.pts for b in trim(batches(), Span(Fraction("0.99"))) for f in b.frames]
    assert kept[:2] == [1005, 1045]
    assert len(kept) == 75


def test_trim_beyond_the_end_is_empty() -> None:
    assert list(trim(batches(), Span(Fraction(1000)))) == []


def test_no_span_is_everything() -> None:
    assert sum(len(b) for b in trim(batches(), None)) == 100


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (7, [1, 6]), (16, [1, 6, 7, 2])])
def test_the_first_frame_goes_alone(count: int, sizes: list[int]) -> None:
    made = list(first_alone(batches(count)))
    assert [len(b) for b in made] == sizes
    assert [f.index for b in made for f in b.frames] == list(range(count))
