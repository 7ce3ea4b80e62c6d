"""Peak resident memory of a run over 2,000 frames against one over 200.

python benchmarks/memory.py [--pipeline bw_film_x2]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import restore, test_clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", default="bw_film_x2")
    parser.add_argument("--preset", default="veryfast")
    options = parser.parse_args()
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for frames in (200, 2000):
            clip, target = Path(folder) / f"{frames}.mpg", Path(folder) / f"{frames}.mkv"
            test_clip(clip, frames)
            run = restore(
                "run", options.pipeline, clip, target, f"--set=output.preset={options.preset}"
            )
            if run.code:
                raise SystemExit(run.text)
            peaks[frames] = run.peak_mib
            print(f"{frames} frames: {run.peak_mib:.1f} MiB, {run.seconds:.1f} s")
    print(f"2,000 against 200 frames: {100 * (peaks[2000] / peaks[200] - 1):+.1f}%")


if __name__ == "__main__":
    main()
