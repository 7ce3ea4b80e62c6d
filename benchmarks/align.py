"""What averaging over neighbours is worth, and how steady it leaves the film, where the truth is known.

    python benchmarks/align.py DATA/video [--frames 9] [--skip 0] [--scales 1 2] [--write docs/motion.md]

At scale 1 the stage `align` alone is held against the decoded picture; at scale 2 a pipeline, with and without `align`, against
the better of our Lanczos and FFmpeg's. Every codec step is a real encode and decode (restore.evaluate.recipes); *clean* is
the truth itself, at scale 2 made smaller by bicubic, without a bitstream that would name a quantiser. Y-PSNR, Ewarp and flicker
are those of `restore evaluate`. With --write the tables are put between their marks, and every figure into a JSON file beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from motion import placed
from torch import Tensor

from restore.evaluate.imresize import imresize, to_uint8
from restore.evaluate.recipes import CODEC_RECIPES, RECIPES, through_codecs
from restore.evaluate.score import best_lanczos, from_file
from restore.evaluate.sets import read_clip
from restore.evaluate.subjects import Input, luma_of, network_chain, restored
from restore.metrics.fidelity import BORDER, psnr
from restore.metrics.temporal import steadiness
from restore.pipeline import PipelineSpec, StageSpec, find_pipeline, read_pipeline
from restore.train.codecs import Step, encode

CPU = torch.device("cpu")
CLEAN = "clean"
ALL = (CLEAN, "near_clean", *CODEC_RECIPES)
TITLES = {CLEAN: "clean", **{name: recipe.title for name, recipe in RECIPES.items()}}
BASE = {1: "input", 2: "lanczos"}
"""What a scale's methods must beat."""


@dataclass(frozen=True)
class Row:
    """One method on one clip that went through one recipe."""

    clip: str
    recipe: str
    scale: int
    method: str
    """'input' and 'align' at scale 1; 'lanczos', 'without align' and the pipeline's name at scale 2; 'truth'."""
    psnr: float
    """dB; 100 for the truth."""
    ewarp: float
    flicker: float


def align_alone(settings: dict[str, int | float]) -> PipelineSpec:
    chain = network_chain("align", 1)
    return replace(chain, stages=(StageSpec("align", dict(settings), "align"),))


def degraded(codes: Tensor, recipe: str, scale: int, folder: Path) -> Input:
    """(T, 1, H, W) after a recipe."""
    frames = codes[:, 0].numpy()
    if recipe == CLEAN:
        if scale > 1:
            frames = np.stack([to_uint8(imresize(f.astype(np.float64), Fraction(1, scale))) for f in frames])  # fmt: skip
        encode(frames, Step("ffv1"), folder / "clean.mkv")
        return from_file(folder / "clean.mkv")
    return from_file(through_codecs(frames, RECIPES[recipe], scale, folder)[0])


def results(
    given: Input, truth: Tensor, scale: int, chains: dict[str, PipelineSpec]
) -> Iterator[tuple[str, Tensor]]:
    low = luma_of(given)
    yield BASE[scale], low if scale == 1 else best_lanczos(low, given.format, scale, truth)
    for name, chain in chains.items():
        yield name, restored(given, chain, CPU, 1)


def rows_of(path: Path, scale: int, options: argparse.Namespace) -> Iterator[Row]:
    truth = torch.from_numpy(read_clip(path, options.frames, 16 * scale).codes)[:, None]
    size = f"{truth.shape[-1] // scale}x{truth.shape[-2] // scale}"
    clip = f"{' '.join(path.stem.split('_')[:2])}, {size}"
    seen = slice(options.skip, None)

    def row(recipe: str, method: str, found: Tensor) -> Row:
        steady = steadiness(found[seen], truth[seen], BORDER)
        value = psnr(found[seen], truth[seen], BORDER)
        ewarp, flicker = round(steady.warping_error, 7), round(steady.flicker, 3)
        return Row(clip, recipe, scale, method, round(value, 3), ewarp, flicker)

    own = row("", "truth", truth)
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory() as folder:
            given = degraded(truth, recipe, scale, Path(folder))
            for method, found in results(given, truth, scale, chains(scale, options.pipeline)):
                yield row(recipe, method, found)
        yield replace(own, recipe=recipe)


def chains(scale: int, pipeline: str) -> dict[str, PipelineSpec]:
    if scale == 1:
        return {"align": align_alone({})}
    spec = read_pipeline(find_pipeline(pipeline))
    without = replace(spec, stages=tuple(s for s in spec.stages if s.kind != "align"))
    return {"without align": without, spec.name: spec}


