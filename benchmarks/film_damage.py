"""What is left of drawn film damage: clean clips, damaged by a seeded generator, through the stages that repair it.

    python benchmarks/film_damage.py flicker CLIP [CLIP ...] [--seed N] [--frames N] [--height N] [--sheet DIR]

Of each clip: standard deviation, in 8-bit codes, of the change of mean luma from frame to frame that the clean clip does not
have (its local kind: of 48 cells), before and after; luma PSNR in dB; both with the slow part of the drawn curve known exactly; what the
same stage changes of the clean clip; frames per second of measuring and of rendering, on one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from restore import flicker
from restore.color import ColorInfo, Matrix, Primaries, Transfer
from restore.evaluate.subjects import Input, restored
from restore.io.encode import OutputOptions
from restore.io.probe import InputOptions
from restore.motion import MotionOptions
from restore.pipeline import PipelineSpec, StageSpec
from restore.scenes import SceneOptions
from restore.video import FrameBatch, FrameInfo, VideoFormat

Film = NDArray[np.uint8]
"""(T, H, W) luma, 8-bit codes of limited range."""
Real = NDArray[np.float64]
COLOR = ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, False)
BLACK = 16.0
CELLS = (6, 8)


def read_luma(path: Path, frames: int, height: int) -> Film:
    """The first frames, no higher than `height` lines."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            luma = frame.reformat(format="yuv420p").to_ndarray()[: frame.height, : frame.width]
            if frame.height > height:
                width = round(frame.width * height / frame.height / 2) * 2
                luma = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA)
            found.append(np.asarray(luma, np.uint8))
            if len(found) == frames:
                break
    return np.stack(found)


@dataclass(frozen=True)
class Drawn:
    """Flicker of each frame."""

    gain: Real
    """(T, H, W) natural logarithms."""
    offset: Real
    """(T,) codes."""

    def apply(self, film: NDArray[np.number]) -> Real:
        field = np.exp(self.gain)
        return (film - BLACK) * field + BLACK + self.offset[:, None, None]

    def takes(self, film: NDArray[np.number]) -> Real:
        return (film - BLACK - self.offset[:, None, None]) * np.exp(-self.gain) + BLACK


def draw_flicker(shape: tuple[int, int, int], seed: int) -> Drawn:
    """Gain of 4 %, 2.5 % more that differ over the picture, an offset of 2 codes: standard deviations of Gaussian noise of
    which each frame remembers 0.35 of the last."""
    rng, (count, height, width) = np.random.default_rng(seed), shape

    def noise(*size: int) -> Real:
        found = rng.standard_normal((count, *size))
        for t in range(1, count):
            found[t] = 0.35 * found[t - 1] + np.sqrt(1 - 0.35**2) * found[t]
        return found

    whole, offset, local = 0.04 * noise(), 2 * noise(), 0.025 * noise(3, 4)
    spread = [cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in local]
    return Drawn(np.stack(spread) + whole[:, None, None], offset)


def fast_part(drawn: Drawn) -> Drawn:
    """What a perfect tool can know: the drawn curve less its slow part."""
    count = len(drawn.offset)
    weights = np.stack([flicker._slow(count, t, flicker.SIGMA) for t in range(count)])
    slow = np.tensordot(weights, drawn.gain, 1)
    return Drawn(drawn.gain - slow, drawn.offset - weights @ drawn.offset)


def to_codes(film: Real) -> Film:
    return np.clip(np.rint(film), 0, 255).astype(np.uint8)


def deflickered(film: Film, strength: str | float) -> tuple[Film, float]:
    """The film by the stage alone, and the seconds that took."""
    fmt = VideoFormat(film.shape[2], film.shape[1], None, 8, Fraction(1, 25), COLOR)
    infos = tuple(FrameInfo(i, i, 1) for i in range(len(film)))
    whole = FrameBatch((torch.from_numpy(film)[:, None],), infos, fmt)

    def batches(_: bool) -> Iterator[FrameBatch]:
        return (whole[i : i + 8] for i in range(0, len(infos), 8))

    stage = StageSpec("deflicker", {"strength": strength}, "deflicker")
    # Each clip is one scene: what flicker does to the detector of cuts is not the question.
    scenes = SceneOptions(detector="none")
    tables = (InputOptions(), scenes, MotionOptions(), OutputOptions())
    spec = PipelineSpec("deflicker", (stage,), *tables)
    began = time.monotonic()
    made = restored(Input(fmt, batches), spec, torch.device("cpu"), 1)
    return made[:, 0].numpy(), time.monotonic() - began


