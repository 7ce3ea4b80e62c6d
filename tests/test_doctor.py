"""What `restore doctor` finds, on this machine and on ones that lack something."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
import torch

from restore import doctor
from restore.doctor import GIB, Finding, diagnose

Usage = namedtuple("Usage", "total used free")


def test_this_machine_can_run_the_product() -> None:
    findings = diagnose()
    names = [item.what for item in findings]
    assert len(names) == len(set(names))
    networks = next(item for item in findings if item.what == "networks")
    assert " 352x288 on c" in networks.detail
    assert "fastest" in networks.detail
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
    ("flags", "state", "words"),
    [
        ({"amx_bf16", "avx512_bf16"}, "ok", "with AMX"),
        ({"avx512_bf16"}, "ok", "without AMX"),
        ({"avx2"}, "slow", "no bf16"),
        (set(), "ok", "usable processor"),
    ],
)
def test_what_the_processor_can_do(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], state: str, words: str
) -> None:
    monkeypatch.setattr(doctor, "_cpu_flags", lambda: frozenset(flags))
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
