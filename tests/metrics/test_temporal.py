"""Steadiness, against values that follow from the definitions."""

import math

import pytest
import torch
import torch.nn.functional as F

from restore.metrics.temporal import steadiness

_SMALL = torch.rand(1, 1, 12, 14, generator=torch.Generator().manual_seed(0))
STILL = (F.interpolate(_SMALL, (96, 112), mode="bicubic").clamp(0, 1) * 180 + 30).round()
FLAT = torch.full((4, 1, 64, 64), 100.0)


def pan(step: int) -> torch.Tensor:
    """Four frames, moved by whole samples; compare inside a border, for the edges wrap."""
    return torch.cat([STILL.roll(step * n, 3) for n in range(4)])


def test_the_truth_is_steady() -> None:
    found = steadiness(pan(2), pan(2), 24)
    assert found.motion_error == 0
    assert found.flicker == 0
    assert found.warping_error < 1e-4


def test_the_warping_error_of_brightness_that_jumps() -> None:
    """A flat film is visible everywhere; each step is 4.38 codes, 0.02 of the range."""
    jumps = FLAT + 4.38 * (torch.arange(4) % 2).view(4, 1, 1, 1)
    assert steadiness(jumps, FLAT).warping_error == pytest.approx(0.02**2, rel=1e-4)


def test_places_that_the_truth_shows_anew_count_less() -> None:
    """Upper half: truth steady, found off by 0.02. Lower half: the truth changes by d = 0.2, found by 0.5."""
    still = torch.full((2, 1, 64, 64), 100.0)
    truth, found = still.clone(), still.clone()
    found[1, :, :32] += 0.02 * 219
    truth[1, :, 32:] += 0.2 * 219
    found[1, :, 32:] += 0.5 * 219
    weight = math.exp(-50 * 0.2**2)
    wanted = (0.02**2 + weight * 0.5**2) / (1 + weight)
    # Flat halves have no motion but at their common edge.
    assert steadiness(found, truth).warping_error == pytest.approx(wanted, rel=0.15)


def test_motion_that_is_lost_is_its_length() -> None:
    """The truth moves by 2 samples, what was found stands still."""
    found = steadiness(pan(0), pan(2), 24)
    assert found.motion_error == pytest.approx(2, abs=0.1)


def test_flicker_is_the_deviation_of_the_error() -> None:
    """1, 3, 1, 3: deviation 1, whatever the mean."""
    errors = torch.tensor([1.0, 3.0, 1.0, 3.0]).view(4, 1, 1, 1)
    assert steadiness(FLAT + errors, FLAT).flicker == pytest.approx(1)
    assert steadiness(FLAT + 5, FLAT).flicker == pytest.approx(0)


def test_one_frame_has_no_time() -> None:
    with pytest.raises(ValueError, match="two frames or more, got 1"):
        steadiness(FLAT[:1], FLAT[:1])
