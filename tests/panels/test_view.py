"""Two pictures in one."""

from fractions import Fraction

import pytest

from restore.color import ColorInfo, Matrix
from restore.errors import OutputError
from restore.panels.match import Moment
from restore.panels.panel import Picture, Region, blank
from restore.panels.text import draw
from restore.panels.view import MODES, Composer, Mode, View, clock, parse_region
from restore.video import Chroma, VideoFormat

FORMAT = VideoFormat(
    64, 48, Chroma.C420, 8, Fraction(1, 25), ColorInfo(Matrix.BT709, full_range=False)
)


def flat(luma: int, cb: int = 128) -> Picture:
    picture = blank(64, 48)
    picture[0].fill(luma)
    picture[1].fill(cb)
    return picture


def moment(a: Picture | None, b: Picture | None, time: Fraction = Fraction(0)) -> Moment:
    return Moment(time, a, b, time, time, True, True)


def made(mode: Mode, time: Fraction = Fraction(0), **settings: object) -> Picture:
    view = View(mode=mode, labels=None, **settings)
    composer = Composer(view, FORMAT)
    picture = composer(moment(flat(60, 100), flat(90, 110), time))
    assert picture[0].shape == (composer.format.height, composer.format.width)
    assert picture[1].shape == picture[2].shape == tuple(n // 2 for n in picture[0].shape)
    return picture


def test_side_by_side() -> None:
    luma, cb, _ = made("side")
    assert (luma[:, :64] == 60).all()
    assert (luma[:, 64:] == 90).all()
    assert (cb[:, :32] == 100).all()
    assert (cb[:, 32:] == 110).all()


@pytest.mark.parametrize(("position", "at"), [(0.0, 0), (0.25, 16), (0.5, 32), (1.0, 64)])
def test_a_split_stands_where_it_is_asked_for(position: float, at: int) -> None:
    luma, _, _ = made("split", position=position)
    assert (luma[:, : max(0, at - 1)] == 60).all()
    assert (luma[:, at + 1 :] == 90).all()
    if 0 < at < 64:
        assert (luma[:, at - 1 : at + 1] == 235).all()


def test_a_wipe_goes_to_and_fro() -> None:
    shares = []
    for second in range(7):
        luma, _, _ = made("wipe", Fraction(second), period=Fraction(6))
        shares.append(int((luma[0] == 60).sum()))
    assert shares[0] == shares[6] == 0
    assert shares[3] == 64
    assert shares[1] == shares[5] < shares[2] == shares[4]


def test_a_difference_is_amplified_around_grey() -> None:
    luma, cb, cr = made("difference", gain=2.0)
    assert (luma == 126 + 2 * 30).all()
    assert (cb == 128 + 2 * 10).all()
    assert (cr == 128).all()


def test_a_grid_shows_each_region_in_a_row() -> None:
    crops = (Region(0, 0, 16, 12), Region(32, 24, 32, 24))
    luma, _, _ = made("grid", crops=crops)
    assert luma.shape == (3 * 48, 128)
    assert (luma[:, :64] == 60).all()
    assert (luma[:, 64:] == 90).all()


@pytest.mark.parametrize("mode", [m for m in MODES if m != "grid"])
def test_a_region_fills_the_picture(mode: Mode) -> None:
    composer = Composer(View(mode=mode, crops=(Region(8, 8, 20, 12),), labels=None), FORMAT)
    width = 60 * (2 if mode == "side" else 1)
    assert (composer.format.width, composer.format.height) == (width, 36)


@pytest.mark.parametrize("mode", MODES)
def test_labels_write_on_the_picture_and_not_on_its_sources(mode: Mode) -> None:
    a, b = flat(60), flat(90)
    plain = Composer(View(mode=mode, labels=None), FORMAT)(moment(a, b))
    named = Composer(View(mode=mode, labels=("one", "two")), FORMAT)(moment(a, b))
    assert (plain[0] != named[0]).any()
    assert (a[0] == 60).all()
    assert (b[0] == 90).all()


def test_a_missing_frame_is_said_on_its_side() -> None:
    composer = Composer(View(), FORMAT)
    a, b = flat(60), flat(90)
    there = composer(Moment(Fraction(1), a, b, Fraction(1), Fraction(1), True, True))
    lost = composer(Moment(Fraction(1), a, b, Fraction(1), Fraction(0), True, False))
    assert (there[0] != lost[0]).any()


def test_a_picture_that_is_not_there_is_black() -> None:
    luma, _, _ = Composer(View(labels=None), FORMAT)(moment(flat(60), None))
    assert (luma[:, 64:] == 16).all()


def test_a_region_outside_names_the_size() -> None:
    with pytest.raises(OutputError, match=r"inside the larger video, which is 64x48.*70,20"):
        Composer(View(crops=(Region(50, 10, 20, 10),)), FORMAT)


def test_only_a_grid_takes_several_regions() -> None:
    with pytest.raises(OutputError, match="--mode grid"):
        Composer(View(crops=(Region(0, 0, 8, 8),) * 2), FORMAT)


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "-1,0,8,8", "0,0,1,8"])
def test_a_wrong_region_is_one_clear_line(text: str) -> None:
    with pytest.raises(OutputError, match=r"expected x,y,width,height"):
        parse_region(text)


def test_a_label_beyond_the_edge_is_cut_off() -> None:
    picture = flat(60)
    draw(picture, "a long name that does not fit", 20, 60, 46)
    assert (picture[0][:46] == 60).all()
    assert (picture[0][46:, 60:] != 60).any()


def test_clock() -> None:
    assert [clock(Fraction(t)) for t in ("1.24", "83.5", "3600", "-0.04")] == [
        *("0:01.240", "1:23.500", "1:00:00.000", "-0:00.040")
    ]
