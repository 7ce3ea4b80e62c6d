from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from films import INTERLACED_MPEG2, LOSSLESS, Film, pan, write_film

from restore.errors import InputError
from restore.io.borders import LineLevels, find_borders
from restore.io.geometry import Crop
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.source import Source

AUTO = InputOptions(crop="auto")


def framed(film: Film, crop: Crop, grain: float = 3.0) -> Film:
    """`film` within a border of noisy near-black, as the edge of a film is."""
    count, height, width = film.shape
    random = np.random.default_rng(1)
    shape = (count, height + crop.top + crop.bottom, width + crop.left + crop.right)
    dark = np.clip(random.normal(22, grain, shape), 0, 255).astype(np.uint8)
    dark[:, crop.top : crop.top + height, crop.left : crop.left + width] = film
    return dark


def levels(film: Film) -> list[LineLevels]:
    return [LineLevels.of(frame) for frame in film]


def crop_notes(source: Source) -> list[str]:
    return [note for note in source.notes if note.startswith("crop:")]


@pytest.mark.parametrize(
    "crop", [Crop(20, 0, 20, 0), Crop(0, 14, 0, 18), Crop(7, 5, 3, 9), Crop()], ids=str
)
def test_noisy_borders_are_found(crop: Crop) -> None:
    assert find_borders(levels(framed(pan(12), crop)))[0] == crop


def test_dark_scenes_are_no_borders() -> None:
    film = framed(pan(12), Crop(10, 0, 10, 0))
    night = film // 8 + 14
    assert find_borders(levels(night))[0] == Crop()
    # One bright scene is enough to see where the picture ends, and only there.
    assert find_borders(levels(np.concatenate([night, film])))[0] == Crop(10, 0, 10, 0)


def test_a_picture_with_a_dark_edge_keeps_it_once_it_was_bright() -> None:
    film = pan(12)
    film[:9, :, :30] = 18
    assert find_borders(levels(film))[0] == Crop()


def test_what_is_mostly_dark_is_no_border() -> None:
    film = np.full((12, 100, 160), 18, np.uint8)
    film[:, 70:] = 200
    assert find_borders(levels(film))[0].top == 0


def test_few_frames_say_nothing() -> None:
    assert find_borders(levels(framed(pan(4), Crop(20, 0, 20, 0))))[0] == Crop()


def test_borders_are_cut_off(tmp_path: Path) -> None:
    film = framed(pan(40), Crop(13, 0, 12, 7))
    clip = write_film(tmp_path / "clip.mkv", film, "25", "-vf", "format=yuv420p", *LOSSLESS)
    source = open_source([clip], AUTO)
    # Whole samples of chroma: nothing of the picture is lost.
    assert source.video.layout.crop == Crop(12, 0, 12, 6)
    assert (source.video.format.width, source.video.format.height) == (161, 129)
    (note,) = crop_notes(source)
    assert note.startswith("crop: 12:0:12:6 (left, top, right, bottom) stay below code ")
    assert note.endswith("161x129 of 185x135 remain")
    assert crop_notes(open_source([clip], InputOptions())) == []


def test_fields_keep_their_places(tmp_path: Path) -> None:
    film = framed(pan(60), Crop(0, 6, 0, 10))
    weave = ("-vf", "format=yuv420p,tinterlace=interleave_top,setfield=tff", *INTERLACED_MPEG2)
    clip = write_film(tmp_path / "clip.ts", film, "50", *weave)
    for deinterlace, crop in (("off", Crop(0, 4, 0, 8)), ("auto", Crop(0, 6, 0, 10))):
        options = InputOptions(crop="auto", deinterlace=deinterlace)
        assert open_source([clip], options).video.layout.crop == crop


@pytest.mark.parametrize(
    ("crop", "said"),
    [
        ("3:0:0:0", "expected whole samples of chroma, got 3:0:0:0; try 2:0:0:0"),
        ("100:0:60:0", "expected less than 160x128 samples to be cut, got 100:0:60:0"),
    ],
)
def test_an_impossible_crop_is_an_error(tmp_path: Path, crop: str, said: str) -> None:
    clip = write_film(tmp_path / "c.mkv", pan(4), "25", "-vf", "format=yuv420p", *LOSSLESS)
    with pytest.raises(InputError) as caught:
        open_source([clip], InputOptions(crop=crop))
    assert str(caught.value).startswith(f"{clip}: [input] crop: {said}")


def test_the_border_of_a_real_film(real: Callable[[str], Path]) -> None:
    path = real("real_film/pd1910s_chaplin_640x360_pillarbox_h264_mp3.mp4")
    source = open_source([path], AUTO)
    assert source.video.layout.crop == Crop(72, 0, 72, 0)
