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
import math
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch

from restore.index import Index, build_index
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.metrics.fidelity import psnr, psnr_b, ssim
from restore.pipeline import PipelineSpec, find_pipeline, read_pipeline
from restore.planes import resample, to_codes, to_nominal
from restore.run.feed import Feed
from restore.train.codecs import VCD_BUFFER_BITS, Codes, Generation, Step, encode
from restore.train.degrade import downscale
from restore.worker import Worker

CPU = torch.device("cpu")
CIF_RATE = 352 * 288 * 25


def mpeg1(kilobits: int) -> Step:
    rate = kilobits * 1000
    limits = {"b:v": rate, "maxrate": rate, "bufsize": VCD_BUFFER_BITS}
    return Step("mpeg1video", {**limits, "g": 15, "bf": 2})


RECIPES: dict[str, tuple[Step, int | None]] = {
    "VCD 1150k": (mpeg1(1150), None),
    "MPEG-1 600k": (mpeg1(600), None),
    "MPEG-1 350k": (mpeg1(350), None),
    "VCD -> RV20 450k": (mpeg1(1150), 450),
    "VCD -> RV20 250k": (mpeg1(1150), 250),
    "nearly clean": (Step("mpeg1video", {"q:v": 2, "g": 15, "bf": 2}), None),
}
"""First generation, and the real rate in kb/s of an RV20 second one."""

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