def gains(rows: Sequence[Row], scale: int, method: str) -> list[str]:
    """A row for each clip, a column for each recipe. At scale 1 *clean* is the truth: what is left of it is told in dB."""
    found = {(r.clip, r.recipe, r.method): r.psnr for r in rows if r.scale == scale}
    recipes = list(dict.fromkeys(recipe for _, recipe, _ in found))
    clips = list(dict.fromkeys(clip for clip, _, _ in found))

    def gain(clip: str, recipe: str, what: str) -> float:
        over = 0.0 if scale == 1 and recipe == CLEAN else found[clip, recipe, BASE[scale]]
        return found[clip, recipe, what] - over

    def cells(values: Sequence[float]) -> list[str]:
        whole = [scale == 1 and r == CLEAN for r in recipes]
        return [f"{v:.1f} dB" if w else f"{v:+.2f}" for v, w in zip(values, whole, strict=True)]

    lines = _head("clip", [TITLES[r] for r in recipes])
    lines += [_line(c, cells([gain(c, r, method) for r in recipes])) for c in clips]
    for what in (method, *(m for m in ("without align",) if scale > 1)):
        means = [statistics.mean(gain(c, r, what) for c in clips) for r in recipes]
        lines.append(_line("mean" if what == method else f"mean {what}", cells(means)))
    coded = [r for r in recipes if r in CODEC_RECIPES]
    over = [(gain(c, r, method), c, TITLES[r]) for c in clips for r in recipes if r != CLEAN]
    if coded:
        mean = statistics.mean(gain(c, r, method) for c in clips for r in coded)
        lines += ["", f"Mean over the codecs at their rates {mean:+.3f} dB."]
    worst = min(over)
    return [*lines, f"Worst: {worst[1]}, {worst[2]}, {worst[0]:+.3f} dB."]


def steadiness_table(rows: Sequence[Row]) -> list[str]:
    """Means over the clips: Ewarp x 1e6, flicker in codes."""
    lines: list[str] = []
    for scale in dict.fromkeys(r.scale for r in rows):
        mine = [r for r in rows if r.scale == scale]
        recipes = list(dict.fromkeys(r.recipe for r in mine))
        lines += [*([""] if lines else []), *_head(f"x{scale}", [TITLES[r] for r in recipes])]
        for measure, factor, digits in (("ewarp", 1e6, 0), ("flicker", 1, 2)):
            for method in dict.fromkeys(r.method for r in mine):
                cells = [
                    factor * statistics.mean(getattr(r, measure) for r in mine if (r.recipe, r.method) == (recipe, method))
                    for recipe in recipes
                ]  # fmt: skip
                if measure == "ewarp" or method != "truth":
                    name = {"ewarp": "Ewarp", "flicker": "flicker"}[measure]
                    lines.append(_line(f"{name}, {method}", [f"{c:.{digits}f}" for c in cells]))
    return lines


def _head(first: str, rest: Sequence[str]) -> list[str]:
    return [_line(first, rest), "|---" * (len(rest) + 1) + "|"]


def _line(first: str, rest: Sequence[str]) -> str:
    return f"| {first} | " + " | ".join(rest) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("video", type=Path, help="folder of clean clips")
    parser.add_argument("--clips", nargs="*", default=[""], help="beginnings of file names")
    parser.add_argument("--recipes", nargs="*", default=list(ALL), choices=ALL)
    parser.add_argument("--scales", nargs="*", type=int, default=[1, 2], choices=(1, 2))
    parser.add_argument("--pipeline", default="bw_film_x2", help="of scale 2")
    parser.add_argument("--frames", type=int, default=9)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--write", type=Path, help="Markdown; what stands between its marks")
    options = parser.parse_args()
    rows: list[Row] = []
    for scale in options.scales:
        for path in sorted(options.video.iterdir()):
            if path.name.startswith(tuple(options.clips)):
                for row in rows_of(path, scale, options):
                    rows.append(row)
                    print(f"x{scale} {row.clip:28s} {row.recipe:10s} {row.method:14s} {row.psnr:7.3f} "
                          f"{1e6 * row.ewarp:7.1f} {row.flicker:6.3f}", flush=True)  # fmt: skip
    tables = {"steady": steadiness_table(rows)}
    if 1 in options.scales:
        tables["align"] = gains(rows, 1, "align")
    if 2 in options.scales:
        tables["chain"] = gains(rows, 2, read_pipeline(find_pipeline(options.pipeline)).name)
    for lines in tables.values():
        print("", *lines, sep="\n")
    if options.write:
        text = options.write.read_text("utf-8")
        for name, lines in tables.items():
            text = placed(text, name, lines)
        options.write.write_text(text, "utf-8")
        options.write.with_suffix(".json").write_text(
            json.dumps([asdict(r) for r in rows], indent=1) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
