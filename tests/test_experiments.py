"""The experiments' arithmetic: what is compared, and when arms are told apart. The runs are not for a test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from experiment_plans import EXPERIMENTS, POOLS, Experiment, Trial, with_batch_norm
from experiments import only, table, verdicts

from restore.train.maps import Maps
from restore.train.shards import Shards

PLAN = Experiment("q", (), (Trial("a", "mixed", ()),))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_arms_differ_in_one_thing(name: str) -> None:
    plan = EXPERIMENTS[name]
    assert len({arm.name for arm in plan.arms}) == len(plan.arms) >= 2
    pools = {arm.pool for arm in plan.arms} | {trial.pool for trial in plan.trials}
    assert pools <= POOLS.keys() | {"own"}
    sizes = {
        (arm.network.channels, arm.network.blocks, arm.network.architecture) for arm in plan.arms
    }
    assert len(sizes) == 1, "equal networks"
    samples = {
        POOLS[arm.pool].data.shard_sequences * POOLS[arm.pool].data.keep for arm in plan.arms
    }
    assert len(samples) == 1, "as many pairs"


def test_batch_normalisation_is_the_only_difference() -> None:
    names = {type(module).__name__ for module in with_batch_norm().modules()}
    assert "BatchNorm2d" in names
    net = with_batch_norm()
    assert sum(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()) == 8
    assert net(torch.rand(2, 1, 12, 12)).shape == (2, 1, 24, 24)


def test_arms_are_told_apart_by_more_than_twice_the_spread() -> None:
    near = {"one": [{"a": 1.0}, {"a": 1.2}], "two": [{"a": 0.8}, {"a": 0.7}]}
    assert verdicts(PLAN, near) == [
        "- a: one and two are not told apart (+0.350 dB, the seeds span 0.200)"
    ]
    far = {"one": [{"a": 1.0}, {"a": 1.2}], "two": [{"a": 0.3}, {"a": 0.4}]}
    assert verdicts(PLAN, far) == ["- a: one beats two (+0.750 dB, the seeds span 0.200)"]
    assert table(PLAN, far)[2:] == ["| one | +1.100 ± 0.100 |", "| two | +0.350 ± 0.050 |"]


def test_a_test_keeps_to_its_categories() -> None:
    samples = [{"sequence": {"category": c}} for c in ("clean", "mpeg1", "rv20", "mpeg1")]
    number = torch.arange(4)
    maps = Maps(number.view(4, 1, 1, 1).half(), number.view(4, 1).to(torch.uint8))
    held = Shards([number.view(4, 1, 1, 1)], [number.view(4, 1, 1)], [samples], [maps])
    found = only(held, ("mpeg1",))
    assert found.lr[0].flatten().tolist() == found.hr[0].flatten().tolist() == [1, 3]
    assert found.maps[0].types.flatten().tolist() == [1, 3]
    assert [s["sequence"]["category"] for s in found.samples[0]] == ["mpeg1", "mpeg1"]
