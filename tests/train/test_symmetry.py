"""Tied weights: what they promise of the network, that training keeps them, and what cannot be tied."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from clean import RECIPE, work
from torch import Tensor

from restore.errors import TrainError
from restore.nets.files import load_model
from restore.nets.plain import PlainSR, RepPlainSR
from restore.resources import models_dir
from restore.train.loop import train
from restore.train.recipe import read_recipe
from restore.train.state import start
from restore.train.symmetry import ORDER, TOLERANCE, Symmetry, turned

TIED = RECIPE.replace("channels = 4", "channels = 16\nbranches = false\nsymmetric = true").replace(
    "[optim]", '[optim]\noptimiser = "muon"\nrate = 0.01'
)
CPU = torch.device("cpu")


def fresh(scale: int, in_planes: int = 1) -> PlainSR:
    torch.manual_seed(4)
    return RepPlainSR(16, 2, scale, in_planes).fold()


def asymmetry(net: torch.nn.Module, picture: Tensor) -> float:
    """Largest difference between the turned result and the turned picture's result, relative to the result's spread."""
    with torch.no_grad():
        result = net(picture)
        gaps = [(net(turned(picture, e)) - turned(result, e)).abs().max() for e in range(1, ORDER)]
    return float(max(gaps) / result.std())


def test_the_symmetries_are_eight_and_differ() -> None:
    grid = torch.arange(9).view(3, 3)
    assert len({tuple(turned(grid, e).flatten().tolist()) for e in range(ORDER)}) == 8
    assert torch.equal(turned(grid, 0), grid)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_tied_network_treats_every_view_alike(scale: int) -> None:
    net = fresh(scale, in_planes=3)
    picture = torch.rand(1, 3, 12, 12)
    assert asymmetry(net, picture) > 0.05
    before = [layer.weight.std() for layer in net.layers()]
    ties = Symmetry(net)
    assert ties.loose() > 0.1
    ties.impose()
    assert ties.loose() < TOLERANCE
    assert asymmetry(net, picture) < 1e-4
    for layer, spread in zip(net.layers(), before, strict=True):
        torch.testing.assert_close(layer.weight.std(), spread, rtol=0.01, atol=0)


def test_averaged_gradients_are_those_of_all_views_together() -> None:
    """Of a loss over one view they are what the mean over all eight views gives."""
    net = fresh(2)
    ties = Symmetry(net)
    ties.impose()
    picture, wanted = torch.rand(1, 1, 10, 10), torch.rand(1, 1, 20, 20)
    ((net(picture) - wanted) ** 2).mean().backward()
    ties.average_gradients()
    one = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    for e in range(ORDER):
        ((net(turned(picture, e)) - turned(wanted, e)) ** 2).mean().div(ORDER).backward()
    for a, p in zip(one, net.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad, rtol=1e-3, atol=1e-7)


def test_training_keeps_the_ties(root: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tied.toml"
    recipe.write_text(TIED)
    train(recipe, tmp_path / "whole", work_dir=work(root, tmp_path / "a"))
    net, _ = load_model(tmp_path / "whole" / "tiny.safetensors")
    assert isinstance(net, PlainSR)
    assert Symmetry(net).loose() < TOLERANCE
    assert asymmetry(net, torch.rand(1, 1, 12, 12)) < 1e-4


def test_only_a_tied_network_can_be_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "tied.toml"
    init = models_dir() / "film_x2_fast.safetensors"
    text = TIED.replace("channels = 16", "channels = 32").replace("blocks = 1", "blocks = 8")
    path.write_text(text.replace("symmetric = true", f'symmetric = true\ninit = "{init}"'))
    with pytest.raises(TrainError, match=r"init: .*film_x2_fast\.safetensors is not symmetric"):
        start(read_recipe(path), CPU)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("channels = 16", "channels = 12"), "expected a multiple of 8"),
        (("branches = false\n", ""), "expected architecture = .plain. with branches = false"),
        (("channels = 16", 'architecture = "edsr"\nchannels = 16'), "expected architecture"),
    ],
)
def test_what_cannot_be_tied_is_said(change: tuple[str, str], found: str, tmp_path: Path) -> None:
    path = tmp_path / "tied.toml"
    path.write_text(TIED.replace(*change))
    with pytest.raises(TrainError, match=found):
        start(read_recipe(path), CPU)
