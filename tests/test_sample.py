"""The generated old film, and the sheet that compares it with its restoration."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from restore.errors import InputError
from restore.sample import _still, before_after, build_sample
from restore.sample.film import old_print, soundtrack
from restore.sample.scenes import HEIGHT, WIDTH, scenes


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "folder" / "sample.rm"
    build_sample(path, seconds=0.8, seed=3)
    return path


def test_the_same_seed_gives_the_same_film(film: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again.rm", tmp_path / "other.rm"
    build_sample(again, seconds=0.8, seed=3)
    build_sample(other, seconds=0.8, seed=4)
    assert again.read_bytes() == film.read_bytes()
    assert other.read_bytes() != film.read_bytes()


def test_it_is_realmedia_with_a_grey_picture_of_the_right_size(film: Path) -> None:
    assert film.read_bytes().startswith(b".RMF")
    picture = _still(film, 0.4)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.astype(int).std() > 20
    assert np.ptp(picture.astype(int), axis=2).max() <= 2


def test_scenes_move_and_are_cut_once() -> None:
    pictures = list(scenes(20, np.random.default_rng(0)))
    change = [float(np.abs(b - a).mean()) for a, b in pairwise(pictures)]
    cut = int(np.argmax(change))
    assert cut == 10
    assert change[cut] > 25
    assert all(0.3 < c < 15 for i, c in enumerate(change) if i != cut)


def test_the_print_is_damaged_but_recognisable() -> None:
    rng = np.random.default_rng(0)
    clean = next(scenes(2, rng))
    printed = next(old_print(iter([clean]), rng))
    error = printed - clean
    assert 5 < float(error.std()) < 30
    assert np.corrcoef(printed.ravel(), clean.ravel())[0, 1] > 0.85


def test_the_sound_is_audible_and_in_range() -> None:
    sound = soundtrack(0.5, np.random.default_rng(0))
    assert sound.shape == (22050,)
    assert 0.02 < float(sound.std()) < 0.5
    assert float(np.abs(sound).max()) <= 1


def test_the_sheet_shows_both_pictures_and_a_detail_of_each(film: Path, tmp_path: Path) -> None:
    png = tmp_path / "sheet.png"
    before_after(film, film, png, 0.4)
    sheet = cv2.imread(str(png))
    assert sheet is not None
    assert sheet.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    # The same file on both sides: Lanczos to the same size changes nothing, and the labels are on top.
    assert np.array_equal(sheet[40:, :WIDTH], sheet[40:, WIDTH:])


def test_a_time_after_the_end_and_a_missing_file_are_named(film: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sample\.rm: no picture at 9 s; try an earlier time"):
        before_after(film, film, tmp_path / "sheet.png", 9)
    with pytest.raises(InputError, match=r"none\.mkv: no such file"):
        before_after(film, tmp_path / "none.mkv", tmp_path / "sheet.png", 0)


def test_a_long_film_shows_its_scenes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes_of = import_module("restore.sample.scenes")  # the package names the function so
    shown: list[tuple[str, float]] = []
    for name in ("_Town", "_Street"):
        kind = getattr(scenes_of, name)
        monkeypatch.setattr(kind, "__init__", lambda self, rng: None)
        monkeypatch.setattr(kind, "frame", lambda self, t, name=name: shown.append((name, t)))
    monkeypatch.setattr(scenes_of, "smaller", lambda large: large)
    count = 3 * scenes_of.LONGEST + 1
    assert len(list(scenes_of.scenes(count, np.random.default_rng(0)))) == len(shown) == count
    assert sum(t == 0 for _, t in shown) == 8
    last = max(t for name, t in shown if name == "_Street")
    monkeypatch.undo()
    # Drawn without complaint: a second later the street would end.
    assert scenes_of._Street(np.random.default_rng(0)).frame(last).any()
    longest = (scenes_of.LONGEST - round(0.55 * scenes_of.LONGEST) - 1) / scenes_of.RATE
    assert scenes_of._Street(np.random.default_rng(0)).frame(longest).any()
