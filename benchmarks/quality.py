"""What the pipeline gains over Lanczos on films of known truth, before any lossy encode of the result.

    python benchmarks/quality.py DATA/video [--pipeline bw_film_x2] [--frames 21] [--ablate] [--write docs/quality.md]

Each clip's luma is halved (bicubic, anti-aliased, centres aligned) and really encoded and decoded; rates are those
of 352x288 at 25 frames/s and scale with the number of pixels. The pipeline then runs as in `restore run`: decoded by
restore.io with the quantisers exported, facts measured by the index. Scores: Y, 8-bit limited-range codes, 8 px
border left out, against the better of our Lanczos and FFmpeg's (accurate_rnd).
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from restore.evaluate.intervals import Mean, mean
from restore.evaluate.recipes import RECIPES as ALL_RECIPES
from restore.evaluate.recipes import real_rate, through_codecs
from restore.evaluate.score import best_lanczos, from_file, registered
from restore.evaluate.sets import read_clip
from restore.evaluate.subjects import luma_of, restored
from restore.metrics.fidelity import psnr, psnr_b, ssim
from restore.pipeline import PipelineSpec, find_pipeline, read_pipeline

CPU = torch.device("cpu")
RECIPES = {r.title: r for r in ALL_RECIPES.values() if r.first is not None}
REQUIRED = ("VCD 1150k", "VCD -> RV20 450k", "VCD -> RV20 250k")


@dataclass(frozen=True)
class Row:
    clip: str
    recipe: str
    rate: float
    """Real kb/s of the last generation, as of 352x288 at 25 frames/s."""
    variant: str
    lanczos: float
    gain: float
    ssim_gain: float
    psnr_b_gain: float


def variants(spec: PipelineSpec, ablate: bool) -> dict[str, PipelineSpec]:
    """The whole chain, and with `ablate` each stage left out and the upscaler alone."""
    found = {"chain": spec}
    if ablate:
        for stage in spec.stages:
            if stage.kind != "upscale":
                rest = tuple(s for s in spec.stages if s is not stage)
                found[f"without {stage.kind}"] = replace(spec, stages=rest)
        alone = tuple(s for s in spec.stages if s.kind == "upscale")
        found["upscale alone"] = replace(spec, stages=alone)
    return found


def report(rows: list[Row], command: str) -> str:
    lines = [
        "# Quality on films of known truth",
        "",
        f"Made by `{command}`.",
        "",
        *(line.strip() for line in (__doc__ or "").split("\n\n")[2].splitlines()),
        "",
        "Gains are in dB of Y-PSNR over Lanczos, with SSIM and PSNR-B gains where stated. Clips with fewer than 21",
        "frames are marked *.",
    ]
    for variant in dict.fromkeys(r.variant for r in rows):
        mine = [r for r in rows if r.variant == variant]
        lines += [
            "",
            f"## {variant}",
            "",
            "| clip | recipe | real kb/s | Lanczos dB | gain dB | SSIM | PSNR-B |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {r.clip} | {r.recipe} | {r.rate:.0f} | {r.lanczos:.2f} | {r.gain:+.2f} | {r.ssim_gain:+.4f} | {r.psnr_b_gain:+.2f} |"
            for r in mine
        ]
        lines += ["", "| recipe | mean gain dB | worst clip |", "|---|---|---|"]
        for recipe in dict.fromkeys(r.recipe for r in mine):
            part = [r for r in mine if r.recipe == recipe]
            worst = min(part, key=lambda r: r.gain)
            lines.append(
                f"| {recipe} | {statistics.mean(r.gain for r in part):+.2f} | {worst.clip} {worst.gain:+.2f} |"
            )
        gains = [r.gain for r in mine if r.recipe in REQUIRED]
        if gains:
            by_clip = [
                statistics.mean(r.gain for r in mine if r.clip == clip and r.recipe in REQUIRED)
                for clip in dict.fromkeys(r.clip for r in mine)
            ]
            found = mean(by_clip)
            worst = min((r for r in mine if r.recipe in REQUIRED), key=lambda r: r.gain)
            lines += [
                "",
                f"Mean over {', '.join(REQUIRED)}: **{found.value:+.3f} dB** (95 % interval over clips {_bounds(found)}"
                f"); worst clip {worst.clip}, {worst.recipe}: {worst.gain:+.3f} dB.",
            ]
    return "\n".join(lines) + "\n"


def _bounds(found: Mean) -> str:
    if found.low is None or found.high is None:
        return "unknown: one clip"
    return f"{found.low:+.3f} to {found.high:+.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path, help="folder of clean clips")
    parser.add_argument("--pipeline", default="bw_film_x2")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--frames", type=int, default=21)
    parser.add_argument("--clips", nargs="*", default=["vid4_", "svt_", "foreman"])
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--ablate", action="store_true", help="also without each stage")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", type=Path, help="Markdown report; JSON beside it")
    options = parser.parse_args()
    spec = read_pipeline(find_pipeline(options.pipeline), options.set)
    rows: list[Row] = []
    paths = [p for p in sorted(options.video.iterdir()) if p.name.startswith(tuple(options.clips))]
    for path in paths:
        clean_codes = read_clip(path, options.frames, 32).codes
        clean = torch.from_numpy(clean_codes)[:, None]
        name = path.stem + ("*" if len(clean) < 21 else "")
        for recipe in options.recipes:
            with tempfile.TemporaryDirectory() as folder:
                file, done = through_codecs(clean_codes, RECIPES[recipe], 2, Path(folder))
                given = from_file(file)
                lanczos = best_lanczos(luma_of(given), given.format, 2, clean)
                base = psnr(lanczos, clean), ssim(lanczos, clean), psnr_b(lanczos, clean, 16)
                for variant, chain in variants(spec, options.ablate).items():
                    result = restored(given, chain, CPU, options.threads)
                    if len(result) != len(clean) or not registered(result, clean):
                        raise SystemExit(f"{name}, {recipe}: frames lost or picture moved")
                    gains = (
                        psnr(result, clean) - base[0],
                        ssim(result, clean) - base[1],
                        psnr_b(result, clean, 16) - base[2],
                    )
                    rows.append(Row(name, recipe, real_rate(done), variant, base[0], *gains))
                    print(
                        f"{name:28s} {recipe:18s} {real_rate(done):6.0f}k {variant:22s} {base[0]:6.2f} dB {gains[0]:+.3f}",
                        flush=True,
                    )
    command = "python benchmarks/quality.py DATA/video" + "".join(
        f" {shlex.quote(a)}" for a in sys.argv[2:]
    )
    text = report(rows, command)
    print(text[text.rfind("| recipe |") :])
    if options.write:
        options.write.write_text(text)
        options.write.with_suffix(".json").write_text(
            json.dumps([vars(r) if hasattr(r, "__dict__") else r.__dict__ for r in rows], indent=1)
        )


if __name__ == "__main__":
    main()