def truth(path: Path, frames: int) -> Codes:
    """Luma of the first frames, as limited-range codes, cropped to multiples of 32 around the centre."""
    source = probe(path, InputOptions())
    found: list[np.ndarray] = []
    for batch in decode(source, batch=4):
        luma = batch.planes[0]
        if batch.format.color.full_range:
            luma = to_codes(to_nominal(luma, 8, True, False), 8, False, False)
        found += list(luma[:, 0].numpy())
        if len(found) >= frames:
            break
    whole = np.stack(found[:frames])
    height, width = (n // 32 * 32 for n in whole.shape[1:])
    y, x = (whole.shape[1] - height) // 2, (whole.shape[2] - width) // 2
    return np.ascontiguousarray(whole[:, y : y + height, x : x + width])


def degrade(clean: Codes, first: Step, second: int | None, folder: Path) -> tuple[Path, Generation]:
    """The file that went through the codecs, and what its last generation was."""
    small = np.stack([downscale(f.astype(np.float32), 2, "bicubic") for f in clean])
    codes = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    path = folder / "first.mpg"
    done = encode(codes, first, path)
    if second is None:
        return path, done
    again = np.concatenate([b.planes[0][:, 0].numpy() for b in decode(probe(path, InputOptions()))])
    best: tuple[float, float] | None = None
    # One-pass rate control misses a short clip's target by half: find the quantiser that meets it.
    low, high = 2.0, 31.0
    for _ in range(7):
        q = round(math.sqrt(low * high), 2)
        rate = _rate(encode(again, Step("rv20", {"q:v": q, "g": 100}), folder / "try.rm"))
        miss = abs(math.log(rate / second))
        best = min(best or (miss, q), (miss, q))
        low, high = (q, high) if rate > second else (low, q)
    assert best is not None
    path = folder / "second.rm"
    return path, encode(again, Step("rv20", {"q:v": best[1], "g": 100}), path)


def _rate(done: Generation) -> float:
    return done.bits_per_pixel * CIF_RATE / 1000


def restored(path: Path, spec: PipelineSpec, threads: int) -> torch.Tensor:
    """(T, 1, H, W) luma codes after the chain, as `restore run` would hand them to a lossless encoder."""
    source = probe(path, InputOptions())
    spec = replace(spec, output=spec.output.model_copy(update={"dither": False}))
    index = Index(source.video.format.time_base)
    batches = decode(source, batch=4)
    segments = list(build_index(index, batches, spec.scenes, spec.needs(), spec.halo()[1]))
    feed = Feed(iter(decode(source, batch=4, quantisers=True)), index, spec.halo())
    worker = Worker(spec, source.video.format, spec.formats(source.video.format)[-1], CPU, threads)
    wanted = [b for s in segments for b in _inside(worker, feed, s)]
    return torch.cat([b.planes[0] for b in wanted])


def _inside(worker: Worker, feed: Feed, segment) -> Iterator:  # type: ignore[no-untyped-def,type-arg]
    for batch in worker(feed.frames_of(segment)):
        keep = [segment.first <= f.index < segment.stop for f in batch.frames]
        if any(keep):
            yield batch[keep.index(True) : keep.index(True) + sum(keep)]


def baselines(path: Path) -> list[torch.Tensor]:
    """Our Lanczos and FFmpeg's, as (T, 1, H, W) luma codes."""
    source = probe(path, InputOptions())
    luma = torch.cat([b.planes[0] for b in decode(source)])
    height, width = luma.shape[-2:]
    size = (2 * height, 2 * width)
    ours = torch.cat(
        [
            to_codes(resample(to_nominal(f, 8, False, False), size), 8, False, False)
            for f in luma.split(8)
        ]
    )
    raw = b"".join(f.numpy().tobytes() + b"\x80" * (height * width // 2) for f in luma[:, 0])
    scale = f"scale={size[1]}:{size[0]}:flags=lanczos+accurate_rnd+full_chroma_int"
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"),
        *("-s", f"{width}x{height}", "-i", "-", "-vf", scale, "-f", "rawvideo", "-"),
    ]
    data = subprocess.run(command, input=raw, capture_output=True, check=True).stdout
    frames = np.frombuffer(data, np.uint8).reshape(len(luma), -1)[:, : size[0] * size[1]]
    theirs = torch.from_numpy(frames.reshape(len(luma), 1, *size).copy())
    return [ours, theirs]


def registered(found: torch.Tensor, clean: torch.Tensor) -> bool:
    """Whether no shift by a sample brings the picture nearer to the truth."""
    errors = {
        (dy, dx): psnr(found.roll((dy, dx), (2, 3)), clean, 16)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    return max(errors, key=lambda k: errors[k]) == (0, 0)


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


def interval(values: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean, seeded."""
    draw = random.Random(0)
    means = sorted(statistics.mean(draw.choices(values, k=len(values))) for _ in range(2000))
    return means[50], means[1949]


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
            low, high = interval(gains)
            worst = min((r for r in mine if r.recipe in REQUIRED), key=lambda r: r.gain)
            lines += [
                "",
                f"Mean over {', '.join(REQUIRED)}: **{statistics.mean(gains):+.3f} dB** (95 % interval {low:+.3f} to "
                f"{high:+.3f}); worst clip {worst.clip}, {worst.recipe}: {worst.gain:+.3f} dB.",
            ]
    return "\n".join(lines) + "\n"


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
        clean_codes = truth(path, options.frames)
        clean = torch.from_numpy(clean_codes)[:, None]
        name = path.stem + ("*" if len(clean) < 21 else "")
        for recipe in options.recipes:
            with tempfile.TemporaryDirectory() as folder:
                file, done = degrade(clean_codes, *RECIPES[recipe], Path(folder))
                lanczos = max(baselines(file), key=lambda b: psnr(b, clean))
                base = psnr(lanczos, clean), ssim(lanczos, clean), psnr_b(lanczos, clean, 16)
                for variant, chain in variants(spec, options.ablate).items():
                    result = restored(file, chain, options.threads)
                    if len(result) != len(clean) or not registered(result, clean):
                        raise SystemExit(f"{name}, {recipe}: frames lost or picture moved")
                    gains = (
                        psnr(result, clean) - base[0],
                        ssim(result, clean) - base[1],
                        psnr_b(result, clean, 16) - base[2],
                    )
                    rows.append(Row(name, recipe, _rate(done), variant, base[0], *gains))
                    print(
                        f"{name:28s} {recipe:18s} {_rate(done):6.0f}k {variant:22s} {base[0]:6.2f} dB {gains[0]:+.3f}",
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
