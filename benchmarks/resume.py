"""Kill a run with SIGKILL at seeded moments and resume it: the bytes must be those of an uninterrupted run.

python benchmarks/resume.py INPUT [--kills 10] [--seed 0] [--set output.preset=veryfast]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import ROOT, restore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("--pipeline", default="bw_film_x2")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    sets = [f"--set={s}" for s in options.set]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.mkv"
        run = restore("run", options.pipeline, options.input, whole, *sets)
        if run.code:
            raise SystemExit(run.text)
        print(f"uninterrupted: {run.seconds:.1f} s, {whole.stat().st_size} bytes")
        wanted = hashlib.sha256(whole.read_bytes()).hexdigest()
        whole.unlink()
        moments = random.Random(options.seed)
        target = Path(folder) / "killed.mkv"
        failures = 0
        for number in range(options.kills):
            after = moments.uniform(0.05, 0.95) * run.seconds
            command = ["run", options.pipeline, str(options.input), str(target), *sets]
            # On a noisy machine a run may be through before its moment: try again, earlier.
            while not _kill_after(command, after):
                target.unlink()
                after *= 0.7
            parts = sorted(p.name for p in target.parent.glob("killed.mkv.parts/segment-*.nut"))
            again = restore(*command)
            same = target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == wanted
            left = [p.name for p in target.parent.iterdir() if p != target]
            failures += not same or bool(left)
            print(
                f"kill {number + 1} at {after:5.1f} s, {len(parts)} segments kept: "
                f"{'same bytes' if same else 'DIFFERENT'}, left beside: {left or 'nothing'}"
            )
            if again.code:
                print(again.text)
            target.unlink(missing_ok=True)
    raise SystemExit(1 if failures else 0)


def _kill_after(command: list[str], seconds: float) -> bool:
    """True if the run was still at work when it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "restore", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


if __name__ == "__main__":
    main()
