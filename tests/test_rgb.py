"""R, G, B through the planes we work on and back: every code must return."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from restore.color import LUMA_WEIGHTS, ColorInfo, Matrix
from restore.planes import to_codes, to_nominal
from restore.rgb import inner_depth, to_gbr, ycbcr_codes
from restore.video import Chroma, VideoFormat

HAND = {
    # (matrix, R, G, B) 8 bits -> Y, Cb, Cr of 8 bits, limited range, from the standards' tables of colour bars
    (Matrix.SMPTE170M, 255, 0, 0): (81, 90, 240),
    (Matrix.SMPTE170M, 0, 0, 255): (41, 240, 110),
    (Matrix.BT709, 0, 255, 0): (173, 42, 26),
    (Matrix.BT709, 255, 255, 0): (219, 16, 138),
    (Matrix.BT709, 255, 255, 255): (235, 128, 128),
}


def make_format(depth: int, matrix: Matrix, full: bool) -> VideoFormat:
    color = replace(ColorInfo(), matrix=matrix, full_range=full)
    return VideoFormat(256, 64, Chroma.C444, depth, Fraction(1, 25), color)


@pytest.mark.parametrize("case", HAND)
def test_colour_bars_have_the_codes_of_the_standard(case: tuple[Matrix, int, int, int]) -> None:
    matrix, *rgb = case
    planes = [np.full((1, 1), value) for value in rgb]
    codes = ycbcr_codes(planes, 8, make_format(8, matrix, False))
    assert tuple(int(plane[0, 0]) for plane in codes) == HAND[case]


def returned(rgb: list[np.ndarray], depth: int, fmt: VideoFormat) -> list[np.ndarray]:
    codes = ycbcr_codes(rgb, depth, fmt)
    full = bool(fmt.color.full_range)
    nominal = tuple(
        to_nominal(torch.from_numpy(c.astype(np.int32))[None, None], fmt.depth, full, i > 0)
        for i, c in enumerate(codes)
    )
    green, blue, red = (
        to_codes(p, depth, True, False)[0, 0].numpy() for p in to_gbr(nominal, fmt.color.matrix)
    )
    return [red, green, blue]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", list(LUMA_WEIGHTS))
@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_every_code_returns(depth: int, matrix: Matrix, full: bool) -> None:
    generator = np.random.default_rng(depth)
    peak = (1 << depth) - 1
    rgb = [generator.integers(0, peak + 1, (64, 256)) for _ in range(3)]
    for plane in rgb:  # and the corners of the cube
        plane[:2] = np.where(plane[:2] > peak // 2, peak, 0)
    fmt = make_format(inner_depth(depth), matrix, full)
    for before, after in zip(rgb, returned(rgb, depth, fmt), strict=True):
        assert np.array_equal(before, after)


def test_too_few_bits_would_lose_codes() -> None:
    """What `inner_depth` is for: with the same depth it does not work."""
    generator = np.random.default_rng(0)
    rgb = [generator.integers(0, 256, (64, 256)) for _ in range(3)]
    after = returned(rgb, 8, make_format(8, Matrix.BT709, False))
    assert any(not np.array_equal(b, a) for b, a in zip(rgb, after, strict=True))


def test_a_matrix_that_is_not_linear_is_refused() -> None:
    with pytest.raises(ValueError, match="no R, G, B by matrix YCGCO"):
        to_gbr((torch.zeros(1, 1, 2, 2),) * 3, Matrix.YCGCO)
