"""The class of machine: what it is made of, what lowers it, and who follows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from restore import machine
from restore.errors import DeviceError
from restore.machine import VARIABLE, Level, asked_level, bind_libraries, cpu_level, level_of
from restore.nets import openvino_engine, winograd
from restore.nets.candidates import candidates
from restore.nets.engine import Network, native_bf16
from restore.nets.plain import PlainSR
from restore.train.loop import precision

CPU = torch.device("cpu")
AVX2 = {"avx2", "fma3"}
AVX512 = AVX2 | {"avx512_f", "avx512_bw", "avx512_dq", "avx512_vl"}
BF16 = AVX512 | {"avx512_vnni", "avx512_bf16"}
AMX = BF16 | {"amx_tile", "amx_int8", "amx_bf16"}


@pytest.fixture
def amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has everything, nothing lowered."""
    monkeypatch.setattr(machine, "native_level", lambda: Level.AMX)
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("able", "level"),
    [
        (set(), Level.BASELINE),
        ({"avx"}, Level.BASELINE),
        (AVX2, Level.AVX2),
        (AVX2 | {"avx_vnni"}, Level.AVX2),  # of client CPUs, in 256 bits
        (AVX2 | {"avx512_f"}, Level.AVX2),
        (AVX512, Level.AVX512),
        (AVX512 | {"avx512_vnni"}, Level.VNNI),
        (AVX512 | {"avx512_bf16"}, Level.AVX512),  # levels are ordered: none is skipped
        (BF16, Level.BF16),
        (BF16 | {"amx_tile"}, Level.BF16),
        (AMX, Level.AMX),
    ],
)
def test_a_level_is_all_that_it_needs(able: set[str], level: Level) -> None:
    assert level_of(dict.fromkeys(able, True)) == level


@pytest.mark.parametrize("name", [str(level) for level in Level])
def test_the_variable_lowers_and_never_raises(
    name: str, amx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cpu_level() == Level.AMX
    monkeypatch.setenv(VARIABLE, name)
    assert str(cpu_level()) == name
    monkeypatch.setattr(machine, "native_level", lambda: Level.AVX512)
    assert cpu_level() == min(asked_level() or 0, Level.AVX512)


@pytest.mark.parametrize("wrong", ["AVX2", "avx3", "sse", " amx", "5"])
def test_a_wrong_name_is_one_error(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, wrong)
    with pytest.raises(DeviceError) as caught:
        cpu_level()
    assert str(caught.value) == (
        f"RESTORE_CPU={wrong}: expected one of baseline, avx2, avx512, vnni, bf16, amx; "
        "unset it for all that the CPU has"
    )
    bind_libraries()  # leaves it to the command line


def test_the_command_line_tells_it_before_any_work() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "restore", "models"],
        env=os.environ | {VARIABLE: "fast"}, capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 2
    assert "RESTORE_CPU=fast: expected one of baseline" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_every_choice_asks_it(amx: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an AMX machine would take, and what it takes at each level."""

    class Core:
        def get_property(self, *_: str) -> list[str]:
            return ["FP32", "BF16", "INT8", "BIN"]

    monkeypatch.setattr(openvino_engine, "_openvino", lambda: SimpleNamespace(Core=Core))
    network = Network(PlainSR(16, 1, 2), "tiny", "")
    for level in Level:
        monkeypatch.setenv(VARIABLE, str(level))
        bf16 = level >= Level.BF16
        assert native_bf16() == bf16
        assert precision(CPU) == (torch.bfloat16 if bf16 else torch.float32)
        assert ("BF16" in openvino_engine.capabilities()) == bf16
        assert ("INT8" in openvino_engine.capabilities()) == (level >= Level.AVX2)
        found = {b.precision for b in candidates(network, CPU)}
        assert ("bf16" in found) == bf16
        assert winograd.why_not() != f"{VARIABLE} allows no AVX2" or level == Level.BASELINE
        assert level > Level.BASELINE or winograd.why_not()


@pytest.mark.parametrize(
    ("level", "onednn", "aten"),
    [
        ("", None, None),
        ("amx", None, None),
        ("bf16", "AVX512_CORE_BF16", None),
        ("vnni", "AVX512_CORE_VNNI", None),
        ("avx512", "AVX512_CORE", None),
        ("avx2", "AVX2", "avx2"),
        ("baseline", "SSE41", "default"),
    ],
)
def test_libraries_are_told(
    level: str, onednn: str | None, aten: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
    with monkeypatch.context() as context:
        for name in (*names, "ONEDNN_DEFAULT_FPMATH_MODE"):
            context.setenv(name, "")
            context.delenv(name)
        context.setenv(VARIABLE, level)
        context.setattr(machine, "_listed", lambda flag: True)
        bind_libraries()
        assert os.environ.get(names[0]) == onednn
        assert os.environ.get(names[1]) == aten
        assert (os.environ.get(names[2]) is None) == (aten is None)
        assert os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] == "STRICT"


def test_pytorch_is_not_raised_to_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "")
    monkeypatch.delenv("ATEN_CPU_CAPABILITY")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    monkeypatch.setenv(VARIABLE, "avx2")
    monkeypatch.setattr(machine, "_listed", lambda flag: False)
    bind_libraries()
    assert "ATEN_CPU_CAPABILITY" not in os.environ
