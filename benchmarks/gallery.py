"""Before and after, on films whose pictures may be shown: the crops in docs/gallery.

    python benchmarks/gallery.py DATA/real_film [--pipeline bw_film_x2] [--only NAME ...] [--write docs/gallery]

Left what Lanczos makes of the decoded film at twice its size, right what the pipeline makes of it; luma, as it comes. All films
are in the public domain. Two are shown again after a real encode, as a VCD or a RealMedia file of them would be.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from restore.evaluate.recipes import RECIPES, through_codecs
from restore.evaluate.score import from_file
from restore.evaluate.subjects import Input, lanczos, luma_of, restored
from restore.pipeline import PipelineSpec, find_pipeline, read_pipeline
from restore.train.codecs import Codes
from restore.video import FrameBatch

SCALE = 2
WIDTH, HEIGHT = 160, 120
"""Of a crop, in samples of the film."""
AROUND = 4
"""Frames before and after the one shown that the pipeline is given."""


@dataclass(frozen=True)
class Shot:
    film: str
    """The beginning of a file's name."""
    frame: int
    left: int
    top: int
    recipe: str | None = None
    """Encoded once more by this recipe; None: as it is."""


SHOTS = {
    "market_street": Shot("pd1906", 18, 310, 30),
    "market_street_vcd": Shot("pd1906", 18, 310, 30, "vcd"),
    "market_street_rv20": Shot("pd1906", 18, 310, 30, "rv20_450"),
    "train_robbery": Shot("pd1903", 18, 220, 200),
    "driver": Shot("pd1950s", 10, 90, 10),
    "sign": Shot("pd1950s", 100, 55, 130),
    "sign_vcd": Shot("pd1950s", 100, 55, 130, "mpeg1_600"),
    "chaplin": Shot("pd1910s", 76, 280, 30),
}


def part(given: Input, first: int, count: int) -> Input:
    """So many frames of a film, from number `first` on, as a film of its own."""

    def batches(quantisers: bool) -> Iterator[FrameBatch]:
        frames = (b[i : i + 1] for b in given.batches(quantisers) for i in range(len(b)))
        for n, frame in enumerate(islice(frames, first, first + count)):
            yield replace(frame, frames=(replace(frame.frames[0], index=n),))

    return Input(given.format, batches)


def whole(given: Input) -> Codes:
    """(T, H, W), cut to whole macroblocks."""
    codes: Codes = luma_of(given)[:, 0].numpy()
    height, width = (n // 16 * 16 for n in codes.shape[1:])
    return np.ascontiguousarray(codes[:, :height, :width])


def both(given: Input, shown: int, spec: PipelineSpec) -> tuple[Tensor, Tensor]:
    """Lanczos and the pipeline, (H, W) 8-bit limited-range codes, of frame number `shown`."""
    plain = lanczos(luma_of(given)[shown : shown + 1], given.format, SCALE)[0, 0]
    return plain, restored(given, spec, torch.device("cpu"), 1)[shown, 0]


def picture(shot: Shot, film: Path, spec: PipelineSpec) -> Codes:
    """(2 * HEIGHT, 4 * WIDTH), full range: before on the left, after on the right."""
    first = max(0, shot.frame - AROUND)
    given, shown = part(from_file(film), first, 2 * AROUND + 1), shot.frame - first
    if shot.recipe is None:
        return beside(*both(given, shown, spec), shot)
    with tempfile.TemporaryDirectory() as folder:
        path, _ = through_codecs(whole(given), RECIPES[shot.recipe], 1, Path(folder))
        return beside(*both(from_file(path), shown, spec), shot)


def beside(before: Tensor, after: Tensor, shot: Shot) -> Codes:
    rows = slice(SCALE * shot.top, SCALE * (shot.top + HEIGHT))
    columns = slice(SCALE * shot.left, SCALE * (shot.left + WIDTH))
    joined = torch.cat((before[rows, columns], after[rows, columns]), 1).float()
    full = ((joined - 16) * (255 / 219)).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(full.numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("films", type=Path, help="folder of films in the public domain")
    parser.add_argument("--pipeline", default="bw_film_x2")
    parser.add_argument("--only", nargs="*", default=list(SHOTS), choices=list(SHOTS))
    parser.add_argument("--write", type=Path, default=Path("docs/gallery"))
    options = parser.parse_args()
    spec = read_pipeline(find_pipeline(options.pipeline))
    options.write.mkdir(exist_ok=True)
    for name in options.only:
        shot = SHOTS[name]
        films = sorted(options.films.glob(f"{shot.film}*"))
        if not films:
            raise SystemExit(f"{options.films}: no film whose name begins with {shot.film}")
        target = options.write / f"{name}.png"
        cv2.imwrite(str(target), picture(shot, films[0], spec), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        print(f"{target}: {target.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
