"""Several processes under torchrun train what one would."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from clean import RECIPE, pool

from restore.errors import TrainError
from restore.nets.files import load_model
from restore.train.adversary import Adversary
from restore.train.loop import precision, train
from restore.train.processes import Processes, processes
from restore.train.recipe import read_recipe
from restore.train.shards import make_shards

ROOT = Path(__file__).parents[2]


def test_two_processes_train_what_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32: in bf16 a gradient is rounded per process, so that halves of a batch give other last bits than the whole."""
    monkeypatch.setenv("RESTORE_CPU", "vnni")
    assert precision(torch.device("cpu")) == torch.float32
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


@dataclass(frozen=True)
class Listening(Processes):
    """Hears the gradients that would be averaged."""

    heard: list[torch.Tensor] = field(default_factory=list)

    def average(self, net: torch.nn.Module) -> None:
        self.heard.append(
            torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        )


def test_gradients_of_halves_are_those_of_the_whole() -> None:
    """Of the adversary, whose weights cannot be compared after training: made and real pictures are alike, so that its gradients
    cancel to rounding, which Adam divides by its size."""
    torch.manual_seed(0)
    adversary, group = Adversary(4, 1e-4, torch.device("cpu")), Listening()
    made, real = torch.rand(2, 1, 24, 24), torch.rand(2, 1, 24, 24) / 4
    for part in (slice(0, 2), slice(0, 1), slice(1, 2)):
        copy.deepcopy(adversary).learn(made[part], real[part], 1.0, group)
    whole, first, second = group.heard
    assert float((first - second).abs().max()) > 0.01 * float(whole.abs().max())
    assert float(((first + second) / 2 - whole).abs().max()) < 1e-4 * float(whole.abs().max())


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
