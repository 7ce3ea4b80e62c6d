"""Sharper truth: what sources that were shrunk softly lack is put back, in a share of the sequences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clean import RECIPE, pool

from restore.errors import TrainError
from restore.resources import models_dir
from restore.train.recipe import Recipe, read_recipe
from restore.train.shards import check_same_recipe
from restore.train.sources import Frames, Library, find_sources


def recipe_with(root: Path, share: float) -> Recipe:
    return read_recipe(pool(root, RECIPE.replace("keep = 2", f"keep = 2\ncrisp_share = {share}")))


def top_octave(frames: Frames) -> float:
    """Energy of the gradients above a quarter of the sampling rate, over that below."""
    spectrum = np.abs(np.fft.fft2(frames - frames.mean((1, 2), keepdims=True))) ** 2
    y, x = (np.fft.fftfreq(n) for n in frames.shape[1:])
    radius = np.hypot(y[:, None], x)
    energy = (spectrum * radius**2).sum(0)
    return float(energy[radius > 0.25].sum() / energy[radius <= 0.25].sum())


def test_a_share_of_the_sequences_is_sharper(tmp_path: Path) -> None:
    recipe = recipe_with(tmp_path, 0.5)
    train, _ = find_sources(recipe.data, tmp_path)
    soft = recipe.data.model_copy(update={"crisp_share": 0.0})
    sharpened = 0
    for seed in range(20):
        frames, record = Library(recipe.data, tmp_path / "c", 2).sequence(
            train, np.random.default_rng(seed)
        )
        plain, _ = Library(soft, tmp_path / "c", 2).sequence(train, np.random.default_rng(seed))
        assert frames.dtype == np.float32
        assert 0 < frames.min() <= frames.max() < 255
        if "crisp" in record:
            sharpened += 1
            assert 0.1 <= record["crisp"] <= 0.8
            assert top_octave(frames) > top_octave(plain) * (1 + 0.1 * record["crisp"])
        else:
            np.testing.assert_array_equal(frames, plain)
    assert 5 <= sharpened <= 15


def test_recipes_without_it_keep_their_shards(tmp_path: Path) -> None:
    before = "44147270425d175f"  # in the shards that film_x2_fast was trained on
    plain = read_recipe(models_dir().parent / "recipes" / "film_x2_fast.toml")
    (tmp_path / "train-000.json").write_text(json.dumps({"recipe": before}))
    check_same_recipe(plain, tmp_path)
    some = plain.model_copy(update={"data": plain.data.model_copy(update={"crisp_share": 0.3})})
    with pytest.raises(TrainError, match="holds shards of another"):
        check_same_recipe(some, tmp_path)
