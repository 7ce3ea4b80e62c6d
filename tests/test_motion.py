"""Motion is found, followed, and pictures are moved along it; each fast path equals its reference."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from restore.flow import Estimator
from restore.motion import (
    NEAR,
    MotionOptions,
    MotionService,
    coarse,
    compare,
    confidence,
    doubt,
    doubt_reference,
    follow,
    moved,
)
from restore.planes import gaussian_blur, stretch
from restore.video import FrameInfo
from restore.warping import (
    refine,
    refine_reference,
    resize_flow,
    warp,
    warp_reference,
    warp_refined,
    warp_refined_reference,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from motion_scenes import CAMERAS, THINGS, Scene

CPU = torch.device("cpu")
POSITION = 0.3 / 219
"""OpenCV rounds positions to 1/32 sample (of the refined plane: 1/64): under a third of a code on soft pictures."""
SIZES = [(40, 52), (7, 9), (1, 1), (23, 35)]


def picture(*shape: int) -> Tensor:
    """Soft blobs, most of 0..1."""
    rough = torch.rand(*shape, generator=torch.Generator().manual_seed(7))
    return (gaussian_blur(rough, 2.0) - 0.5) * 4 + 0.5


def random_flow(height: int, width: int) -> Tensor:
    flow = 4 * torch.randn(1, 2, height, width, generator=torch.Generator().manual_seed(8))
    return gaussian_blur(flow, 1.0)


def drifting(count: int, dy: int, dx: int) -> Tensor:
    """(count, 1, 64, 80): frame t shows the scene moved by t * (dy, dx) samples."""
    big = picture(1, 1, 64 + 8 * count, 80 + 8 * count)[0]
    y, x = 4 * count, 4 * count
    return torch.stack(
        [big[:, y - t * dy : y - t * dy + 64, x - t * dx : x - t * dx + 80] for t in range(count)]
    )


def service(frames: Tensor, first: int = 0, preset: str = "fast") -> MotionService:
    found = MotionService(MotionOptions(preset=preset), CPU)  # type: ignore[arg-type]
    found.add(tuple(FrameInfo(first + i, i, 1) for i in range(len(frames))), frames)
    return found


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("reference", [1, 2, 3])
def test_flow_points_at_the_same_thing(reference: int, preset: str) -> None:
    motion = service(drifting(4, 1, -2), preset=preset)
    flow = motion.flow(0, reference, (64, 80))[0, :, 16:-16, 16:-16]
    wanted = torch.tensor([-2.0, 1.0]).view(2, 1, 1) * reference
    assert float((flow - wanted).abs().mean()) < 0.15


def test_backwards() -> None:
    flow = service(drifting(4, 1, -2)).flow(3, 1, (64, 80))[0, :, 16:-16, 16:-16]
    assert float((flow - torch.tensor([4.0, -2.0]).view(2, 1, 1)).abs().mean()) < 0.15


def test_a_frame_does_not_move_to_itself() -> None:
    assert bool((service(drifting(2, 1, 1)).flow(1, 1, (64, 80)) == 0).all())


def test_a_path_is_followed_from_where_it_leads() -> None:
    """From A 4 samples to the right to B; from there on by a tenth of the place in B."""
    path = torch.zeros(1, 2, 8, 40)
    path[:, 0] = 4
    step = torch.zeros(1, 2, 8, 40)
    step[:, 1] = 0.1 * torch.arange(40)
    found = follow(path, step)
    assert found[0, 0, 3, 10] == 4
    assert float(found[0, 1, 3, 10]) == pytest.approx(1.4)


def test_paths_of_earlier_targets_are_dropped() -> None:
    motion = service(drifting(6, 1, 1))
    for target in range(3):
        motion.flow(target, target + 3, (64, 80))
        assert {start for start, _ in motion._paths} == {target}


def test_what_stages_share_is_made_once_and_forgotten_with_its_frames() -> None:
    motion = service(drifting(3, 1, 1))
    made: list[int] = []

    def make() -> int:
        made.append(0)
        return len(made)

    assert [motion.once(*pair, 0, make) for pair in ((0, 1), (0, 1), (1, 0))] == [1, 1, 2]
    assert [motion.once(0, 1, 1, make), motion.once(0, 1, 0, make)] == [3, 1]
    motion.forget(1)
    assert motion.once(1, 2, 0, make) == 4
    with pytest.raises(KeyError):
        motion.once(0, 1, 0, make)


def test_order_of_questions_does_not_matter() -> None:
    frames = drifting(5, 1, 1)
    one, other = service(frames), service(frames)
    pairs = [(2, 0), (2, 1), (2, 3), (2, 4), (3, 1), (3, 5 - 1), (2, 4)]
    first = {p: one.flow(*p, (64, 80)) for p in pairs}
    for pair in reversed(pairs):
        assert torch.equal(other.flow(*pair, (64, 80)), first[pair])


def test_forgotten_frames_are_gone_and_memory_is_freed() -> None:
    motion = service(drifting(6, 1, 1))
    for target in range(1, 5):
        motion.flow(target, target - 1, (64, 80))
        motion.flow(target, target + 1, (64, 80))
    motion.forget(4)
    assert set(motion._luma) == {4, 5}
    assert set(motion._steps) == {(4, 5)}
    with pytest.raises(KeyError):
        motion.flow(3, 4, (64, 80))
    with pytest.raises(KeyError):
        motion.flow(4, 3, (64, 80))


@pytest.mark.parametrize("size", [(1, 1), (9, 7), (15, 40), (88, 72)])
def test_any_size(size: tuple[int, int]) -> None:
    """DIS changes its own settings when a picture is small: two streams must not share an estimator."""
    motion = service(picture(3, 1, *size))
    flow = motion.flow(0, 2, size)
    assert flow.shape == (1, 2, *size)
    assert bool(torch.isfinite(flow).all())
    assert torch.equal(motion.flow(0, 2, size), flow)


def test_flow_on_another_grid() -> None:
    flow = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 6, 8)
    big = resize_flow(flow, (12, 32))
    assert big.shape == (1, 2, 12, 32)
    torch.testing.assert_close(big[0, :, 3, 3], torch.tensor([4.0, -4.0]))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_warp_agrees_with_its_reference(size: tuple[int, int], mode: str) -> None:
    plane, flow = picture(1, 1, *size), random_flow(*size)
    found, wanted = warp(plane, flow, mode), warp_reference(plane, flow, mode)  # type: ignore[arg-type]
    torch.testing.assert_close(found, wanted, atol=10 * POSITION, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_refining_agrees_with_its_reference(size: tuple[int, int]) -> None:
    plane = picture(1, 1, *size)
    fine = refine(plane)
    torch.testing.assert_close(fine, refine_reference(plane), atol=1e-6, rtol=0)
    assert torch.equal(fine[..., ::2, ::2], plane)


@pytest.mark.parametrize("size", SIZES)
def test_refined_warp_agrees_with_its_reference(size: tuple[int, int]) -> None:
    fine, flow = refine(picture(1, 1, *size)), random_flow(*size)
    found, wanted = warp_refined(fine, flow), warp_refined_reference(fine, flow)
    torch.testing.assert_close(found, wanted, atol=POSITION, rtol=0)


def test_no_motion_changes_nothing() -> None:
    plane = picture(1, 1, 23, 35)
    assert torch.equal(warp_refined(refine(plane), torch.zeros(1, 2, 23, 35)), plane)


def test_whole_samples_move_exactly_and_edges_repeat() -> None:
    plane = picture(1, 1, 23, 35)
    flow = torch.zeros(1, 2, 23, 35)
    flow[:, 0], flow[:, 1] = 3, -2
    wanted = plane[..., (torch.arange(23) - 2).clamp(0, 22), :]
    wanted = wanted[..., (torch.arange(35) + 3).clamp(0, 34)]
    torch.testing.assert_close(warp_refined(refine(plane), flow), wanted, atol=1e-6, rtol=0)


def test_refined_warp_keeps_more_detail_than_bicubic() -> None:
    """A fine grating, moved by half a sample: what is left of it."""
    x = torch.arange(64.0)
    grating = (2.2 * x).sin().expand(1, 1, 16, 64)
    flow = torch.zeros(1, 2, 16, 64)
    flow[:, 0] = 0.5
    wanted = (2.2 * (x + 0.5)).sin()[12:-12]
    errors = [
        float((moved[0, 0, 8, 12:-12] - wanted).square().mean())
        for moved in (warp_refined(refine(grating), flow), warp(grating, flow))
    ]
    assert errors[0] < 0.5 * errors[1]


def test_confidence() -> None:
    plane = picture(1, 1, 20, 20)
    assert bool((confidence(compare(plane, plane), 0.02) == 1).all())
    wave = 0.02 * 2**0.5 * torch.sin(torch.arange(80.0) * 2).expand(1, 1, 20, 80)
    off = confidence(compare(plane[..., :1], plane[..., :1] + wave), 0.02)
    assert off.shape == (1, 1, 10, 40)
    assert float(off[..., 4:-4].mean()) == pytest.approx(1 / torch.e, abs=0.02)
    h = torch.full((1, 1, 10, 10), 0.02)
    h[..., 5:] = 0.2
    split = confidence(compare(plane, plane + 0.02), h)
    assert float(split[..., :5].max()) < 0.1 < 0.9 < float(split[..., 5:].min())


@pytest.mark.parametrize("size", SIZES)
def test_pictures_are_compared_on_half_their_grid(size: tuple[int, int]) -> None:
    """Means around samples, as they are on the whole grid."""
    plane, other = picture(1, 1, *size), picture(1, 2, *size)[:, 1:]
    found = compare(plane, other)
    assert found.error.shape[-2:] == coarse(size)
    whole = gaussian_blur((other - plane).square(), NEAR)
    torch.testing.assert_close(found.error.mean(), whole.mean(), atol=0.03, rtol=0.1)
    if min(size) > 20:
        again = stretch(found.error, size)
        assert float((again - whole).abs().mean()) < 0.2 * float(whole.mean())


def test_what_leans_to_one_side_counts_less_than_what_swings() -> None:
    plane = torch.full((1, 1, 24, 24), 0.5)
    swing = 0.02 * (1 - 2 * (torch.arange(24) % 2)).expand(1, 1, 24, 24)
    swings, leans = (
        float(confidence(compare(plane, plane + d), 0.02)[0, 0, 6, 6]) for d in (swing, swing.abs())
    )
    assert leans < 0.2 * swings


def test_doubt_and_a_smaller_share_lower_confidence() -> None:
    plane = torch.full((1, 1, 24, 24), 0.5)
    found = compare(plane, plane + 0.005)
    sure = float(confidence(found, 0.02).mean())
    # 3 samples of half the grid are 6.
    assert float(confidence(found, 0.02, torch.full((1, 1, 12, 12), 3.0)).mean()) < 0.1 * sure
    assert float(confidence(found, 0.02, share=0.3).mean()) < 0.8 * sure
    assert bool((confidence(compare(plane, plane), 0.02, share=0.01) == 1).all())


def test_going_and_coming_back_meet_where_nothing_is_hidden() -> None:
    frames = drifting(4, 1, -2)
    motion = service(frames)
    for reference in (1, 2, 3):
        found = motion.doubt(0, reference, (64, 80))[0, 0, 16:-16, 16:-16]
        assert float(found.mean()) < 0.15 * reference
    # What leaves the picture has no way back: 2 samples a frame to the left.
    assert float(motion.doubt(0, 3, (64, 80))[0, 0, 16:-16, 0].mean()) > 3
    twice = motion.doubt(0, 1, (128, 160))
    assert twice.shape == (1, 1, 128, 160)
    assert float(twice.mean()) == pytest.approx(
        2 * float(motion.doubt(0, 1, (64, 80)).mean()), rel=0.1
    )
    assert bool((motion.doubt(1, 1, (64, 80)) == 0).all())


@pytest.mark.parametrize("size", SIZES)
def test_following_agrees_with_its_reference(size: tuple[int, int]) -> None:
    forth, back = random_flow(*size), random_flow(*size).flip(1)
    wanted = warp_reference(back, forth, "bilinear")
    # Steps of 1/32 sample in a flow of 4 samples and more.
    torch.testing.assert_close(moved(back, forth), wanted, atol=0.2, rtol=0)
    found, reference = doubt(forth, back), doubt_reference(forth, back)
    torch.testing.assert_close(found, reference, atol=0.2, rtol=0)


def test_hidden_scenery_is_in_doubt() -> None:
    scene = Scene("", thing=(12.0, 0.0), height=96, width=128)
    frames = torch.from_numpy(np.stack([scene.frame(t) for t in (3, 4)]))[:, None]
    found = service((frames - 16) / 219).doubt(0, 1, (96, 128))[0, 0].numpy()
    _, visible = scene.flow(3, 4)
    strip = np.zeros_like(visible)
    strip[30:66, 98:106] = True
    assert not visible[strip].any()
    assert found[strip].mean() > 3
    assert found[:, :20].mean() < 0.5


@pytest.mark.parametrize(("title", "limit"), [("pan 32", 1.0), ("thing 16", 0.6)])
def test_fast_motion_is_found(title: str, limit: float) -> None:
    scene = next(s for s in [*CAMERAS, *THINGS] if s.title == title)
    target, reference = (np.rint(scene.frame(t)).astype(np.uint8) for t in (3, 4))
    flow = Estimator("fast")(target, reference)
    truth, visible = scene.flow(3, 4)
    if scene.thing:
        visible &= scene.thing_mask(3)
    assert np.hypot(*(flow - truth).transpose(2, 0, 1))[visible].mean() < limit


def test_what_stands_still_before_a_moving_scene_is_not_dragged_along() -> None:
    """A caption before a pan of 8 samples a frame."""
    scene = Scene("", pan=(8.0, 0.0), height=192, width=256)
    pictures = [scene.frame(t) for t in (3, 4)]
    letters = np.random.default_rng(2).random((7, 35)) > 0.5
    for picture in pictures:
        picture[150:164, 60:130] = np.where(letters, 235, 16).repeat(2, 0).repeat(2, 1)
    target, reference = (np.rint(p).astype(np.uint8) for p in pictures)
    flow = Estimator("fast")(target, reference)
    caption = np.hypot(*flow[153:161, 66:124].transpose(2, 0, 1))
    assert (caption == 0).mean() > 0.9
    truth, visible = scene.flow(3, 4)
    visible[140:174, 50:140] = False
    assert np.hypot(*(flow - truth).transpose(2, 0, 1))[visible].mean() < 0.7


def test_equal_pictures_have_no_motion() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (48, 64), np.uint8)
    assert not Estimator("fast")(noise, noise.copy()).any()


def test_motion_is_found_ahead_once_it_was_asked_for() -> None:
    """And what is found does not depend on when: the same as on demand."""
    frames = drifting(6, 1, -2)
    infos = tuple(FrameInfo(i, i, 1, scene=int(i > 4)) for i in range(6))
    ahead = MotionService(MotionOptions(), CPU)
    ahead.add(infos[:2], frames[:2])
    assert not ahead._steps
    ahead.flow(0, 1, (64, 80))
    ahead.add(infos[2:], frames[2:])
    # Between neighbours, but not across a cut.
    wanted = {(i, i + 1) for i in range(1, 4)}
    assert set(ahead._steps) == {(0, 1), *wanted}
    on_demand = service(frames)
    for pair in wanted:
        assert torch.equal(ahead.flow(*pair, (64, 80)), on_demand.flow(*pair, (64, 80)))
    ahead.close()


def test_a_service_that_is_closed_leaves_what_is_not_begun() -> None:
    motion = service(drifting(6, 1, 1))
    motion.flow(0, 1, (64, 80))
    motion.close()
    with pytest.raises(RuntimeError):
        motion.flow(1, 2, (64, 80))


def test_frames_that_repeat_leave_gaps_that_are_passed() -> None:
    """Numbers 0, 2, 4: the same as 0, 1, 2."""
    frames = drifting(3, 1, -2)
    plain, gaps = service(frames), MotionService(MotionOptions(), CPU)
    gaps.add(tuple(FrameInfo(2 * i, i, 1) for i in range(3)), frames)
    assert torch.equal(gaps.flow(4, 0, (64, 80)), plain.flow(2, 0, (64, 80)))
    assert torch.equal(gaps.doubt(0, 4, (64, 80)), plain.doubt(0, 2, (64, 80)))
    assert set(gaps._steps) == {(0, 2), (2, 4)}
