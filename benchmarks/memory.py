"""Whether a run of ten minutes takes more memory, or more time a frame, than a short one.

python benchmarks/memory.py [--pipeline bw_film_x2_fast] [--size 128x96] [--frames 500,15000]

The clip moves and changes scene every 4 s; 15,000 frames are ten minutes at 25 a second. Frames/s are without the start,
which is the time of a run of two frames.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import restore, test_clip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pipeline", default="bw_film_x2_fast")
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--size", default="128x96")
    parser.add_argument("--frames", default="500,15000")
    parser.add_argument("--threads", default="2")
    options = parser.parse_args()
    start = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for frames in (2, 2, *map(int, options.frames.split(","))):
            clip, target = Path(folder) / f"{frames}.mpg", Path(folder) / "out.mkv"
            test_clip(clip, frames, options.size)
            run = restore(
                *(
                    "run",
                    options.pipeline,
                    clip,
                    target,
                    "--overwrite",
                    "--threads",
                    options.threads,
                ),
                f"--set=output.preset={options.preset}",
            )
            if run.code:
                raise SystemExit(run.text)
            speed = f", {frames / (run.seconds - start):.1f} frames/s" if frames > 2 else ""
            print(
                f"{frames} frames: {run.peak_mib:.0f} MiB, {run.seconds:.1f} s{speed}", flush=True
            )
            start = start if frames > 2 else run.seconds


if __name__ == "__main__":
    main()
