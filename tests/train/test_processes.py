"""Several processes under torchrun train what one would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from clean import RECIPE, pool

from restore.errors import TrainError
from restore.nets.files import load_model
from restore.train.loop import train
from restore.train.processes import Processes, processes
from restore.train.recipe import read_recipe
from restore.train.shards import make_shards

ROOT = Path(__file__).parents[2]
MEAN_STEP = 1e-5
"""A tenth of the learning rate of the discriminator, which takes six steps."""


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    text = RECIPE.replace("iterations = 12", "iterations = 6").replace("every = 100", "every = 3")
    text += "[loss]\ncharbonnier = 1\nadversarial = 0.01\ndiscriminator_channels = 4\n"
    recipe = pool(tmp_path, text)
    make_shards(read_recipe(recipe), tmp_path, tmp_path / "shards", workers=1)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shards").symlink_to(tmp_path / "shards")
    train(recipe, tmp_path / "a", work_dir=tmp_path / "one")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "restore", "train",
        str(recipe), "--work", str(tmp_path / "two"), "--out", str(tmp_path / "b"),
    ]  # fmt: skip
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("wrote ") == 1, "one process speaks"
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == [
        "checkpoint.pt", "report.html", "shards",
    ]  # fmt: skip
    one, two = (load_model(tmp_path / name / "tiny.safetensors") for name in "ab")
    assert one[1].iterations == two[1].iterations == 6
    fresh = {k: v for k, v in one[0].state_dict().items() if "weight" in k}
    for key, weights in fresh.items():
        assert (weights - two[0].state_dict()[key]).abs().max() < 1e-5, key
    adversaries = [
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["adversary"]["net"]
        for name in ("one", "two")
    ]
    # Adam divides small gradients by their size, so rounding becomes steps: single weights may differ by one.
    weights = [torch.cat([v.flatten() for v in a.values()]) for a in adversaries]
    assert (weights[0] - weights[1]).abs().mean() < MEAN_STEP


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with (
        pytest.raises(TrainError, match=r"batch: expected a multiple of the 3 processes .* got 8"),
        processes(torch.device("cpu"), 8),
    ):
        pass


def test_one_process_needs_no_agreement() -> None:
    alone = Processes()
    assert alone.agree(3.5) == 3.5
    assert alone.once(lambda: "done") == "done"
    net = torch.nn.Linear(2, 1)
    net(torch.ones(1, 2)).sum().backward()
    before = net.weight.grad
    alone.average(net)
    assert net.weight.grad is before
