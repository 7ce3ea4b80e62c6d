"""What `restore inspect --suggest` is worth: its pipeline against Lanczos on clips of known truth.

    python benchmarks/suggest.py DATA/video [--frames 8] [--recipes clean vcd ...] [--clips foreman ...]

Each clip's luma is halved and encoded by each recipe ('clean': lossless), inspected, and run through what is suggested;
Y-PSNR over the better of our Lanczos and FFmpeg's, beside what the fixed pipeline bw_film_x2 gains.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch

from restore.evaluate.recipes import CODEC_RECIPES, RECIPES, through_codecs
from restore.evaluate.score import best_lanczos, from_file
from restore.evaluate.sets import read_clip
from restore.evaluate.subjects import luma_of, restored
from restore.inspect.inspection import inspect_source
from restore.inspect.suggest import suggest, to_toml
from restore.metrics.fidelity import psnr
from restore.pipeline import find_pipeline, read_pipeline
from restore.train.codecs import Codes, Step, encode
from restore.train.degrade import downscale

CPU = torch.device("cpu")
CLEAN = "clean"


def lossless(truth: Codes, folder: Path) -> Path:
    """The clip at half its size, without a lossy codec."""
    small = [downscale(frame.astype(np.float32), 2, "bicubic") for frame in truth]
    path = folder / "clean.mkv"
    encode(np.clip(np.rint(np.stack(small)), 0, 255).astype(np.uint8), Step("ffv1", {}), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path, help="folder of clean clips")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--clips", nargs="*", default=["vid4_", "svt_", "foreman"])
    parser.add_argument("--recipes", nargs="*", default=[CLEAN, "near_clean", *CODEC_RECIPES])
    parser.add_argument("--fixed", default="bw_film_x2", help="pipeline to compare with")
    options = parser.parse_args()
    fixed = read_pipeline(find_pipeline(options.fixed))
    gains: dict[str, list[float]] = {"suggested": [], options.fixed: []}
    for path in sorted(options.video.iterdir()):
        if not path.name.startswith(tuple(options.clips)):
            continue
        truth = read_clip(path, options.frames, 32).codes
        clean = torch.from_numpy(truth)[:, None]
        for recipe in options.recipes:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                if recipe == CLEAN:
                    file = lossless(truth, folder)
                else:
                    file, _ = through_codecs(truth, RECIPES[recipe], 2, folder)
                made = suggest(inspect_source([file]))
                pipeline = folder / "made.toml"
                pipeline.write_text(to_toml(made, file.name), "utf-8")
                given = from_file(file)
                base = psnr(best_lanczos(luma_of(given), given.format, 2, clean), clean)
                row = []
                for chain, spec in (("suggested", read_pipeline(pipeline)), (options.fixed, fixed)):
                    row.append(psnr(restored(given, spec, CPU, 1), clean) - base)
                    gains[chain].append(row[-1])
            models = [s.value for stage in made.stages for s in stage.settings if s.key == "model"]
            kinds = " ".join(stage.kind for stage in made.stages)
            print(
                f"{path.stem:32s} {recipe:11s} {base:6.2f} dB, suggested {row[0]:+.3f}, fixed {row[1]:+.3f}: "
                f"{kinds} {' '.join(models)}",
                flush=True,
            )
    for chain, values in gains.items():
        if values:
            print(f"{chain}: mean {statistics.mean(values):+.3f} dB, worst {min(values):+.3f} dB")


if __name__ == "__main__":
    main()
