"""What the default pipeline gains over Lanczos, and how well that can be told from a file before it is restored.

    python benchmarks/expected_gain.py DATA/video [--pipeline bw_film_x2] [--frames 9] [--write docs/quality.md]

Each clip's luma is halved (bicubic, anti-aliased, centres aligned) and really encoded and decoded; rates are those of
352x288 at 25 frames/s and scale with the number of pixels. The pipeline then runs as in `restore run`. Gains are in dB of
Y-PSNR over the better of our Lanczos and FFmpeg's, 8-bit limited-range codes, 8 px border left out. Step and bits are
what `restore inspect` says of the file; a line is fitted through the gains by doublings of each, and those two lines are
what `restore inspect` expects of a file it has never seen (restore/inspect/information.py).
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, pstdev

import numpy as np
import torch

from restore.evaluate.recipes import CODEC_RECIPES, RECIPES, real_rate, through_codecs
from restore.evaluate.score import best_lanczos, from_file, registered
from restore.evaluate.sets import read_clip
from restore.evaluate.subjects import luma_of, restored
from restore.inspect.inspection import inspect_source
from restore.metrics.fidelity import psnr
from restore.pipeline import PipelineSpec, find_pipeline, read_pipeline

CPU = torch.device("cpu")
KINDS = ("near_clean", *CODEC_RECIPES)
LEAST_STEP = 4.0
"""8-bit codes: the quantiser step that doublings count from; bits count from one a sample."""


@dataclass(frozen=True)
class Row:
    """One clip that went through one recipe."""

    clip: str
    recipe: str
    rate: float
    """Real kb/s of the last generation, as of 352x288 at 25 frames/s."""
    step: float
    """Median quantiser step, 8-bit codes."""
    bits: float
    """A sample of luma."""
    lanczos: float
    gain: float


@dataclass(frozen=True)
class Line:
    """gain = constant + each * doublings."""

    constant: float
    each: float
    error: float
    """Root mean square where the clip in question was left out of the fit, dB."""


def measure(path: Path, recipe: str, spec: PipelineSpec, frames: int, threads: int) -> Row:
    codes = read_clip(path, frames, 32).codes
    clean = torch.from_numpy(codes)[:, None]
    with tempfile.TemporaryDirectory() as folder:
        file, done = through_codecs(codes, RECIPES[recipe], 2, Path(folder))
        seen = inspect_source([file])
        given = from_file(file)
        lanczos = psnr(best_lanczos(luma_of(given), given.format, 2, clean), clean)
        result = restored(given, spec, CPU, threads)
    if len(result) != len(clean) or not registered(result, clean):
        raise SystemExit(f"{path.stem}, {recipe}: frames lost or picture moved")
    if seen.blocks.step is None or seen.bits is None:
        raise SystemExit(f"{path.stem}, {recipe}: inspect sees no quantiser")
    gain = psnr(result, clean) - lanczos
    return Row(path.stem, RECIPES[recipe].title, real_rate(done), seen.blocks.step, seen.bits, lanczos, gain)  # fmt: skip


def fit(rows: Sequence[Row], doublings: Sequence[float]) -> Line:
    """Least squares, and its error over clips it has not seen."""
    x, gains = np.array(doublings), np.array([r.gain for r in rows])
    each, constant = np.polyfit(x, gains, 1)
    wrong: list[float] = []
    for clip in {r.clip for r in rows}:
        here = np.array([r.clip == clip for r in rows])
        slope, base = np.polyfit(x[~here], gains[~here], 1)
        wrong += list(gains[here] - base - slope * x[here])
    return Line(float(constant), float(each), math.sqrt(mean(e * e for e in wrong)))


def report(rows: Sequence[Row], command: str, pipeline: str) -> str:
    steps = [r.step for r in rows]
    by_step = fit(rows, [math.log2(max(s, LEAST_STEP) / LEAST_STEP) for s in steps])
    bits = [r.bits for r in rows]
    by_bits = fit(rows, [math.log2(b) for b in bits])
    lines = ["# Quality on films of known truth", "", f"`{pipeline}`. Made by `{command}`.", ""]
    lines += (__doc__ or "").split("\n\n")[2].splitlines()
    lines += ["", "| clip | recipe | real kb/s | step | bits a sample | Lanczos dB | gain dB |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    lines += [
        f"| {r.clip} | {r.recipe} | {r.rate:.0f} | {r.step:.0f} | {r.bits:.2f} | {r.lanczos:.2f} | {r.gain:+.2f} |"
        for r in rows
    ]
    lines += ["", "| recipe | mean gain dB | worst clip |", "|---|---|---|"]
    for recipe in dict.fromkeys(r.recipe for r in rows):
        part = [r for r in rows if r.recipe == recipe]
        worst = min(part, key=lambda r: r.gain)
        lines.append(f"| {recipe} | {mean(r.gain for r in part):+.2f} | {worst.clip} {worst.gain:+.2f} |")  # fmt: skip
    lines += [
        "",
        f"Gains spread by {pstdev(r.gain for r in rows):.2f} dB. Lines through them, and their error on clips that were left out of the fit:",
        "",
        f"- {by_step.constant:+.2f} dB {by_step.each:+.3f} a doubling of the step above {LEAST_STEP:.0f} codes (steps of {min(steps):.0f} to {max(steps):.0f}): {by_step.error:.2f} dB;",
        f"- {by_bits.constant:+.2f} dB {by_bits.each:+.3f} a doubling of one bit a sample ({min(bits):.2f} to {max(bits):.2f}): {by_bits.error:.2f} dB.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path, help="folder of clean clips")
    parser.add_argument("--pipeline", default="bw_film_x2")
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--recipes", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", type=Path, help="Markdown report; JSON beside it")
    options = parser.parse_args()
    spec = read_pipeline(find_pipeline(options.pipeline))
    rows: list[Row] = []
    for path in sorted(options.video.iterdir()):
        for recipe in options.recipes:
            rows.append(measure(path, recipe, spec, options.frames, options.threads))
            print(rows[-1], flush=True)
    command = f"python benchmarks/expected_gain.py DATA/video {shlex.join(sys.argv[2:])}"
    text = report(rows, command, options.pipeline)
    print(text[text.rfind("| recipe |") :])
    if options.write:
        options.write.write_text(text)
        options.write.with_suffix(".json").write_text(
            json.dumps([asdict(r) for r in rows], indent=1)
        )


if __name__ == "__main__":
    main()
