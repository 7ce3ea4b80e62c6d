"""What `restore doctor` finds, on this machine and on ones that lack something."""

from __future__ import annotations

import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest
import torch

from restore import doctor
from restore.doctor import GIB, Finding, diagnose
from restore.machine import Level

Usage = namedtuple("Usage", "total used free")


def test_this_machine_can_run_the_product() -> None:
    findings = diagnose()
    names = [item.what for item in findings]
    assert len(names) == len(set(names))
    networks = next(item for item in findings if item.what == "networks")
    assert " 352x288 on c" in networks.detail
    assert ", fastest by the table (plain " in networks.detail
    assert {"Python", "torch", "CPU", "opencv-python", "static FFmpeg", "models", "disk"} <= set(
        names
    )
    assert [item for item in findings if item.state == "missing"] == []


def test_whatever_is_not_ok_says_what_to_do() -> None:
    for item in diagnose():
        assert item.detail
        assert item.state == "ok" or item.advice


def test_a_library_that_is_not_there_is_missing() -> None:
    found = doctor._library("no-such-thing", "no_such_thing", "do this")
    assert found.state == "missing"
    assert "no_such_thing" in found.detail
    assert found.advice == "do this"


def test_a_missing_codec_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "capabilities", lambda: {"decoders": "rv40; missing: cook"})
    (found,) = doctor._codecs()
    assert (found.what, found.state) == ("decoders", "missing")
    assert "PyAV" in found.advice


def test_without_the_static_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "ffmpeg_binary", lambda: None)
    assert doctor._static_ffmpeg().state == "missing"


def test_without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "model_names", list)
    found = doctor._models()
    assert found.state == "missing"
    assert "lanczos" in found.advice


@pytest.mark.parametrize(
    ("level", "kind", "state", "words"),
    [
        (Level.AMX, "x86_64", "ok", "class amx: bf16 with AMX"),
        (Level.BF16, "x86_64", "ok", "class bf16 (RESTORE_CPU; it has amx): bf16 without AMX"),
        (Level.AVX2, "x86_64", "ok", "class avx2 (RESTORE_CPU; it has amx): AVX2, no bf16"),
        (Level.BASELINE, "x86_64", "slow", "no AVX2"),
        (Level.BASELINE, "aarch64", "ok", "class baseline"),
    ],
)
def test_what_the_processor_can_do(
    monkeypatch: pytest.MonkeyPatch, level: Level, kind: str, state: str, words: str
) -> None:
    monkeypatch.setattr(doctor, "cpu_level", lambda: level)
    monkeypatch.setattr(doctor, "native_level", lambda: Level.AMX)
    monkeypatch.setattr(doctor.platform, "machine", lambda: kind)
    found = doctor._processor()
    assert found.state == state
    assert words in found.detail


def test_a_card_that_torch_cannot_use_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/somewhere/{name}")
    assert doctor._devices()[1].state == "slow"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor._devices()[1].state == "ok"


@pytest.mark.parametrize(("free", "state"), [(1 * GIB, "slow"), (50 * GIB, "ok")])
def test_room_on_the_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str
) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(0, 0, free))
    assert doctor._disk(tmp_path).state == state


@pytest.mark.parametrize(("available", "state"), [(1 * GIB, "slow"), (8 * GIB, "ok"), (None, "ok")])
def test_room_in_memory(monkeypatch: pytest.MonkeyPatch, available: int | None, state: str) -> None:
    monkeypatch.setattr(doctor, "_available_memory", lambda: available)
    found = doctor._memory()
    assert isinstance(found, Finding)
    assert found.state == state


def test_tensorrt_and_why_it_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def see(here: bool, cuda: bool, version: str = "11.4.0.106") -> Finding:
        monkeypatch.setattr(doctor, "find_spec", lambda name: here or None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        library = ModuleType("tensorrt")
        library.__version__ = version  # type: ignore[attr-defined]
        # What must not be loaded cannot be.
        monkeypatch.setitem(sys.modules, "tensorrt", library if here and cuda else None)
        return doctor._tensorrt()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert see(False, False).detail == "not installed; of use on CUDA alone"
    assert see(False, True).detail == "not installed; PyTorch runs the networks on CUDA"
    assert see(True, False).detail == "installed, not used: no CUDA device here"
    folder = tmp_path / "restore" / "plans"
    assert see(True, True).detail == f"11.4.0.106; 0 plans kept in {folder}"
    folder.mkdir(parents=True)
    (folder / "a.plan").touch()
    assert see(True, True).detail == f"11.4.0.106; 1 plan kept in {folder}"
    old = see(True, True, "8.6.1")
    assert (old.state, old.advice) == ("slow", "pip install --upgrade tensorrt")
    assert old.detail == "expected TensorRT 10.1 or newer, found 8.6.1"


@pytest.mark.parametrize(
    ("why", "state", "advice"),
    [
        ("", "ok", ""),
        ("its library was not built; install restore where there is a C compiler", "slow", "gcc"),
        ("the CPU has no AVX2", "slow", ""),
    ],
)
def test_whether_winograd_runs_here(
    why: str, state: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "why_not", lambda: why)
    found = doctor._winograd()
    assert found.state == state
    assert why in found.detail
    assert (advice in found.advice) if advice else not found.advice
