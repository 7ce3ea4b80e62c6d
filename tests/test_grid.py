"""The grid of a coded picture is found where it is, and not where there is none."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.grid import GREATEST_STEP, excess_steps, find_grid, guess_step, measure_noise
from restore.planes import gaussian_blur
from restore.video import BlockGrid


def film(count: int = 8, height: int = 96, width: int = 144) -> Tensor:
    """(count, 1, H, W) codes: soft shapes that move."""
    generator = torch.Generator().manual_seed(6)
    big = gaussian_blur(torch.rand(1, 1, height + 16, width + 16, generator=generator), 1.5)
    big = (big - big.mean()) * 250 + 120
    return torch.cat([big[..., i : i + height, 2 * i : 2 * i + width] for i in range(count)])


def blocky(frames: Tensor, period: int, amplitude: float = 3.0, offset: int = 0) -> Tensor:
    """With a step of its own at every edge of `period` x `period` blocks."""
    count, _, height, width = frames.shape
    generator = torch.Generator().manual_seed(7)
    rows, columns = -(-height // period) + 1, -(-width // period) + 1
    means = amplitude * torch.randn(count, 1, rows, columns, generator=generator)
    tiles = means.repeat_interleave(period, 2).repeat_interleave(period, 3)
    start = (period - offset) % period
    return frames + tiles[..., start : start + height, start : start + width]


def codes(frames: Tensor) -> Tensor:
    return frames.round().clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("period", [8, 16, 4])
def test_a_grid_is_found(period: int) -> None:
    found = find_grid(codes(blocky(film(), period)))
    assert found is not None
    assert found.period == (period, period)
    assert found.offset == (0, 0)
    assert found.strength > 0.5


def test_a_grid_off_the_origin_is_found() -> None:
    found = find_grid(codes(blocky(film(), 8, offset=3)))
    assert found is not None
    assert (found.period, found.offset) == ((8, 8), (3, 3))


def test_a_grid_that_was_scaled_is_found() -> None:
    """352 -> 320 after coding: every 7.27 samples."""
    frames = blocky(film(8, 144, 176), 8, 4.0)
    scaled = F.interpolate(frames, (131, 160), mode="bilinear", align_corners=False)
    found = find_grid(codes(scaled))
    assert found is not None
    assert found.period == pytest.approx((8 / 1.1, 8 / 1.1), abs=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_no_grid_in_a_clean_film(seed: int) -> None:
    noise = torch.randn(8, 1, 96, 144, generator=torch.Generator().manual_seed(seed))
    assert find_grid(codes(film() + 2 * noise)) is None


def test_strength_grows_with_the_edges() -> None:
    grids = [find_grid(codes(blocky(film(), 8, a))) for a in (2.0, 4.0, 8.0)]
    strengths = [g.strength for g in grids if g is not None]
    assert len(strengths) == 3
    assert strengths == sorted(strengths)


@pytest.mark.parametrize("size", [(1, 1), (9, 200), (23, 23)])
def test_small_pictures_have_none(size: tuple[int, int]) -> None:
    assert find_grid(torch.zeros(2, 1, *size, dtype=torch.uint8)) is None


def test_flat_pictures_have_none() -> None:
    assert find_grid(torch.full((4, 1, 64, 64), 100, dtype=torch.uint8)) is None


def test_excess_is_where_the_step_is() -> None:
    step = torch.zeros(1, 4, 20)
    step[..., 9:] = 5
    assert excess_steps(step).nonzero().flatten().tolist() == [9]
    assert float(excess_steps(step)[9]) == 5


def test_a_step_is_guessed_from_a_grid_with_care() -> None:
    def grid(strength: float) -> BlockGrid:
        return BlockGrid((8.0, 8.0), (0.0, 0.0), strength)

    assert guess_step(None) == 0
    assert 0 < guess_step(grid(0.2)) < guess_step(grid(0.8)) < GREATEST_STEP
    assert guess_step(grid(50)) == GREATEST_STEP
    small = BlockGrid((4.0, 4.0), (0.0, 0.0), 0.4)
    assert guess_step(small) < 0.5 * guess_step(grid(0.4))


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_measured(sigma: float) -> None:
    noise = sigma * torch.randn(4, 1, 96, 144, generator=torch.Generator().manual_seed(1))
    soft = gaussian_blur(film(4), 3.0)
    assert measure_noise(codes(soft + noise)) == pytest.approx(sigma, rel=0.35)
    assert measure_noise(codes(soft)) < 0.5


def test_texture_is_not_taken_for_noise() -> None:
    noise = 2 * torch.randn(4, 1, 96, 144, generator=torch.Generator().manual_seed(1))
    frames = gaussian_blur(film(4), 3.0) + noise
    frames[..., 48:] += 25 * ((torch.arange(96) % 3) - 1.0)
    assert measure_noise(codes(frames)) == pytest.approx(2, rel=0.35)


def test_noise_of_tiny_pictures() -> None:
    assert measure_noise(torch.zeros(1, 1, 1, 1, dtype=torch.uint8)) == 0
    assert measure_noise(torch.zeros(1, 1, 4, 4, dtype=torch.uint8)) == 0
