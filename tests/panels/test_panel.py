"""Any video's frames as pictures of one size."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from restore.color import ColorInfo, Matrix, Primaries, Siting, Transfer
from restore.panels.panel import (
    Projector,
    Region,
    Zoom,
    batch_of,
    blank,
    panel_format,
    rgb_of,
)
from restore.video import Chroma, FrameBatch, FrameInfo, VideoFormat

COLOR = ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, False, Siting.LEFT)
FORMAT = VideoFormat(32, 24, Chroma.C420, 8, Fraction(1, 25), COLOR, Fraction(12, 11))


def frame(fmt: VideoFormat, seed: int = 0, level: int | None = None) -> FrameBatch:
    """One frame of noise, or of one level of grey."""
    generator = torch.Generator().manual_seed(seed)
    planes = []
    for number, (h, w) in enumerate(fmt.plane_shapes()):
        codes = torch.randint(20, 220, (1, 1, h, w), generator=generator)
        if level is not None:
            codes = torch.full((1, 1, h, w), 1 << (fmt.depth - 1) if number else level)
        planes.append(codes.to(torch.uint8 if fmt.depth == 8 else torch.uint16))
    return FrameBatch(tuple(planes), (FrameInfo(0, 0, 1),), fmt)


def test_the_panel_is_as_the_larger_one() -> None:
    large = FORMAT.scaled(2)
    for pair in ((FORMAT, large), (large, FORMAT)):
        fmt = panel_format(*pair)
        assert (fmt.width, fmt.height, fmt.sample_aspect) == (64, 48, Fraction(12, 11))


def test_codes_of_the_panels_own_format_stay_as_they_are() -> None:
    batch = frame(FORMAT)
    projector = Projector(FORMAT, panel_format(FORMAT, FORMAT), "lanczos3")
    for plane, codes in zip(batch.planes, projector(batch), strict=True):
        assert np.array_equal(plane[0, 0].numpy(), codes)
    assert not projector.scaled


def test_an_odd_last_line_is_cut_off_and_nothing_squeezed() -> None:
    odd = replace(FORMAT, width=33, height=25)
    batch = frame(odd)
    projector = Projector(odd, panel_format(odd, odd), "lanczos3")
    made = projector(batch)
    assert np.array_equal(batch.planes[0][0, 0, :24, :32].numpy(), made[0])
    assert made[1].shape == (12, 16)


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("chroma", [Chroma.C420, Chroma.C444, None])
def test_grey_stays_grey_in_any_format(depth: int, full: bool, chroma: Chroma | None) -> None:
    """Mid grey of every depth, range and sampling, at half the size and by another matrix."""
    fmt = replace(FORMAT, depth=depth, chroma=chroma, color=replace(COLOR, full_range=full))
    large = replace(FORMAT.scaled(2), color=replace(COLOR, matrix=Matrix.BT709))
    peak = (1 << depth) - 1
    level = round(peak / 2) if full else (16 + 219 / 2) * (1 << (depth - 8))
    made = Projector(fmt, panel_format(fmt, large), "lanczos3")(frame(fmt, level=round(level)))
    assert np.abs(made[0].astype(int) - 126).max() <= 1
    assert all((plane == 128).all() for plane in made[1:])


def test_colours_are_carried_from_one_matrix_to_another() -> None:
    """A flat red by BT.601 is the same red in a panel of BT.709."""
    batch = frame(FORMAT)
    for plane, code in zip(batch.planes, (81, 90, 240), strict=True):
        plane.fill_(code)
    large = replace(FORMAT.scaled(2), color=replace(COLOR, matrix=Matrix.BT709))
    fmt = panel_format(FORMAT, large)
    red = rgb_of(Projector(FORMAT, fmt, "bicubic")(batch), fmt)
    assert np.abs(red.reshape(-1, 3).astype(int) - [254, 0, 0]).max() <= 3


def test_another_shape_keeps_it_and_gets_black_beside_it() -> None:
    square = replace(FORMAT, width=24, sample_aspect=Fraction(1))
    panel = replace(FORMAT.scaled(2), sample_aspect=Fraction(1))
    projector = Projector(square, panel, "lanczos3")
    made = projector(frame(square, level=200))
    assert projector.letterboxed
    assert (made[0][:, :8] == 16).all()
    assert (made[0][:, 8:-8] == 200).all()
    assert (made[0][:, -8:] == 16).all()


def test_a_zoom_repeats_samples_by_the_area_kernel() -> None:
    picture = Projector(FORMAT, FORMAT, "lanczos3")(frame(FORMAT))
    zoom = Zoom(Region(9, 5, 11, 8), FORMAT, "area")
    assert (zoom.region, zoom.factor) == (Region(8, 4, 10, 8), 3)
    part = picture[0][4:12, 8:18]
    assert np.array_equal(zoom(picture)[0], part.repeat(3, 0).repeat(3, 1))


def test_a_still_is_in_square_samples() -> None:
    assert rgb_of(blank(32, 24), FORMAT).shape == (24, 34, 3)


def test_an_encoder_of_other_samples_gets_them() -> None:
    encoded = replace(FORMAT, chroma=Chroma.C422, depth=10)
    picture = Projector(FORMAT, FORMAT, "lanczos3")(frame(FORMAT, level=100))
    batch = batch_of(picture, FrameInfo(0, 0, 1), FORMAT, encoded)
    assert batch.planes[1].shape == (1, 1, 24, 16)
    assert (batch.planes[0] == 400).all()