def unrest(film: NDArray[np.number], clean: Film) -> float:
    """Codes: of the change of mean luma."""
    return float(np.diff((film - clean.astype(np.float64)).mean((1, 2))).std())


def local_unrest(film: NDArray[np.number], clean: Film) -> float:
    """Codes: of the change of the means of cells, less that of the whole; root mean square."""
    size = (CELLS[1], CELLS[0])
    error = [
        cv2.resize(f - c.astype(np.float64), size, interpolation=cv2.INTER_AREA)
        for f, c in zip(film, clean, strict=True)
    ]
    cells = np.stack(error)
    steps = np.diff(cells - cells.mean((1, 2), keepdims=True), axis=0)
    return float(np.sqrt((steps**2).mean()))


def psnr(film: NDArray[np.number], clean: Film) -> float:
    return float(10 * np.log10(255**2 / ((film - clean.astype(np.float64)) ** 2).mean()))


def sheet(path: Path, *films: NDArray[np.number]) -> None:
    """Eight consecutive frames of each, one film under the other."""
    rows = []
    for film in films:
        start = max(0, len(film) // 2 - 4)
        frames = [cv2.resize(np.asarray(f, np.uint8), (240, 160)) for f in film[start : start + 8]]
        rows.append(np.hstack(frames))
    cv2.imwrite(str(path), np.vstack(rows))


def measure_flicker(args: argparse.Namespace) -> None:
    names = (
        "unrest",
        "after",
        "perfect",
        "local",
        "after",
        "PSNR",
        "after",
        "perfect",
        "clean",
        "fps",
    )
    print(f"{'clip':28}" + "".join(f"{n:>9}" for n in names))
    rows = []
    for number, path in enumerate(args.clips):
        clean = read_luma(path, args.frames, args.height)
        drawn = draw_flicker(clean.shape, args.seed + number)
        film = to_codes(drawn.apply(clean))
        done, seconds = deflickered(film, "auto")
        perfect = to_codes(fast_part(drawn).takes(film))
        untouched, _ = deflickered(clean, "auto")
        changed = float(np.abs(untouched.astype(np.float64) - clean).mean())
        row = [
            *(unrest(f, clean) for f in (film, done, perfect)),
            *(local_unrest(f, clean) for f in (film, done)),
            *(psnr(f, clean) for f in (film, done, perfect)),
            *(changed, len(film) / seconds),
        ]
        rows.append(row)
        print(f"{path.stem[:27]:28}" + "".join(f"{x:9.2f}" for x in row), flush=True)
        if args.sheet:
            sheet(args.sheet / f"{path.stem}.png", clean, film, done)
    print(f"{'mean':28}" + "".join(f"{x:9.2f}" for x in np.mean(rows, 0)))


def measure_films(args: argparse.Namespace) -> None:
    """Films as they are: no truth, so the change of mean luma beyond that of the frames around."""
    print(f"{'film':44}{'unrest':>9}{'after':>9}{'changed':>9}")
    for path in args.clips:
        film = read_luma(path, args.frames, args.height)
        done, _ = deflickered(film, "auto")
        found = [_second(f) for f in (film, done)]
        changed = np.abs(done.astype(np.float64) - film).mean()
        print(f"{path.stem[:43]:44}{found[0]:9.2f}{found[1]:9.2f}{changed:9.2f}", flush=True)
        if args.sheet:
            sheet(args.sheet / f"{path.stem}.png", film, done)


def _second(film: Film) -> float:
    """Robust standard deviation of the second difference of mean luma, over that of white noise of size 1."""
    bend = np.diff(film.astype(np.float64).mean((1, 2)), 2)
    return float(1.4826 * np.median(np.abs(bend)) / np.sqrt(6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("damage", choices=("flicker", "films"))
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--frames", type=int, default=56)
    parser.add_argument("--height", type=int, default=288)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    {"flicker": measure_flicker, "films": measure_films}[args.damage](args)


if __name__ == "__main__":
    main()
