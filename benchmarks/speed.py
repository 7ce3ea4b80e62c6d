"""Frames per second of a whole run, against FFmpeg's Lanczos with the same encoder, in turn.

python benchmarks/speed.py INPUT [--pipeline bw_film_x2] [--preset veryfast] [--runs 3]
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
from pathlib import Path

from measure import lanczos_x264, restore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path)
    parser.add_argument("--pipeline", default="bw_film_x2")
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    ours, floor = [], []
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mkv"
        sets = [f"--set={s}" for s in [f"output.preset={options.preset}", *options.set]]
        for number in range(options.runs):
            run = restore("run", options.pipeline, options.input, target, "--overwrite", *sets)
            if run.code:
                raise SystemExit(run.text)
            frames = int(re.search(r"frames\s+(\d+)\b", run.text)[1])
            ours.append(frames / run.seconds)
            base = lanczos_x264(options.input, target, options.preset)
            floor.append(frames / base.seconds)
            print(
                f"run {number + 1}: restore {ours[-1]:.2f} frames/s, {run.peak_mib:.0f} MiB; "
                f"ffmpeg lanczos {floor[-1]:.2f} frames/s; ratio {ours[-1] / floor[-1]:.3f}"
            )
            costs = re.findall(r"per frame: (.*)", run.text)
            if costs:
                print(f"  per frame: {costs[-1]}")
    ratios = [a / b for a, b in zip(ours, floor, strict=True)]
    print(
        f"median of {options.runs} on {os.cpu_count()} processors: {statistics.median(ours):.2f} "
        f"frames/s, {statistics.median(ratios):.3f} of ffmpeg's Lanczos"
    )


if __name__ == "__main__":
    main()
