"""Pure plane operations, against their definitions and against their slow references."""

from dataclasses import replace
from fractions import Fraction
from typing import get_args

import pytest
import torch
from torch import Tensor

from restore.color import ColorInfo, Siting
from restore.planes import (
    Kernel,
    _by_matrix,
    chroma_shift,
    code_scale,
    gaussian_blur,
    gaussian_blur_reference,
    is_flat,
    mean_steps,
    quant_plane,
    resample,
    to_codes,
    to_nominal,
)
from restore.video import Chroma, QuantMap, VideoFormat

ROUNDING = 1e-5
"""Largest difference of two float32 paths to one value, nominal: a five-hundredth of an 8-bit code."""


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("chroma", [False, True])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("depth", [8, 10])
def test_codes_survive(depth: int, full_range: bool, chroma: bool) -> None:
    codes = torch.arange(1 << depth, dtype=torch.int32)
    nominal = to_nominal(codes, depth, full_range, chroma)
    assert torch.equal(to_codes(nominal, depth, full_range, chroma).to(torch.int32), codes)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("depth", [8, 10, 16])
def test_dithered_codes_in_one_pass(depth: int, full_range: bool) -> None:
    """Values below black and above white included. One code apart where float32 rounds the middle another way."""
    plane, dither = noise(3, 1, 24, 40) * 1.6 - 0.3, noise(24, 40) - 0.5
    fast = to_codes(plane, depth, full_range, False, dither).to(torch.int32)
    # The same in float64, which no fast path takes.
    offset, scale = code_scale(depth, full_range, False)
    wanted = (plane.double() * scale + offset + dither.double()).round().clamp(0, 2**depth - 1)
    error = (fast - wanted).abs()
    assert float(error.max()) <= 1
    assert float(error.count_nonzero()) <= error.numel() * 2**depth * 1e-6


def test_flat_planes_are_known() -> None:
    flat = torch.full((1, 9, 7), 0.3)
    assert is_flat(flat)
    for place in (0, 3, -1):
        other = flat.clone()
        other[..., place, place] = 0.3001
        assert not is_flat(other)


@pytest.mark.parametrize("axis", [2, 3])
def test_mean_steps(axis: int) -> None:
    planes = noise(2, 1, 13, 17)
    wanted = planes.diff(dim=axis).abs().mean((1, 5 - axis))
    torch.testing.assert_close(mean_steps(planes, axis), wanted, atol=ROUNDING, rtol=0)


def test_nominal_values() -> None:
    codes = torch.tensor([16, 235, 128], dtype=torch.uint8)
    assert to_nominal(codes, 8, False, False)[:2].tolist() == [0.0, 1.0]
    assert to_nominal(codes, 8, False, True)[2] == 0.0


