"""VMAF where FFmpeg has it."""

import pytest
import torch

from restore.metrics.vmaf import has_vmaf, vmaf
from restore.planes import gaussian_blur

pytestmark = pytest.mark.skipif(not has_vmaf(), reason="FFmpeg here has no libvmaf")

_SMALL = torch.rand(1, 1, 20, 27, generator=torch.Generator().manual_seed(0))
STILL = torch.nn.functional.interpolate(_SMALL, (81, 107), mode="bicubic").clamp(0, 1) * 219 + 16
FILM = torch.cat([STILL, STILL.roll(1, 3), STILL.roll(2, 3)]).round().to(torch.uint8)
"""Odd sizes, moving."""


def test_equal_films_score_nearly_100() -> None:
    found = vmaf(FILM, FILM)
    assert found.vmaf > 99
    assert found.neg > 99


def test_sharpening_gains_by_vmaf_and_not_by_neg() -> None:
    """What NEG is for; and each is told by its own name."""
    soft = gaussian_blur(FILM.float(), 1.0)
    sharp = (FILM + 0.8 * (FILM - soft)).round().clamp(0, 255).to(torch.uint8)
    found = vmaf(sharp, FILM)
    assert found.vmaf > found.neg + 1
    assert vmaf(soft.round().to(torch.uint8), FILM).vmaf < 80


def test_what_lies_in_the_border_does_not_count() -> None:
    other = FILM.clone()
    other[..., :8, :] = 0
    other[..., -8:] = 255
    assert vmaf(other, FILM, 8) == vmaf(FILM, FILM, 8)
    assert vmaf(other, FILM).vmaf < 80


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 1, 81, 107\) and \(2, 1, 81, 107\)"):
        vmaf(FILM, FILM[:2])
