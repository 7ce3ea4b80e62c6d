"""Quantisers and picture types of packed pairs are those that `restore run` gives a network, and reach it in training."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from clean import RECIPE, pool
from safetensors.torch import load_file

from restore.errors import TrainError
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.nets.architectures import ConditionName
from restore.nets.condition import Conditions
from restore.nets.files import load_model
from restore.train import loop
from restore.train.batches import absent, patches
from restore.train.loop import train
from restore.train.maps import add_maps, sidecar
from restore.train.networks import build
from restore.train.recipe import Network, Optim, read_recipe
from restore.train.shards import Shards, make_shards, read_shards
from restore.train.validation import middle
from restore.video import FrameBatch

CPU = torch.device("cpu")
NAMES: list[ConditionName] = ["quantiser", "picture_type"]
FRONT: list[ConditionName] = [*NAMES, "change"]
CONDITIONED = RECIPE.replace("blocks = 1", 'blocks = 1\ncondition = ["quantiser", "picture_type"]')


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("maps")
    make_shards(read_recipe(pool(root, CONDITIONED)), root, root / "shards", workers=1)
    return root


def work(root: Path, folder: Path) -> Path:
    folder.mkdir()
    shutil.copytree(root / "shards", folder / "shards")
    return folder


def as_decoded(root: Path, sequence: dict[str, object], folder: Path) -> FrameBatch:
    """A sequence of the validation shard, read as `restore run` reads files."""
    stream = load_file(root / "shards" / "val-000.safetensors")["stream"].numpy()
    start, length = sequence["stream"]  # type: ignore[misc]
    path = folder / "stream"
    path.write_bytes(stream[start : start + length].tobytes())
    batches = list(decode(probe(path, InputOptions()), quantisers=True, batch=100))
    assert len(batches) == 1
    return batches[0]


def test_maps_are_what_the_runtime_feeds(root: Path, tmp_path: Path) -> None:
    pairs = read_shards(root / "shards", "val", maps=True)
    codecs = set()
    for index, sample in enumerate(pairs.samples[0]):
        sequence = sample["sequence"]
        seen = middle(pairs, 0, index, NAMES)[0]
        if sequence["category"] == "clean":
            assert not seen[1:].any(), "nothing is known of what met no codec"
            continue
        clip = as_decoded(root, sequence, tmp_path)
        t, y, x = sample["frame"], sample["y"], sample["x"]
        inside = (slice(y, y + 32), slice(x, x + 32))
        wanted = Conditions(NAMES)(clip)[t][:, *inside]
        torch.testing.assert_close(seen[1:], wanted, atol=1e-3, rtol=1e-3)
        if (
            t < len(clip) - 1
        ):  # of the very last frame some decoders tell nothing, at runtime as here
            assert wanted.ne(0).all(), "every codec of the chain tells"
        # And it is the same frame: the runtime's decoder gives the pixels that were packed.
        assert torch.equal(clip.planes[0][t, 0][inside], pairs.lr[0][index, 2])
        codecs.add(sequence["steps"][-1]["codec"])
    assert {"mpeg1video", "rv20"} <= codecs


def test_shards_from_before_get_their_maps(root: Path, tmp_path: Path) -> None:
    shards = work(root, tmp_path / "w") / "shards"
    index = shards / "train-001.json"
    first = sidecar(index).read_bytes()
    sidecar(index).unlink()
    with pytest.raises(TrainError, match=r"train-001\.maps\.safetensors: damaged .*made again"):
        read_shards(shards, "train", maps=True)
    said: list[str] = []
    add_maps(shards, said.append)
    assert said == ["train-001: quantisers and picture types read from its streams"]
    assert sidecar(index).read_bytes() == first


def test_a_stream_that_is_gone_is_named(root: Path, tmp_path: Path) -> None:
    shards = work(root, tmp_path / "w") / "shards"
    sidecar(shards / "train-000.json").unlink()
    path = shards / "train-000.safetensors"
    data = bytearray(path.read_bytes())
    length = load_file(path)["stream"].numel()
    place = data.find(load_file(path)["stream"].numpy().tobytes())
    data[place : place + length] = bytes(length)
    path.write_bytes(bytes(data))
    with pytest.raises(TrainError, match=r"train-000\.json: the stream of .* cannot be decoded"):
        add_maps(shards)


def numbered(value: float) -> Shards:
    """One sample whose luma, and quantiser map, rise towards the bottom right cell by cell."""
    from restore.train.maps import Maps

    rise = torch.arange(4.0).view(2, 2) * 8 + value
    codes = rise.repeat_interleave(16, 0).repeat_interleave(16, 1).to(torch.uint8)
    big = codes.repeat_interleave(2, 0).repeat_interleave(2, 1)
    maps = Maps(rise.half()[None, None], torch.full((1, 1), 2, dtype=torch.uint8))
    return Shards([codes[None, None]], [big[None]], [[{}]], [maps])


def test_planes_are_cut_and_turned_with_the_picture() -> None:
    optim = Optim(batch=16, crop=19, condition_absent=0)
    low, _ = patches(numbered(20), optim, 0, 2, CPU, condition=NAMES)
    assert low.shape == (16, 3, 19, 19)
    codes = low[:, 0] * 219 + 16
    torch.testing.assert_close(codes / 32, low[:, 1], atol=1e-4, rtol=0)
    assert bool((low[:, 2] == 0.5).all()), "P"
    assert len({bytes(part.numpy().tobytes()) for part in low[:, 0]}) > 8


def test_a_share_of_the_patches_lacks_conditions() -> None:
    optim = Optim(batch=512, crop=16, condition_absent=0.3)
    low, _ = patches(numbered(20), optim, 0, 2, CPU, condition=NAMES)
    lacks = low[:, 1:].flatten(2).eq(0).all(2)
    assert float(lacks.any(1).float().mean()) == pytest.approx(0.3, abs=0.06)
    assert float(lacks.all(1).float().mean()) == pytest.approx(0.1, abs=0.04)
    # The patches are those of a network without conditions: arms of an experiment see the same.
    plain, _ = patches(numbered(20), optim, 0, 2, CPU)
    assert torch.equal(plain, low[:, :1])
    rng = np.random.default_rng(0)
    assert absent(FRONT, 0, rng) == []
    assert {len(absent(FRONT, 1, rng)) for _ in range(50)} == {1, 2, 3}


def test_a_conditioned_network_is_trained_and_shipped(root: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(CONDITIONED)
    card = train(recipe, tmp_path / "a", work_dir=work(root, tmp_path / "whole"))
    assert card.condition == NAMES
    assert card.scores["held-out blind"] != card.scores["held-out mean"]
    net, read = load_model(tmp_path / "a" / "tiny.safetensors")
    assert read == card
    assert net.head.weight.shape[1] == 3
    other = tmp_path / "other.toml"
    other.write_text(RECIPE)
    with pytest.raises(TrainError, match=r"expected a checkpoint of .*'condition': \[\]"):
        train(other, tmp_path / "b", work_dir=tmp_path / "whole")


@pytest.mark.parametrize("branches", ["true", "false"])
def test_a_fresh_network_hears_the_picture_alone(branches: str) -> None:
    shape = Network(
        name="x", channels=8, blocks=1, scale=2, condition=NAMES, branches=branches == "true"
    )
    net = build(shape)
    told = torch.rand(1, 3, 16, 16)
    untold = told.clone()
    untold[:, 1:] = 0
    assert torch.equal(net(told), net(untold))
    assert float(net.head.weight[:, 1:].detach().abs().max()) == 0
    net(told).square().mean().backward()
    assert float(net.head.weight.grad[:, 1:].abs().max()) > 0, "it can learn to listen"


def test_a_conditioned_network_learns_from_the_planes() -> None:
    """Two kinds of patches that look alike: only the quantiser tells whether there is anything to add."""
    from restore.train.losses import objective
    from restore.train.recipe import Recipe

    shape = Network(name="x", channels=8, blocks=1, scale=1, condition=["quantiser"])
    recipe = Recipe.model_construct(
        network=shape, optim=Optim(batch=2, rate=1e-2, warm_up=5), loss=None
    )
    state = loop.start(recipe, CPU)
    low = torch.full((2, 2, 16, 16), 0.5)
    low[0, 1], low[1, 1] = 0.0, 1.0
    high = low[:, :1] + torch.tensor([0.0, 0.1]).view(2, 1, 1, 1)
    losses = objective(recipe, CPU)
    found = [loop.step(state, low, high, recipe, losses, 0.5)[0].item() for _ in range(80)]
    assert found[-1] < 0.05 * found[0]
