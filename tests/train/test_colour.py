"""R, G, B pairs: made like those of luma, learnt from, scored on the same luma."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clean import RECIPE, pool

from restore.errors import TrainError
from restore.nets.files import load_model
from restore.train import loop
from restore.train.batches import patches
from restore.train.colour import from_420, luma_of, to_420
from restore.train.loop import train
from restore.train.losses import objective
from restore.train.recipe import Optim, read_recipe
from restore.train.shards import make_shards, read_shards

CPU = torch.device("cpu")
# Gamma is not linear, and grain falls on each plane: neither keeps the luma of colour that of luma.
STILLS = "[degrade]\nlevels_share = 0\ngrain_share = 0\n" + RECIPE.replace(
    'clips = [{ path = "clips" }]\n', ""
).replace(', "clips/held*"', "")
COLOUR = STILLS.replace("blocks = 1", 'blocks = 1\nplane = "RGB"')


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("colour")
    pool(root, COLOUR)
    for path in sorted((root / "stills").glob("*.png")):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), np.stack([grey, grey[:, ::-1], 255 - grey], 2))
    (root / "grey.toml").write_text(STILLS)
    for name, out in (("tiny", "shards"), ("grey", "grey")):
        make_shards(read_recipe(root / f"{name}.toml"), root, root / out, workers=1)
    return root


def test_conversion_and_back_keeps_smooth_colour() -> None:
    y, x = np.mgrid[:32, :40]
    rgb = np.stack([60 + 3 * x, 200 - 2 * x, 40 + 4 * y], -1)[None].astype(np.uint8)
    luma, chroma = to_420(rgb)
    assert (luma.shape, chroma.shape) == ((1, 32, 40), (1, 2, 16, 20))
    back = from_420(luma, chroma)
    inside = (0, slice(2, -2), slice(2, -2))
    assert np.abs(back[inside].astype(int) - rgb[inside]).max() <= 3
    for pure, codes in (((235, 16, 16), (81, 90, 240)), ((16, 16, 235), (41, 240, 110))):
        luma, chroma = to_420(np.broadcast_to(np.array(pure, np.uint8), (1, 2, 2, 3)))
        assert (int(luma[0, 0, 0]), *chroma[0, :, 0, 0].tolist()) == pytest.approx(codes, abs=1)


def test_colour_pairs_show_what_the_pairs_of_luma_show(root: Path) -> None:
    """Same sources, moves, plans and places: their luma differs by rounding and by what codecs make of it."""
    colour, grey = (read_shards(root / name, "val") for name in ("shards", "grey"))
    assert colour.lr[0].shape == (10, 5, 3, 32, 32)
    assert colour.hr[0].shape == (10, 3, 64, 64)
    luma = luma_of(colour.hr[0].float())[:, 0]
    assert (luma - grey.hr[0].float()).abs().mean() < 0.6
    spread = (colour.lr[0][:, 2, 0].float() - colour.lr[0][:, 2, 1].float()).abs().mean()
    assert spread > 10, "not grey"
    for number in range(10):
        seen = luma_of(colour.lr[0][number, 2][None].float())[0, 0]
        # Codecs spend bits on colour, which luma then lacks.
        limit = 0.8 if colour.samples[0][number]["sequence"]["category"] == "clean" else 10
        assert (seen - grey.lr[0][number, 2].float()).abs().mean() < limit


def test_a_network_for_colour_learns_and_ships(root: Path, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "shards").symlink_to(root / "shards")
    card = train(root / "tiny.toml", tmp_path, work_dir=tmp_path / "w")
    assert card.plane == "RGB"
    net, _ = load_model(tmp_path / "tiny.safetensors")
    assert net(torch.rand(1, 3, 8, 8)).shape == (1, 3, 16, 16)
    recipe = read_recipe(root / "tiny.toml")
    optim = Optim(batch=4, crop=16, rate=5e-3, warm_up=10)
    recipe = recipe.model_copy(update={"optim": optim})
    state = loop.start(recipe, CPU)
    low, high = patches(read_shards(root / "shards", "train"), optim, 0, 2, CPU)
    assert (low.shape, high.shape) == ((4, 3, 16, 16), (4, 3, 32, 32))
    losses = objective(recipe, CPU)
    gains = []
    for _ in range(60):
        gains.append(loop.step(state, low, high, recipe, losses, 0.3)[1])
        state.iteration += 1
    assert gains[-1] > gains[0] + 0.2


def test_what_colour_cannot_have_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        RECIPE.replace("blocks = 1", 'blocks = 1\nplane = "RGB"')
        + "[degrade]\nfilm_share = 0.5\n[loss]\nl1 = 1\nadversarial = 0.1\n"
    )
    with pytest.raises(TrainError) as caught:
        read_recipe(path)
    assert str(caught.value).splitlines() == [
        f"{path}: [network]: plane: RGB learns from stills alone, got [data] clips",
        f"{path}: [network]: plane: RGB goes without [degrade] film_share, which is for luma",
        f"{path}: [network]: plane: RGB goes without [loss] adversarial, which is for luma",
    ]
