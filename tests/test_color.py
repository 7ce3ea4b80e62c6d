"""The rule for colour that a file does not state."""

from __future__ import annotations

from fractions import Fraction

import pytest

from restore.color import ColorInfo, Matrix, Primaries, Siting, Transfer

SD_525 = (Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M)
SD_625 = (Matrix.BT470BG, Primaries.BT470BG, Transfer.SMPTE170M)
HD = (Matrix.BT709, Primaries.BT709, Transfer.BT709)


@pytest.mark.parametrize(
    ("height", "rate", "expected"),
    [
        (240, Fraction(30000, 1001), SD_525),
        (480, None, SD_525),
        (480, Fraction(25), SD_625),
        (288, Fraction(15), SD_625),
        (576, None, SD_625),
        (720, Fraction(25), HD),
        (1080, None, HD),
    ],
)
def test_untagged_colour_follows_the_size(
    height: int,
    rate: Fraction | None,
    expected: tuple[Matrix, Primaries, Transfer],
) -> None:
    color = ColorInfo().resolve(height, rate, Siting.LEFT)
    assert (color.matrix, color.primaries, color.transfer) == expected
    assert color.full_range is False
    assert color.siting is Siting.LEFT


def test_what_is_tagged_stays() -> None:
    said = ColorInfo(Matrix.FCC, Primaries.UNSPECIFIED, Transfer.LINEAR, True, Siting.TOP)
    color = said.resolve(1080, None, Siting.LEFT)
    assert color == ColorInfo(Matrix.FCC, Primaries.BT709, Transfer.LINEAR, True, Siting.TOP)


@pytest.mark.parametrize("transfer", [Transfer.PQ, Transfer.HLG])
def test_hdr_without_a_matrix_is_bt2020(transfer: Transfer) -> None:
    color = ColorInfo(transfer=transfer).resolve(480, None, Siting.LEFT)
    assert (color.matrix, color.primaries) == (Matrix.BT2020_NCL, Primaries.BT2020)
    assert color.transfer is transfer
