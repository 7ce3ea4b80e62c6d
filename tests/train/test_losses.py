"""Losses: their values by hand, when they count, and what they pull towards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from clean import RECIPE, backbone

from restore.errors import TrainError
from restore.train.adversary import Adversary
from restore.train.losses import Objective, default_loss, objective
from restore.train.recipe import Optim, read_recipe
from restore.train.terms import Term

CPU = torch.device("cpu")


def value(name: str, error: torch.Tensor, target: torch.Tensor | None = None) -> float:
    target = torch.zeros_like(error) if target is None else target
    return Objective({name: Term(weight=1.0)}, 0.3, None)(error, target, 0.5, None).item()


def test_the_values_of_simple_errors() -> None:
    error = torch.full((2, 1, 6, 8), -0.4)
    assert value("l1", error) == pytest.approx(0.4)
    assert value("mse", error) == pytest.approx(0.16)
    assert value("charbonnier", error) == pytest.approx(0.5)
    # A constant has one Fourier coefficient, 0.4 * sqrt(48), of the 6 x 5 that a real picture needs.
    assert value("fft", error) == pytest.approx(0.4 * 48**0.5 / 30)
    ramp = torch.arange(8.0).expand(1, 1, 6, 8) * 0.1
    assert value("tv", ramp) == pytest.approx(0.1)
    assert value("tv", torch.zeros_like(ramp.mT), ramp.mT * 2) == pytest.approx(0.2)


def test_the_fourier_loss_is_blind_to_where_an_error_is_but_not_to_its_pattern() -> None:
    error = torch.zeros(1, 1, 8, 8)
    error[..., 2, 3] = 1
    assert value("fft", error) == pytest.approx(value("fft", error.roll((3, 2), (2, 3))))
    assert value("fft", error) > 2 * value("fft", error.norm() * torch.ones_like(error) / 8)


def test_terms_add_up_and_keep_to_their_time() -> None:
    terms = {"l1": Term(weight=2.0, end=0.5), "mse": Term(weight=10.0, start=0.25)}
    total = Objective(terms, 1e-3, None)
    error = torch.full((1, 1, 4, 4), 0.5)
    found = [total(error, error, done, None).item() for done in (0.0, 0.25, 0.5, 0.99)]
    assert found == pytest.approx([1.0, 3.5, 2.5, 2.5])


def test_without_a_table_the_loss_is_charbonnier_then_squared_error() -> None:
    terms = default_loss(Optim(mse_share=0.2)).terms()
    active = {done: [n for n, t in terms.items() if t.active(done)] for done in (0, 0.79, 0.8, 1)}
    assert active == {0: ["charbonnier"], 0.79: ["charbonnier"], 0.8: ["mse"], 1: ["mse"]}
    assert [n for n, t in default_loss(Optim(mse_share=0)).terms().items() if t.active(1)] == [
        "charbonnier"
    ]


def test_the_adversary_learns_and_the_network_is_pulled_towards_real() -> None:
    torch.manual_seed(0)
    adversary = Adversary(4, 2e-3, CPU)
    noise = torch.Generator().manual_seed(1)

    def real() -> torch.Tensor:
        return 0.5 + 0.2 * torch.randn(4, 1, 32, 32, generator=noise)

    made = torch.full((4, 1, 32, 32), 0.5)
    losses = [adversary.learn(made, real(), 1.0).item() for _ in range(60)]
    assert losses[0] == pytest.approx(1, abs=0.2)
    assert losses[-1] < 0.6 * losses[0]
    assert adversary.fool(real()) < adversary.fool(made)
    before = [p.clone() for p in adversary.net.parameters()]
    picture = made.clone().requires_grad_()
    adversary.fool(picture).backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert all(torch.equal(a, b) for a, b in zip(before, adversary.net.parameters(), strict=True))
    assert all(p.requires_grad for p in adversary.net.parameters())


def perceptual(tmp_path: Path, crop: int = 24) -> Objective:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        RECIPE.replace("\ncrop = 16", f"\ncrop = {crop}")
        + f'[loss]\nperceptual = 0.5\nbackbone = "{backbone(tmp_path)}"\n'
    )
    return objective(read_recipe(recipe), CPU)


def test_the_perceptual_loss_is_zero_for_equals_and_has_a_gradient(tmp_path: Path) -> None:
    total = perceptual(tmp_path)
    target = torch.rand(2, 1, 40, 40)
    error = torch.zeros_like(target).requires_grad_()
    assert total(error, target, 0.5, None).item() == 0
    other = (0.1 * torch.randn_like(target)).requires_grad_()
    total(other, target, 0.5, None).backward()
    assert other.grad is not None
    assert other.grad.abs().sum() > 0


def test_a_wrong_loss_table_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    cases = {
        "charbonier = 1": r"\[loss\]: charbonier: unknown key; did you mean 'charbonnier'\?",
        "l1 = 0": "expected at least one loss with a weight above 0",
        "l1 = -1": r"\[loss\]: l1.weight: expected greater than or equal to 0",
        "perceptual = 1": "expected a backbone for the perceptual loss",
        "l1 = { weight = 1, start = 0.5, end = 0.4 }": "expected start < end",
    }
    for table, said in cases.items():
        path.write_text(f"{RECIPE}[loss]\n{table}\n")
        with pytest.raises(TrainError, match=said):
            read_recipe(path)
    path.write_text(RECIPE.replace("batch = 2", "batch = 2\nmse_share = 0.1") + "[loss]\nl1 = 1\n")
    with pytest.raises(TrainError, match=r"\[optim\]: mse_share: expected none beside a \[loss\]"):
        read_recipe(path)
    path.write_text(f'{RECIPE}[loss]\nperceptual = 1\nbackbone = "{tmp_path}/none.safetensors"\n')
    with pytest.raises(TrainError, match=r"expected patches of at least 32 pixels .* got 24"):
        objective(read_recipe(path), CPU)
    path.write_text(path.read_text().replace("\ncrop = 16", "\ncrop = 24"))
    with pytest.raises(TrainError, match=r"\[loss\]: backbone: .*none.safetensors: no such"):
        objective(read_recipe(path), CPU)