@pytest.mark.parametrize("shift", [0.0, 0.125, -0.25])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(24, 31), (7, 9), (1, 1)])
@pytest.mark.parametrize("kernel", get_args(Kernel))
def test_enlarging_agrees_with_the_matrix(
    kernel: Kernel, size: tuple[int, int], factor: int, shift: float
) -> None:
    plane = noise(2, 1, *size)
    big, scale = (size[0] * factor, size[1] * factor), (float(factor), float(factor))
    fast = resample(plane, big, kernel=kernel, scale=scale, shift=(shift, 0.0))
    slow = _by_matrix(plane, big, kernel, scale, (shift, 0.0))
    torch.testing.assert_close(fast, slow, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("size", [(32, 40), (13, 20), (5, 3)])
@pytest.mark.parametrize("kernel", get_args(Kernel))
def test_flat_stays_flat(kernel: Kernel, size: tuple[int, int]) -> None:
    plane = torch.full((1, 1, 16, 20), 0.37)
    found = resample(plane, size, kernel=kernel)
    torch.testing.assert_close(found, torch.full((1, 1, *size), 0.37), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("factor", [0.5, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("kernel", ["lanczos3", "bicubic", "bilinear"])
def test_a_ramp_keeps_its_place(kernel: Kernel, factor: float) -> None:
    """Sample centres: output j shows input (j + 1/2) / factor - 1/2, edges of the picture aligned."""
    ramp = torch.arange(48.0).expand(1, 1, 8, 48) / 48
    count = int(48 * factor)
    found = resample(ramp, (8, count), kernel=kernel)[0, 0, 0]
    wanted = ((torch.arange(count) + 0.5) / factor - 0.5) / 48
    inside = slice(int(8 * factor), count - int(8 * factor))
    # Lanczos does not reproduce a ramp between its samples: its weights sum to 1, their moments not to 0.
    tolerance = 5e-4 if kernel == "lanczos3" else ROUNDING
    torch.testing.assert_close(found[inside], wanted[inside], atol=tolerance, rtol=0)


def format_of(chroma: Chroma | None, siting: Siting | None) -> VideoFormat:
    return VideoFormat(64, 48, chroma, 8, Fraction(1, 25), ColorInfo(siting=siting))


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
@pytest.mark.parametrize("siting", list(Siting))
@pytest.mark.parametrize("chroma", list(Chroma))
def test_chroma_stays_over_its_luma(chroma: Chroma, siting: Siting, factor: float) -> None:
    """A ramp of the scene, sampled by luma and by chroma where each lies, still is one after resampling."""
    fmt = format_of(chroma, siting)
    for axis in (0, 1):
        step, site = 1 << chroma.value[axis], siting.value[axis]
        place = site * (step - 1)
        count = (fmt.height, fmt.width)[axis] // step
        samples = torch.arange(count, dtype=torch.float64) * step + place
        plane = (
            samples.float().view(1, 1, -1, 1) if axis == 0 else samples.float().view(1, 1, 1, -1)
        )
        plane = plane.expand(1, 1, count, 4) if axis == 0 else plane.expand(1, 1, 4, count)
        size = [4, 4]
        size[axis] = int(count * factor)
        scale = [1.0, 1.0]
        scale[axis] = factor
        shift = [0.0, 0.0]
        shift[axis] = chroma_shift(fmt, (factor, factor))[axis]
        found = resample(
            plane,
            (size[0], size[1]),
            kernel="bicubic",
            scale=(scale[0], scale[1]),
            shift=(shift[0], shift[1]),
        )
        line = found[0, 0].select(1 - axis, 1)
        # Where the output's chroma lies, in its luma samples, brought back to the input's.
        there = torch.arange(size[axis], dtype=torch.float64) * step + place
        wanted = ((there + 0.5) / factor - 0.5).float()
        inside = slice(size[axis] // 3, size[axis] - size[axis] // 3)
        torch.testing.assert_close(line[inside], wanted[inside], atol=1e-3, rtol=0)


def test_shift_is_zero_where_there_is_nothing_to_shift() -> None:
    assert chroma_shift(format_of(None, None), (2.0, 2.0)) == (0.0, 0.0)
    assert chroma_shift(format_of(Chroma.C420, Siting.CENTER), (2.0, 2.0)) == (0.0, 0.0)
    assert chroma_shift(format_of(Chroma.C444, Siting.LEFT), (2.0, 2.0)) == (0.0, 0.0)
    assert chroma_shift(format_of(Chroma.C420, Siting.LEFT), (2.0, 2.0)) == (0.0, 0.125)
    unknown = replace(format_of(Chroma.C420, None))
    assert chroma_shift(unknown, (2.0, 2.0)) == (0.0, 0.125)


@pytest.mark.parametrize("size", [(24, 31), (2, 3), (1, 1)])
@pytest.mark.parametrize("sigma", [0.0, 0.7, 3.0])
def test_blur_agrees_with_its_reference(sigma: float, size: tuple[int, int]) -> None:
    plane = noise(2, 1, *size)
    found = gaussian_blur(plane, sigma)
    wanted = gaussian_blur_reference(plane, sigma) if sigma else plane
    torch.testing.assert_close(found, wanted, atol=ROUNDING, rtol=0)


def test_quantisers_lie_over_their_cells() -> None:
    quant = QuantMap(torch.tensor([[4.0, 8.0], [12.0, 16.0]]))
    luma = quant_plane(quant, (20, 30), 20)
    assert luma.shape == (1, 1, 20, 30)
    assert luma[0, 0, 15, 15] == 4
    assert luma[0, 0, 15, 16] == 8
    assert luma[0, 0, 16, 15] == 12
    chroma = quant_plane(quant, (10, 15), 20)
    assert chroma[0, 0, 7, 7] == 4
    assert chroma[0, 0, 8, 8] == 16
    assert quant_plane(quant, (60, 70), 60)[0, 0, 59, 69] == 16
