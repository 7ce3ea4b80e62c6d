"""MATLAB's bicubic, against values worked out by hand and the published ones."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from restore.evaluate.imresize import imresize, luma, to_uint8
from restore.evaluate.score import Job, evaluate

HALF = Fraction(1, 2)


def test_the_weights_of_halving_are_those_of_the_cubic_with_a_of_minus_one_half() -> None:
    """An impulse far from the edges: taps at 1/4, 3/4, 5/4, 7/4 of the widened kernel."""
    row = np.zeros((1, 32))
    row[0, 16] = 1
    near = [(1.5 * x**3 - 2.5 * x**2 + 1) / 2 for x in (0.25, 0.75)]
    far = [(-0.5 * x**3 + 2.5 * x**2 - 4 * x + 2) / 2 for x in (1.25, 1.75)]
    found = imresize(np.repeat(row, 32, 0), HALF)[8]
    # Outputs 6 to 9 have their centres at 12.5, 14.5, 16.5 and 18.5.
    assert found[6:10] == pytest.approx([far[1], near[1], near[0], far[0]])
    assert near[0] == 0.43359375


def test_doubling_an_impulse() -> None:
    row = np.zeros((8, 8))
    row[:, 4] = 1
    # Output 8 has its centre at input 3.75, output 9 at 4.25, output 10 at 4.75, output 11 at 5.25.
    near = [1.5 * x**3 - 2.5 * x**2 + 1 for x in (0.25, 0.75)]
    far = [-0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 for x in (1.25, 1.75)]
    wanted = [near[0], near[0], near[1], far[0], far[1]]
    assert imresize(row, 2)[4, 8:13] == pytest.approx(wanted)


def test_edges_are_mirrored_with_the_edge_sample_twice() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (12, 10))
    wide = np.pad(image, 12, "symmetric")
    for scale, cut in ((HALF, slice(6, -6)), (Fraction(2), slice(24, -24))):
        assert imresize(image, scale) == pytest.approx(imresize(wide, scale)[cut, cut])


def test_flat_stays_flat_and_sizes_round_up() -> None:
    assert imresize(np.full((7, 9, 3), 77.0), HALF) == pytest.approx(np.full((4, 5, 3), 77.0))
    with pytest.raises(ValueError, match="positive scale, got 0"):
        imresize(np.zeros((4, 4)), 0)


def test_uint8_rounds_halves_up_and_clips() -> None:
    assert to_uint8(np.array([-3.0, 0.5, 1.5, 2.49, 300.0])).tolist() == [0, 1, 2, 2, 255]


def test_luma_is_that_of_bt601_in_limited_range() -> None:
    rgb = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    assert luma(rgb)[0] == pytest.approx([16, 235, 81.481])


@pytest.mark.parametrize(
    ("name", "published", "off"), [("Set5", 33.66, 0.005), ("Set14", 30.24, 0.01)]
)
def test_bicubic_reads_what_is_published(
    name: str, published: float, off: float, real: Callable[[str], Path]
) -> None:
    """Table of Kim et al. 2016 (VDSR) and most others. Set14 reads 30.232 here."""
    result = evaluate(Job(["lanczos_x2"], [real(f"images/{name}")], measures=["psnr"]))
    found = [s.measures["psnr"] for s in result.scores if s.method == "bicubic"]
    assert sum(found) / len(found) == pytest.approx(published, abs=off)
