"""Frames beside one as input planes: what they show, how much they count, and where there is nothing."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from restore.nets.architectures import NEIGHBOUR_PLACES, PLANES, condition_places, count_planes
from restore.nets.neighbours import REACH, UNIT, Neighbours, nearer
from restore.video import FrameBatch, FrameInfo, QuantMap, VideoFormat
from tests.conftest import COLOR, with_motion

COUNT = len(NEIGHBOUR_PLACES)
INNER = (..., slice(12, -12), slice(12, -12))


def drift(noise: float = 0.0, speed: int = 2, steps: tuple[float, ...] = (16,) * 5) -> FrameBatch:
    """Five frames of a soft texture that moves to the left, 64x48, with noise on the outer four."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(1, 1, 12, 20, generator=generator)
    wide = torch.nn.functional.interpolate(coarse, (48, 80), mode="bicubic")[0]
    luma = torch.stack([wide[..., speed * t : speed * t + 64] for t in range(5)])
    added = noise * torch.randn(luma.shape, generator=generator)
    added[2] = 0
    fmt = VideoFormat(64, 48, None, 8, Fraction(1, 25), COLOR)
    frames = tuple(FrameInfo(t, t, 1) for t in range(5))
    quant = tuple(QuantMap(torch.full((3, 4), float(step))) for step in steps)
    return with_motion(FrameBatch((luma + added,), frames, fmt, quant=quant))


def test_what_moves_evenly_is_seen_again_in_every_frame() -> None:
    planes = Neighbours()(drift(), REACH)
    assert planes.shape == (PLANES["neighbours"], 48, 64)
    differences, weights = planes[:COUNT], planes[COUNT:]
    assert float(weights[INNER].min()) > 0.8
    assert float(differences[INNER].abs().mean()) * UNIT * 219 < 1
    # At rest these frames differ by far more: they do not show the same, and do not count.
    still = replace(drift(), motion=with_motion(drift(speed=0)).motion)
    planes = Neighbours()(still, REACH)
    assert float(planes[COUNT:][INNER].mean()) < 0.5
    assert float(planes[:COUNT][INNER].abs().max()) * UNIT * 219 < 15


def test_how_far_frames_may_differ_follows_from_the_quantiser() -> None:
    weights = []
    for step in (4, 12, 40):
        planes = Neighbours()(drift(noise=0.03, steps=(step,) * 5), REACH)
        weights.append(float(planes[COUNT:][INNER].mean()))
    assert 2 * weights[0] < weights[1]
    assert 1.5 * weights[1] < weights[2] < 1


def test_each_plane_is_that_frame_less_this_one_times_its_weight() -> None:
    video = drift(noise=0.02, speed=0, steps=(30,) * 5)
    planes = Neighbours()(video, REACH)
    for place, step in enumerate(NEIGHBOUR_PLACES):
        there = video.planes[0][2 + step, 0] - video.planes[0][2, 0]
        wanted = there * planes[COUNT + place] / UNIT
        apart = (planes[place] - wanted)[INNER].abs().mean() * UNIT
        assert float(apart) < 0.01, "moved by a little, for the noise"
        others = [
            (planes[place] - planes[o])[INNER].abs().mean() for o in range(COUNT) if o != place
        ]
        assert float(min(others)) * UNIT > 0.015


def test_frames_coded_finer_count_for_more() -> None:
    even = Neighbours()(drift(steps=(8,) * 5), REACH)
    planes = Neighbours()(drift(steps=(16, 4, 8, 8, 80)), REACH)
    ratio = (planes[COUNT:] / even[COUNT:])[INNER].mean((1, 2))
    assert ratio.tolist() == pytest.approx([0.5, 2.0, 1.0, 0.3], rel=1e-3)


def test_where_there_is_nothing_planes_are_zero() -> None:
    video = drift()
    assert not Neighbours()(replace(video, motion=None), REACH).any()
    # The first frame of a scene, its edge filled with itself as the runner fills it.
    first = FrameBatch.cat([video[2:3], video[2:3], video[2:5]])
    planes = Neighbours()(first, REACH)
    here = [bool(planes[COUNT + place].any()) for place in range(COUNT)]
    assert here == [False, False, True, True]
    assert not planes[:2].any()
    larger = replace(video.format, width=128, height=96)
    twice = torch.nn.functional.interpolate(video.planes[0], scale_factor=2)
    assert not Neighbours()(video.with_planes((twice,), larger), REACH).any()


def test_decoded_frames_are_shown_whatever_stages_made_of_them() -> None:
    video = drift(noise=0.02, steps=(30,) * 5)
    softer = video.planes[0] * 0.9 + 0.03
    done = video.with_planes((softer,), video.format)
    planes, raw = Neighbours()(done, REACH), Neighbours()(video, REACH)
    change = (video.planes[0] - softer)[REACH] / UNIT
    torch.testing.assert_close(nearer(raw, change), planes, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(raw, planes, atol=0.1)


def test_frames_are_refined_once_and_forgotten_behind_the_reach() -> None:
    many = Neighbours()
    first, second = drift(), drift(noise=0.05)
    many(first, REACH)
    assert torch.equal(many(first, REACH), Neighbours()(first, REACH))
    later = replace(second, frames=tuple(replace(f, index=f.index + 9) for f in second.frames))
    later = with_motion(later)
    assert torch.equal(many(later, REACH), Neighbours()(later, REACH))
    assert set(many._around._fine) == {9, 10, 12, 13}
    many.reset()
    assert not many._around._fine


def test_places_of_conditions() -> None:
    places = condition_places(["quantiser", "neighbours", "change"])
    assert places == {
        "quantiser": slice(0, 1), "neighbours": slice(1, 9), "change": slice(9, 10),
    }  # fmt: skip
    assert count_planes(["quantiser", "neighbours", "change"]) == 10
