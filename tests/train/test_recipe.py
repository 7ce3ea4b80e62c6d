"""Recipes: the shipped one is valid; a wrong one is told everything at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore.errors import TrainError
from restore.train.recipe import read_recipe

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/*.toml")), ids=lambda p: p.stem)
def test_a_shipped_recipe_is_valid(path: Path) -> None:
    assert read_recipe(path).network.name == path.stem


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("""
[data]
images = ["stills"]
crop = 33

[degrad]

[degrade]
blur_sigma = [0.8, 0.2]
clean_share = 1.5
mpeg1_kbs = [1, 2]

[network]
channels = "many"

[optim]
crop = 16
margin = 8
""")
    with pytest.raises(TrainError) as caught:
        read_recipe(path)
    assert str(caught.value).splitlines() == [
        f"{path}: [degrad]: unknown table; did you mean 'degrade'?",
        f"{path}: [data]: expected multiples of 16 in size and crop, with crop <= size, got "
        "{'images': ['stills'], 'crop': 33}",
        f"{path}: [degrade]: blur_sigma: expected low <= high in [low, high], got [0.8, 0.2]",
        f"{path}: [degrade]: clean_share: expected less than or equal to 1, got 1.5",
        f"{path}: [degrade]: mpeg1_kbs: unknown key; did you mean 'mpeg1_kbps'?",
        f"{path}: [network]: name: required, but not given",
        f"{path}: [network]: channels: expected a valid integer, got 'many'",
        f"{path}: [optim]: margin: expected less than half of crop = 16",
    ]


def test_a_patch_larger_than_its_sample_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        '[data]\nimages = ["a"]\ncrop = 32\n[network]\nname = "n"\n[optim]\ncrop = 48\n'
    )
    with pytest.raises(TrainError, match=r"\[optim\]: crop: expected at most \[data\] crop = 32"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such training recipe; known: clean_x2"),
        ("[data", "not valid TOML"),
        ("data = 3", "expected a table"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "r.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TrainError, match=said):
        read_recipe(path)


def test_a_shipped_recipe_goes_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_recipe(Path("film_x2")) == read_recipe(Path("film_x2.toml"))
    with pytest.raises(TrainError, match="did you mean 'film_x2'"):
        read_recipe(Path("filmx2"))
