"""The grid of a coded picture is found where it is, and not where there is none."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.grid import (
    GREATEST_STEP,
    _line_grid,
    _periods,
    excess_steps,
    find_grid,
    guess_step,
    measure_noise,
)
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


@pytest.mark.parametrize("seed", range(3))
def test_grids_are_scored_as_defined(seed: int) -> None:
    """The score of the winner, line by line, and no grid of the list above it by more than ties allow."""
    rng = np.random.default_rng(seed)
    profile = rng.random(70)
    profile[5::9] += 1.5
    periods = _periods(66)
    score, period, offset, strength = _line_grid(profile, periods)
    inner = profile[2:-2]
    raised = inner - np.array(
        [np.median(np.pad(inner, 4, "reflect")[i : i + 9]) for i in range(66)]
    )
    spread = np.sort(abs(raised))[32] * 1.4826 + 1e-6
    clipped = raised.clip(-3 * spread, 3 * spread)
    clipped = clipped - clipped.mean()

    def lines(period: float, offset: float) -> list[int]:
        places = [int(np.rint(offset + k * period)) for k in range(int(65 / period))]
        return [p for p in places if p < 66]

    def score_of(on: list[int]) -> float:
        spread = clipped.std(ddof=1) + 1e-6
        return float(clipped[on].sum() / (spread * (len(on) * (1 - len(on) / 66)) ** 0.5))

    scores = [
        score_of(lines(p, o))
        for p in periods
        for o in np.arange(0, p, 1.0 if p.is_integer() else 0.5)
    ]
    on = lines(period, (offset - 2) % period)
    assert score == pytest.approx(score_of(on))
    assert max(scores) <= 1.02 * score + 1e-9
    off = np.delete(inner, on)
    assert strength == pytest.approx(max(0.0, inner[on].mean() - off.mean()))
    assert period == 9


def test_excess_is_where_the_step_is() -> None:
    step = torch.zeros(1, 4, 20, dtype=torch.uint8)
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
