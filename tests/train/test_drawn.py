"""Drawn stills: what is in them, and that recipes without them keep their pairs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from clean import RECIPE, pool
from numpy.typing import NDArray

from restore.errors import TrainError
from restore.resources import models_dir
from restore.train.drawn import HEIGHT, NAME, WIDTH, draw_still
from restore.train.recipe import Recipe, read_recipe
from restore.train.shards import check_same_recipe
from restore.train.sources import Library, find_sources


@pytest.fixture(scope="module")
def stills() -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return [draw_still(rng) for _ in range(6)]


def test_stills_are_video_levels_and_differ(stills: list[NDArray[np.float32]]) -> None:
    for still in stills:
        assert still.shape == (HEIGHT, WIDTH)
        assert still.dtype == np.float32
        assert still.min() >= 16
        assert still.max() <= 235
        assert still.std() > 4
    for a, b in itertools.pairwise(stills):
        assert np.abs(a - b).mean() > 4


def test_the_same_generator_draws_the_same(stills: list[NDArray[np.float32]]) -> None:
    np.testing.assert_array_equal(draw_still(np.random.default_rng(1)), stills[0])


def test_edges_are_sharp_and_anti_aliased(stills: list[NDArray[np.float32]]) -> None:
    """Steps of half the range within two pixels in most stills; and grey between the sides of an edge, as a sensor that
    integrates gives it: what was drawn at this size would have none."""
    steps = [float(np.abs(still[:, 2:] - still[:, :-2]).max()) for still in stills]
    assert sum(step > 100 for step in steps) >= 4
    between = 0
    for still in stills:
        left, middle, right = still[:, :-2], still[:, 1:-1], still[:, 2:]
        edge = np.abs(right - left) > 60
        share = (middle - left)[edge] / (right - left)[edge]
        between += bool(np.mean((share > 0.2) & (share < 0.8)) > 0.25)
    assert between >= 4


def recipe_with(root: Path, share: float) -> Recipe:
    text = RECIPE.replace("keep = 2", f"keep = 2\nstill_share = 1.0\ndrawn_share = {share}")
    return read_recipe(pool(root, text))


def test_the_share_is_kept_and_recorded(tmp_path: Path) -> None:
    recipe = recipe_with(tmp_path, 0.5)
    train, _ = find_sources(recipe.data, tmp_path)
    library = Library(recipe.data, tmp_path / "cache", 2)
    names = [library.sequence(train, np.random.default_rng(k))[1]["source"] for k in range(24)]
    assert 6 <= names.count(NAME) <= 18
    assert {name for name in names if name != NAME} <= {"stills/one.png", "stills/two.png"}


def test_in_colour_they_are_grey_in_three_planes(tmp_path: Path) -> None:
    recipe = recipe_with(tmp_path, 1.0)
    train, _ = find_sources(recipe.data, tmp_path)
    library = Library(recipe.data, tmp_path / "cache", 2, colour=True)
    frames, record = library.sequence(train, np.random.default_rng(3))
    assert record["source"] == NAME
    assert frames.shape[-1] == 3
    if "layer" not in record:
        np.testing.assert_array_equal(frames[..., 0], frames[..., 2])


def test_recipes_without_them_keep_their_pairs(tmp_path: Path) -> None:
    """Shards made before there were drawn stills are still taken for what they are; those with them are others."""
    recipes = models_dir().parent / "recipes"
    before = "44147270425d175f"  # in the shards that film_x2_fast was trained on
    plain = read_recipe(recipes / "film_x2_fast.toml")
    (tmp_path / "train-000.json").write_text(json.dumps({"recipe": before}))
    check_same_recipe(plain, tmp_path)
    some = plain.model_copy(update={"data": plain.data.model_copy(update={"drawn_share": 0.3})})
    with pytest.raises(TrainError, match="holds shards of another"):
        check_same_recipe(some, tmp_path)
