"""Engines at lower classes of machine, the libraries lowered with them: `make levels` runs all tests of networks so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from restore.machine import Level, native_level

ROOT = Path(__file__).parents[1]

SCRIPT = """
import copy
from restore.machine import bind_libraries, cpu_level
bind_libraries()
import torch
from restore.nets.candidates import candidates
from restore.nets.engine import Network
from restore.nets.plain import PlainSR
from restore.nets.trial import trial
from restore.train.loop import precision
cpu = torch.device("cpu")
torch.manual_seed(0)
network = Network(PlainSR(32, 2, 2).eval(), "tiny", "")
mkldnn = torch.backends.mkldnn
with mkldnn.verbose(mkldnn.VERBOSE_ON):  # the variable of the same name would reach OpenVINO's copy, which then fails
    network.net(torch.rand(4, 1, 48, 48))
print("level", cpu_level(), torch.backends.cpu.get_cpu_capability(), precision(cpu))
given = torch.rand(1, 1, 48, 48)
exactly = copy.deepcopy(network.net).double()(given.double())
print("float32", float((network.net(given) - exactly).abs().max() * 255))
for able in candidates(network, cpu):
    if not able.slow_start:
        print("engine", able.name, trial(able, network, cpu, 1, (24, 40))[1])
"""


@pytest.mark.parametrize(
    ("level", "onednn", "aten"),
    [
        (Level.BASELINE, "SSE4.1", "DEFAULT"),
        (Level.AVX2, "AVX2", "AVX2"),
        (Level.VNNI, "AVX-512 with Intel DL Boost", "AVX512"),
        (Level.BF16, "AVX-512 with Intel DL Boost and bfloat16 support", "AVX512"),
        (Level.AMX, "", "AVX512"),  # of several kinds
    ],
)
def test_engines_of_a_level(level: Level, onednn: str, aten: str) -> None:
    if level > native_level():
        pytest.skip(f"this CPU is of class {native_level()}")
    environment = os.environ | {
        "RESTORE_CPU": str(level), "ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    kind = "torch.bfloat16" if level >= Level.BF16 else "torch.float32"
    assert f"level {level} {aten} {kind}" in lines
    (isa,) = {line.rpartition("isa:")[2] for line in lines if "info,cpu,isa:" in line}
    assert isa.removeprefix("Intel ").split(" on ")[0].strip() == onednn or not onednn
    (off,) = (float(line.split()[1]) for line in lines if line.startswith("float32 "))
    assert off < 1e-4, "an environment that asks oneDNN for bf16 has no say"
    engines = dict(line.split(" ", 2)[1:] for line in lines if line.startswith("engine "))
    assert "torch-fp32" in engines
    assert any("bf16" in name for name in engines) == (level >= Level.BF16)
    assert all(fault == "" for fault in engines.values()), engines
