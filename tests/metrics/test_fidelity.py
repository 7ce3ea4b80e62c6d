"""The measures, against values that follow from their definitions."""

import math

import pytest
import torch

from restore.metrics.fidelity import psnr, psnr_b, ssim

TRUTH = torch.randint(16, 236, (2, 1, 64, 80), generator=torch.Generator().manual_seed(0))


def test_psnr_of_a_known_error() -> None:
    assert psnr(TRUTH + 2, TRUTH) == pytest.approx(10 * math.log10(255**2 / 4))


def test_psnr_is_the_mean_of_frames_and_ignores_the_border() -> None:
    other = TRUTH.clone()
    other[0] += 1
    other[1] += 10
    other[..., :8, :] = 0
    wanted = (10 * math.log10(255**2) + 10 * math.log10(255**2 / 100)) / 2
    assert psnr(other, TRUTH) == pytest.approx(wanted)


def test_no_error() -> None:
    assert psnr(TRUTH, TRUTH) == 100
    assert ssim(TRUTH, TRUTH) == pytest.approx(1)
    assert psnr_b(TRUTH.clamp(100, 100), TRUTH.clamp(100, 100)) == pytest.approx(100)


def test_ssim_of_a_shift_in_brightness() -> None:
    """Same structure: only the luminance term is below 1."""
    flat = torch.full((1, 1, 40, 40), 100.0)
    c1 = (0.01 * 255) ** 2
    wanted = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(flat + 20, flat) == pytest.approx(wanted)


def test_psnr_b_sees_blocks_and_only_blocks() -> None:
    flat = torch.full((1, 1, 64, 64), 100.0)
    tiles = torch.kron(
        (torch.arange(64).view(8, 8) + torch.arange(8).view(8, 1)) % 2, torch.ones(8, 8)
    )
    blocky = flat + 4 * tiles.view(1, 1, 64, 64)
    assert psnr_b(blocky, flat) < psnr(blocky, flat) - 1
    off_grid = blocky.roll((3, 3), (2, 3))
    assert psnr_b(off_grid, flat) == pytest.approx(psnr(off_grid, flat))


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1, 64, 80\) and \(2, 1, 64, 79\)"):
        psnr(TRUTH, TRUTH[..., :79])
