"""The index: scenes, segments and facts are functions of the frames alone, not of how they came."""

import json
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from restore.index import Index, Segment, build_index
from restore.measures import MEASURES
from restore.scenes import SceneOptions
from restore.video import FrameBatch, FrameInfo, VideoFormat

FORMAT = VideoFormat(48, 32, None, 8, Fraction(1, 1000))


def video(scene_seconds: list[float], rate: int = 5) -> FrameBatch:
    """Scenes of still noise, each its own, at `rate` frames a second."""
    torch.manual_seed(1)
    planes, frames = [], []
    for number, seconds in enumerate(scene_seconds):
        picture = torch.randint(0, 90, (1, 1, 32, 48)) + 150 * (number % 2)
        count = round(seconds * rate)
        planes.append(picture.to(torch.uint8).expand(count, -1, -1, -1))
        frames += [FrameInfo(len(frames) + i, 0, 1000 // rate) for i in range(count)]
    step = 1000 // rate
    timed = tuple(FrameInfo(f.index, 7 + f.index * step, step) for f in frames)
    return FrameBatch((torch.cat(planes),), timed, FORMAT)


def build(whole: FrameBatch, size: int, **options: object) -> tuple[Index, list[Segment]]:
    index = Index(FORMAT.time_base)
    batches = (whole[i : i + size] for i in range(0, len(whole), size))
    scenes = SceneOptions(**options)  # type: ignore[arg-type]
    return index, list(build_index(index, batches, scenes, {"grid"}, 4))


def test_segments_are_whole_scenes_of_ten_seconds_or_more() -> None:
    index, segments = build(video([4, 7, 12, 3]), 7)
    assert index.cuts == [0, 20, 55, 115]
    assert [(s.first, s.stop) for s in segments] == [(0, 55), (55, 115), (115, 130)]
    assert index.complete
    assert index.duration == 26


def test_a_long_scene_is_cut_at_a_minute() -> None:
    _, segments = build(video([130]), 50)
    assert [(s.first, s.stop) for s in segments] == [(0, 300), (300, 600), (600, 650)]


@pytest.mark.parametrize("size", [1, 3, 130])
def test_batches_do_not_matter(size: int) -> None:
    whole = video([4, 7, 12, 3])
    assert build(whole, size)[0] == build(whole, 7)[0]


def test_a_segment_is_final_when_it_is_yielded() -> None:
    """What the render asks about a segment and its halo must not change while the index reads on."""
    whole = video([61, 1, 30])
    index = Index(FORMAT.time_base)
    seen = []
    for segment in build_index(
        index, iter(whole[i : i + 1] for i in range(len(whole))), SceneOptions(), {"grid"}, 4
    ):
        seen.append(
            (
                segment,
                [index.scene(f) for f in range(segment.first, min(segment.stop + 4, len(whole)))],
                dict(index.facts),
            )
        )
    for segment, scenes, facts in seen:
        assert scenes == [
            index.scene(f) for f in range(segment.first, min(segment.stop + 4, len(whole)))
        ]
        assert all(index.facts[k] == v for k, v in facts.items())
    assert [s.stop for s, _, _ in seen] == [300, 460]


def flickering(whole: FrameBatch) -> FrameBatch:
    """Every other frame darker; what was still becomes a picture with something to fit."""
    planes = whole.planes[0].clone()
    planes[::2] = (planes[::2].float() * 0.95).to(torch.uint8)
    return replace(whole, planes=(planes,))


def build_curves(whole: FrameBatch, size: int, ahead: int = 4) -> tuple[Index, list[Segment]]:
    index = Index(FORMAT.time_base)
    batches = (whole[i : i + size] for i in range(0, len(whole), size))
    return index, list(build_index(index, batches, SceneOptions(), {"grid", "flicker"}, ahead))


@pytest.mark.parametrize("size", [1, 3, 130])
def test_curves_are_of_the_frames_alone(size: int) -> None:
    whole = flickering(video([4, 7, 12, 3]))
    index, segments = build_curves(whole, size)
    assert (index, segments) == build_curves(whole, 7)
    # A segment that waits for more frames is the same segment, and so are the facts.
    later = build_curves(whole, size, 40)
    assert (index, segments) == later


def test_a_stretch_of_a_curve_ends_with_its_scene() -> None:
    index, _ = build_curves(flickering(video([4, 7, 12, 3])), 7)
    found = index.scene_facts(1, 10, 50)
    assert found is not None
    assert found.grid == index.facts[1].grid
    assert found.curves["flicker"].first == 20
    assert len(found.curves["flicker"].values) == 30
    whole = index.scene_facts(1, 0, 999)
    assert whole is not None
    assert len(whole.curves["flicker"].values) == 35
    assert torch.equal(whole.curves["flicker"].values[:30], found.curves["flicker"].values)
    assert float(whole.curves["flicker"].values[1:, -1].abs().min()) > 2


def test_curves_survive_a_resume() -> None:
    index, _ = build_curves(flickering(video([4, 7])), 7)
    data = json.loads(json.dumps(index.to_json()))
    assert Index.from_json(data) == index
    assert len(index.curves["flicker"]) == 2 * MEASURES["flicker"].width * len(index.pts)
    data["curves"]["flicker"] = data["curves"]["flicker"][:-40]
    with pytest.raises(ValueError, match="every frame"):
        Index.from_json(data)


def test_json_round_trip() -> None:
    index, _ = build(video([4, 7]), 7)
    assert Index.from_json(json.loads(json.dumps(index.to_json()))) == index


def test_no_frames() -> None:
    index = Index(FORMAT.time_base)
    assert list(build_index(index, iter(()), SceneOptions(), set())) == []
    assert index.complete
    assert index.duration == 0
