"""Old files made from clean ones: each clip through a recipe's chain, written as real files to try a restoration on.

    <stem>.mpg|.rm|.avi|.mkv   the last generation as its encoder wrote it (FFV1 where the plan has no codec)
    <stem>.truth.mkv           the clean frames it should become, aligned, FFV1
    <stem>.json                what was done: plan, FFmpeg's arguments, bytes, real bits per pixel, PSNR

All are luma with neutral chroma at 25 frames/s, as the training pairs are.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from restore import planes
from restore.errors import TrainError
from restore.train.codecs import Codes, Step, encode, read_clip
from restore.train.degrade import Pair, degrade, psnr
from restore.train.files import write_whole
from restore.train.plan import Category, draw
from restore.train.recipe import Recipe
from restore.train.sources import CLIPS

LOSSLESS = Step("ffv1", {"level": 3, "g": 1})
BORDER = 8
"""High-resolution pixels left out of `lanczos_psnr`."""


def degrade_files(
    clean: Path,
    out: Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    category: Category | None = None,
    shrink: float = 1.0,
    frames: int = 250,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """One clip, or every clip of a folder, through the chain of `recipe`: the records, as written.

    The plan and every random number depend on `seed` and the clip's name alone. `category` forces the codec part;
    `shrink` scales the clip before it is taken for truth; `frames` limits its length, since a sequence is held in
    memory. Raises TrainError: no clip, too small a clip, files that are already there, an encoder that fails.
    """
    clips = _clips(clean)
    if out.exists() and not out.is_dir():
        raise TrainError(f"{out}: expected a folder, found a file; choose another name")
    if not overwrite:
        there = [path for clip in clips for path in sorted(out.glob(f"{clip.stem}.*"))]
        if there:
            raise TrainError(
                f"{there[0]}: is already there; choose another folder or give --overwrite"
            )
    records = []
    for clip in clips:
        rng = np.random.default_rng([seed, zlib.crc32(clip.name.encode())])
        scale = recipe.network.scale
        truth = _cropped(clip, read_clip(clip, shrink, frames), 16 * scale)
        plan = draw(recipe.degrade, rng, category)
        with tempfile.TemporaryDirectory() as folder:
            pair = degrade(truth.astype(np.float32), plan, scale, rng, Path(folder))
            facts = {"source": clip.name, "seed": seed, "shrink": shrink, "scale": scale}
            record = _write(pair, facts, clip.stem, out, Path(folder))
        records.append(record)
        codecs = " -> ".join(step["codec"] for step in record["steps"]) or "no codec"
        progress(
            f"{record['degraded']}: {codecs}, {record['bits_per_pixel']:.3f} bits/pixel, "
            f"{record['input_psnr']:.2f} dB; {recipe.network.base} reaches {record['lanczos_psnr']:.2f} dB of the truth"
        )
    return records


def _clips(clean: Path) -> list[Path]:
    if clean.is_file():
        return [clean]
    found = sorted(p for p in clean.glob("*") if p.suffix.lower() in CLIPS)
    if not found:
        kinds = ", ".join(sorted(CLIPS))
        raise TrainError(f"{clean}: expected a video or a folder of videos ({kinds}), found none")
    twice = {p.stem for p in found if sum(q.stem == p.stem for q in found) > 1}
    if twice:
        raise TrainError(f"{clean}: {min(twice)!r} is the name of two videos; rename one of them")
    return found


def _cropped(path: Path, luma: Codes, multiple: int) -> Codes:
    """The middle of each frame, in whole macroblocks of the low resolution."""
    height, width = (n // multiple * multiple for n in luma.shape[1:])
    if min(height, width) < 2 * multiple:
        raise TrainError(
            f"{path}: expected at least {2 * multiple}x{2 * multiple} pixels, got "
            f"{luma.shape[2]}x{luma.shape[1]}"
        )
    y, x = (luma.shape[1] - height) // 2, (luma.shape[2] - width) // 2
    return luma[:, y : y + height, x : x + width]


def _write(pair: Pair, facts: dict[str, Any], stem: str, out: Path, folder: Path) -> dict[str, Any]:
    """The three files; the record last, so that its presence says that the others are whole."""
    truth = folder / "truth.mkv"
    encode(pair.truth, LOSSLESS, truth)
    stream, suffix = pair.stream, pair.suffix
    if not stream:
        encode(pair.decoded, LOSSLESS, folder / "degraded.mkv")
        stream, suffix = (folder / "degraded.mkv").read_bytes(), LOSSLESS.suffix
    count, height, width = pair.decoded.shape
    record = (
        facts
        | pair.record
        | {
            "levels": list(pair.record["levels"]),
            "phase": list(pair.record["phase"]),
            "degraded": stem + suffix,
            "truth": f"{stem}.truth.mkv",
            "frames": count,
            "size": [width, height],
            "bytes": len(stream),
            "bits_per_pixel": round(len(stream) * 8 / pair.decoded.size, 5),
            "lanczos_psnr": round(lanczos_psnr(pair), 3),
        }
    )
    write_whole(out / record["degraded"], stream)
    write_whole(out / record["truth"], truth.read_bytes())
    write_whole(out / f"{stem}.json", (json.dumps(record, indent=1) + "\n").encode())
    return record


def lanczos_psnr(pair: Pair) -> float:
    """Y-PSNR in dB of the resampled input against the truth, borders left out: what a restoration has to beat."""
    inner = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    up = []
    for frame in pair.decoded:
        luma = torch.from_numpy(frame.astype(np.float32))[None, None]
        big = planes.resample(luma, (pair.truth.shape[1], pair.truth.shape[2]))[0, 0]
        up.append(big.round().clamp(0, 255).to(torch.uint8).numpy()[inner])
    return psnr(np.stack(up), pair.truth[:, inner[0], inner[1]])
