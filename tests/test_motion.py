"""Motion is found, followed, and pictures are moved along it; each fast path equals its reference."""

import numpy as np
import pytest
import torch
from torch import Tensor

from restore.motion import (
    MARGIN,
    MotionOptions,
    MotionService,
    confidence,
    follow,
    refine,
    refine_reference,
    resize_flow,
    warp,
    warp_reference,
    warp_refined,
    warp_refined_reference,
)
from restore.planes import gaussian_blur
from restore.video import FrameInfo

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
    path = np.zeros((8, 40, 2), np.float32)
    path[..., 0] = 4
    step = np.zeros((8, 40, 2), np.float32)
    step[..., 1] = 0.1 * np.arange(40)
    found = follow(path, step)
    assert found[3, 10, 0] == 4
    assert found[3, 10, 1] == pytest.approx(1.4)


def test_paths_of_earlier_targets_are_dropped() -> None:
    motion = service(drifting(6, 1, 1))
    for target in range(3):
        motion.flow(target, target + 3, (64, 80))
        assert {start for start, _ in motion._paths} == {target}


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
    own = slice(2 * MARGIN, -2 * MARGIN, 2)
    assert torch.equal(fine[..., own, own], plane)


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
    assert bool((confidence(plane, plane, 0.02) == 1).all())
    off = confidence(plane, plane + 0.02, 0.02)
    torch.testing.assert_close(off, torch.full_like(off, 1 / torch.e), atol=1e-4, rtol=0)
    h = torch.full_like(plane, 0.02)
    h[..., 10:] = 0.2
    split = confidence(plane, plane + 0.02, h)
    assert float(split[..., :10].max()) < 0.4 < 0.9 < float(split[..., 10:].min())
