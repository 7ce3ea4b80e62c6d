"""Muon: what its steps are, and which layers get them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restore.nets.plain import PlainSR, RepPlainSR
from restore.train.optimiser import Muon, make, orthogonal


@pytest.mark.parametrize("shape", [(32, 288), (288, 32), (32, 32)])
def test_the_step_turns_every_direction_alike(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    steep = torch.randn(shape) * torch.logspace(0, -1, shape[1])
    found = orthogonal(steep)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.3
    assert values.max() < 1.3
    u, _, v = torch.linalg.svd(steep, full_matrices=False)
    ideal = u @ v
    alike = (found * ideal).sum() / found.norm() / ideal.norm()
    assert alike > 0.95


@pytest.mark.parametrize("kind", [PlainSR, RepPlainSR])
def test_kernels_get_orthogonal_steps_all_else_adam(kind: type[nn.Module]) -> None:
    net = kind(channels=16, blocks=2)
    first, second = make("muon", net, 1e-3).param_groups
    assert first["orthogonal"]
    assert not second["orthogonal"]
    assert {p.ndim for p in first["params"]} == {4}
    assert all(min(p.flatten(1).shape) >= 16 for p in first["params"])
    together = {id(p) for group in (first, second) for p in group["params"]}
    assert together == {id(p) for p in net.parameters()}


def test_other_parameters_step_as_with_torchs_adam() -> None:
    torch.manual_seed(2)
    ours, theirs = (nn.Linear(3, 3) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    pairs = (
        (ours, Muon(ours.parameters(), 1e-2)),
        (theirs, torch.optim.Adam(theirs.parameters(), 1e-2, betas=(0.9, 0.99))),
    )
    for seed in range(5):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
        for net, optimiser in pairs:
            optimiser.zero_grad()
            (net(x) ** 2).sum().backward()
            optimiser.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
