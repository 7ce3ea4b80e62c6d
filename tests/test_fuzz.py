"""A small series of damaged files through the whole media layer: benchmarks/fuzz.py says what is tried."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from fuzz_inputs import MUTATIONS, Clip, mutated

COUNT = 90


def fuzz(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are set as Linux has them")
def test_damaged_files_are_restored_or_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    done = fuzz("--count", str(COUNT), "--state", state)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["inputs"] == counts["ok"] + counts["refused"] == COUNT
    assert counts["decoded"] > COUNT / 2
    results = [json.loads(line) for line in (state / "results.jsonl").read_text().splitlines()[1:]]
    whole = [r for r in results if r["step"] == "run" and r["outcome"] == "ok"]
    assert {"none", "lanczos"} == {r["pipeline"] for r in whole}
    assert any(r["part"][0] is not None for r in whole)


def test_an_input_is_the_same_bytes_every_time() -> None:
    clips = [Clip("a.avi", bytes(range(256)) * 20), Clip("b.rm", bytes(3000))]
    first = [mutated(clips, 1, n) for n in range(200)]
    assert first == [mutated(clips, 1, n) for n in range(200)]
    assert first != [mutated(clips, 2, n) for n in range(200)]
    used = {name for _, how, _ in first for name in how.split("+")}
    assert used == {mutation.__name__ for mutation in MUTATIONS}
    assert sum(clip.data != data for clip, _, data in first) > 150


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are set as Linux has them")
def test_the_harness_sees_every_kind_of_failure(tmp_path: Path) -> None:
    script = f"""
import ctypes, sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "benchmarks")!r}]
import fuzz_trial
from restore.errors import RestoreError

def bug(*_): raise ValueError("bug")
def crash(*_): ctypes.string_at(0)
def memory(*_): bytearray(4 << 30)
def hang(*_):
    while True: pass
def lost(path, *_):
    parts = path.with_name("output.mkv.parts")
    parts.mkdir()
    (parts / "segment-00000.nut").touch()
    raise RestoreError("after the render")

fuzz_trial.CPU_SECONDS = 1
path = Path({str(tmp_path / "input.avi")!r})
path.write_bytes(b"x")
for fault in (bug, crash, memory, hang, lost):
    fuzz_trial.probe = fault
    finding = fuzz_trial.try_input(path, fuzz_trial.Task("mkv"))
    print(finding.outcome, finding.step)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    expected = ["exception probe", "crash probe", "memory probe", "hang probe", "lost probe"]
    assert done.stdout.splitlines() == expected
