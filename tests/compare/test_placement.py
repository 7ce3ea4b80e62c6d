"""Where a restoration lies in its source is seen in the pictures: which part of the film, which part of the frame."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

from restore.compare.pairs import Pairs
from restore.compare.placement import Placement, find_placement
from restore.errors import InputError
from restore.io.join import open_source
from restore.io.probe import InputOptions

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SECONDS = 6


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Moves all the time, and looks different everywhere."""
    path = tmp_path_factory.mktemp("film") / "a.avi"
    picture = "mandelbrot=size=128x96:rate=25:start_scale=3:end_scale=0.1"
    encode(ffmpeg.input(picture, f="lavfi", t=SECONDS), path)
    return path


def encode(picture: object, path: Path, **how: object) -> Path:
    options = {"vcodec": "mpeg4", "qscale:v": 4, **how}
    ffmpeg.output(picture, str(path), **options).run(cmd=FFMPEG, quiet=True, overwrite_output=True)
    return path


def placed(a: Path, b: Path, offset: Fraction | None = None) -> Placement:
    first, second = (open_source([p], InputOptions()) for p in (a, b))
    return find_placement(first, second, offset, cropped=False)


Change = Callable[[object], object]


@pytest.mark.parametrize("start", [Fraction(0), Fraction(2), Fraction(304, 100)])
def test_a_part_is_found_where_it_lies(film: Path, tmp_path: Path, start: Fraction) -> None:
    picture = ffmpeg.input(str(film), ss=float(start), t=2).video.filter("scale", 256, 192)
    found = placed(film, encode(picture, tmp_path / "b.mkv", vcodec="libx264"))
    assert found.crop is None
    assert found.offset == (None if start == 0 else start)
    assert bool(found.notes) == (start > 0)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("start", [0, 2])
def test_a_cut_picture_is_found_where_it_lies(
    film: Path, tmp_path: Path, scale: int, start: int
) -> None:
    cut = ffmpeg.input(str(film), ss=start, t=2).video.filter("crop", 96, 80, 20, 6)
    bigger = cut.filter("scale", 96 * scale, 80 * scale)
    found = placed(film, encode(bigger, tmp_path / "b.mkv", vcodec="libx264"))
    assert found.crop == "20:6:12:10"
    assert found.offset == (start or None)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v.filter("hue", s=0),
        lambda v: v.filter("eq", brightness=0.1, contrast=0.7),
        lambda v: v.filter("noise", alls=20, allf="t"),
        lambda v: v.filter("gblur", sigma=2),
    ],
    ids=["grey", "faded", "noise", "soft"],
)
def test_what_a_restoration_changes_hides_nothing(
    film: Path, tmp_path: Path, change: Change
) -> None:
    picture = change(ffmpeg.input(str(film), ss=3, t=2).video)
    assert placed(film, encode(picture, tmp_path / "b.mkv")).offset == 3


def test_another_film_is_refused(film: Path, tmp_path: Path) -> None:
    other = ffmpeg.input("testsrc2=size=128x96:rate=25", f="lavfi", t=2)
    path = encode(other, tmp_path / "b.mkv")
    with pytest.raises(InputError, match=r"the same film in both, .* --offset"):
        placed(film, path)
    # Who says where is believed, but told.
    found = placed(film, path, Fraction(1))
    assert found.offset == 1
    assert "do not look alike" in found.notes[0]


def test_flat_pictures_tell_nothing(film: Path, tmp_path: Path) -> None:
    black = ffmpeg.input("color=black:size=128x96:rate=25", f="lavfi", t=1)
    assert placed(film, encode(black, tmp_path / "b.mkv")) == Placement(None)


def test_pairs_are_those_of_the_place(film: Path, tmp_path: Path) -> None:
    picture = ffmpeg.input(str(film), ss=2, t=1)
    path = encode(picture, tmp_path / "b.mkv", vcodec="libx264", crf=10)
    a, b = (open_source([p], InputOptions()) for p in (film, path))
    pairs = Pairs(a, b, offset=find_placement(a, b, None, cropped=False).offset)
    apart = []
    for moment in pairs:
        if moment.paired and moment.a is not None and moment.b is not None:
            luma = [batch.planes[0].float() for batch in (moment.a, moment.b)]
            apart.append(float((luma[0] - luma[1]).abs().mean()))
    assert len(apart) == 25
    assert max(apart) < 3
