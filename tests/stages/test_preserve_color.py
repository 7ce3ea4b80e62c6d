"""Brightness and colour follow the source; detail is the stage's own."""

from dataclasses import replace

import pytest
import torch

from restore.color import Siting
from restore.planes import chroma_shift, gaussian_blur, resample
from restore.stages.preserve_color import PreserveColor
from restore.video import Chroma, FrameBatch, Planes, VideoFormat
from tests.conftest import Make

CODE = 1 / 219


def soft(video: FrameBatch) -> FrameBatch:
    """The same, but a picture: neighbouring samples agree."""
    return replace(video, planes=tuple(gaussian_blur(p, 2.0) for p in video.planes))


def enlarged(video: FrameBatch, factor: int = 2) -> FrameBatch:
    """What `upscale` makes of it by Lanczos, without the stage."""
    fmt = video.format.scaled(factor)
    scale = (float(factor), float(factor))
    shift = chroma_shift(video.format, scale)
    shapes = fmt.plane_shapes()
    planes: Planes = (
        resample(video.planes[0], shapes[0]),
        *(resample(p, shapes[1], scale=scale, shift=shift) for p in video.planes[1:]),
    )
    return video.with_planes(planes, fmt)


@pytest.mark.parametrize("chroma", [None, Chroma.C420, Chroma.C444])
@pytest.mark.parametrize("size", [(64, 48), (37, 23)])
def test_a_drift_is_taken_back(
    size: tuple[int, int], chroma: Chroma | None, make_video: Make
) -> None:
    """Sepia stays sepia: means within half a code, whatever the chain did to brightness and colour."""
    video = soft(make_video(*size, chroma))
    big = enlarged(video)
    off = replace(big, planes=tuple(p * 0.95 + 0.03 for p in big.planes))
    for plane, source in zip(PreserveColor().process(off), video.planes, strict=True):
        drift = plane.mean((1, 2, 3)) - source.mean((1, 2, 3))
        assert float(drift.abs().max()) < 0.5 * CODE


def test_a_local_drift_too(make_video: Make) -> None:
    video = make_video(96, 64)
    big = enlarged(video)
    ramp = torch.linspace(-0.1, 0.1, 192).expand_as(big.planes[0])
    off = replace(big, planes=(big.planes[0] + ramp, *big.planes[1:]))
    left = PreserveColor().process(off)[0] - PreserveColor().process(big)[0]
    assert float(left[..., 24:-24].abs().max()) < 0.15 * 0.1


@pytest.mark.parametrize("period", [4, 16])
def test_detail_is_kept(period: int, make_video: Make) -> None:
    video = make_video(64, 48)
    big = enlarged(video)
    grating = 0.1 * (torch.arange(128) % period < period // 2).float().sub(0.5)
    sharper = replace(big, planes=(big.planes[0] + grating, *big.planes[1:]))
    change = PreserveColor().process(sharper)[0] - PreserveColor().process(big)[0]
    inside = (..., slice(40, -40))
    wanted = grating.expand_as(change)
    torch.testing.assert_close(change[inside], wanted[inside], atol=0.5 * CODE, rtol=0)


def test_what_follows_the_source_already_is_left_alone(make_video: Make) -> None:
    big = enlarged(soft(make_video(64, 48)))
    for before, after in zip(big.planes, PreserveColor().process(big), strict=True):
        assert float((before - after).abs().mean()) < 0.25 * CODE


@pytest.mark.parametrize("size", [64, 63])
@pytest.mark.parametrize("siting", [Siting.LEFT, Siting.CENTER, Siting.TOP_LEFT])
def test_a_chroma_ramp_keeps_its_place(siting: Siting, size: int, make_video: Make) -> None:
    """Sited to the left, or of an odd size, chroma lies a part of a sample aside: no drift to be corrected."""
    video = make_video(size, size)
    fmt = replace(video.format, color=replace(video.format.color, siting=siting))
    slope = 0.01
    ramp = slope * torch.arange(32.0)
    planes = (video.planes[0], ramp.expand(12, 1, 32, 32), ramp.view(-1, 1).expand(12, 1, 32, 32))
    big = enlarged(replace(video, planes=planes, format=fmt))
    done = PreserveColor(radius=3).process(big)
    for before, after in zip(big.planes[1:], done[1:], strict=True):
        inside = (..., slice(24, -24), slice(24, -24))
        assert float((before - after)[inside].abs().max()) < 0.01 * slope


def test_grey_frames_become_exactly_neutral_and_coloured_ones_do_not(make_video: Make) -> None:
    video = make_video(64, 48)
    planes = tuple(p.clone() for p in video.planes)
    planes[1][3] = 0
    tinted = enlarged(replace(video, planes=planes))
    tinted = replace(tinted, planes=tuple(p + 0.01 for p in tinted.planes))
    done = PreserveColor().process(tinted)
    assert bool((done[1][3] == 0).all())
    assert not bool((done[1][2] == 0).any())
    assert not bool((done[2][3] == 0).any())


def test_strength(make_video: Make) -> None:
    video = make_video(64, 48, None)
    big = enlarged(video)
    off = replace(big, planes=(big.planes[0] + 0.1,))
    half = PreserveColor(strength=0.5).process(off)[0] - big.planes[0]
    assert float(half.mean()) == pytest.approx(0.05, abs=0.002)
    assert PreserveColor(strength=0).process(off)[0] is off.planes[0]


def test_before_the_first_change_there_is_nothing_to_do(make_video: Make) -> None:
    video = make_video()
    assert video.source is None
    assert PreserveColor().process(video) is video.planes


def test_a_stage_that_shrank_the_picture(make_video: Make) -> None:
    video = make_video(64, 48, None)
    small: VideoFormat = replace(video.format, width=40, height=30)
    done = video.with_planes((resample(video.planes[0], (30, 40)) + 0.1,), small)
    locked = PreserveColor().process(done)[0]
    assert float((locked.mean() - video.planes[0].mean()).abs()) < 0.5 * CODE
