"""The chain that turns a clean sequence into what an old file holds: a worn print, light blur, a down-scaling kernel, capture
sharpening, grain, duplicated frames, noise reduction, then real codecs, one or two generations, at times with a resize
between them.

`plan.draw` decides everything from a random generator; `degrade` carries it out. What was decided and what came out
(arguments, real bits per pixel, PSNR) is recorded with every sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import TrainError
from restore.train.codecs import (
    Codes,
    Generation,
    Step,
    decode,
    decode_colour,
    denoise,
    encode,
    jpeg,
)
from restore.train.colour import from_420, to_420
from restore.train.film import age
from restore.train.plan import Plan
from restore.train.recipe import Kernel
from restore.train.sources import Frames

Shape = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""A kernel over the distance from its centre, >= 0, in output samples."""


@dataclass(frozen=True)
class Pair:
    """A degraded sequence with its truth."""

    truth: Codes
    """(T, scale*H, scale*W)"""
    decoded: Codes
    """(T, H, W)"""
    stream: bytes
    """The last generation's file, whose quantisers and motion vectors a reader can still export; b'' if clean."""
    suffix: str
    """Of that file's name; '' if clean."""
    record: dict[str, Any] = field(default_factory=dict)


def degrade(clean: Frames, plan: Plan, scale: int, rng: np.random.Generator, folder: Path) -> Pair:
    """Carries `plan` out on (T, H, W) luma or (T, H, W, 3) R, G, B, without film, noise reduction and JPEG (see train.colour);
    H and W multiples of 16 * scale. `folder` takes the encoded files, which are removed again."""
    truth = np.stack([_levels(frame, *plan.levels) for frame in clean])
    shot = truth
    if plan.film is not None:
        repaired, shot = age(truth, plan.film, rng)
        truth = repaired if plan.film_repaired else shot
    low = np.stack([_shoot(frame, plan, scale, rng) for frame in shot])
    source = _round(low)
    if plan.duplicates > 0:
        shown = np.maximum.accumulate(
            np.where(rng.random(len(source)) < plan.duplicates, 0, np.arange(len(source)))
        )
        truth, source = truth[shown], source[shown]
    if plan.dnr > 0:
        source = denoise(source, plan.dnr)
    decoded, stream, generations = source, b"", list[dict[str, Any]]()
    for number, step in enumerate(plan.steps):
        given = _resize(decoded, _generation_size(source, plan, number))
        if step.codec == "jpeg":
            decoded, stream, generation = jpeg(given, step)
            generations.append(_step_record(generation, given, decoded))
            continue
        path = folder / f"generation{number}.{step.container}"
        generation, decoded = _through(given, step, path)
        if decoded.shape != given.shape:
            raise TrainError(
                f"{step.codec}: expected {len(given)} frames back, got {len(decoded)} ({generation.argv})"
            )
        generations.append(_step_record(generation, given, decoded))
        stream = path.read_bytes()
        path.unlink()
    record = asdict(plan)
    record["steps"] = generations
    record["input_psnr"] = round(psnr(decoded, source), 3)
    record["container"] = plan.steps[-1].container if plan.steps else ""
    suffix = plan.steps[-1].suffix if plan.steps else ""
    return Pair(_round(truth), decoded, stream, suffix, record)


def _through(given: Codes, step: Step, path: Path) -> tuple[Generation, Codes]:
    """One generation of luma, or of R, G, B."""
    size = given.shape[1], given.shape[2]
    if given.ndim == 3:
        return encode(given, step, path), decode(path, size)
    luma, chroma = to_420(given)
    return encode(luma, step, path, chroma), from_420(*decode_colour(path, size))


def psnr(a: Codes, b: Codes) -> float:
    """dB for 8-bit codes (peak 255), over everything at once; 99 where equal."""
    mse = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return 99.0 if mse == 0 else float(10 * np.log10(255**2 / mse))


def _levels(
    frame: NDArray[np.float32], gamma: float, gain: float, offset: float
) -> NDArray[np.float32]:
    if (gamma, gain, offset) == (1.0, 1.0, 0.0):
        return frame
    nominal = np.clip((frame - 16) / 219, 0, 1) ** gamma * gain + offset
    return np.asarray(16 + 219 * nominal, np.float32)


def _shoot(
    frame: NDArray[np.float32], plan: Plan, scale: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(H, W) -> (H / scale, W / scale): blur, down-scaling, sharpening, grain."""
    if plan.blur > 0:
        frame = cv2.GaussianBlur(frame, (0, 0), plan.blur).astype(np.float32)
    low = downscale(frame, scale, plan.kernel, plan.phase)
    if plan.sharpen > 0:
        low = low + plan.sharpen * (low - cv2.GaussianBlur(low, (0, 0), 1.0))
    if plan.grain > 0:
        fine = rng.standard_normal(low.shape, np.float32)
        grain = cv2.GaussianBlur(fine, (0, 0), 0.6)
        low = low + grain * np.float32(plan.grain / grain.std())
    return np.asarray(low, np.float32)


def downscale(
    frame: NDArray[np.float32], scale: int, kernel: Kernel, phase: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.float32]:
    """(H, W) -> (H // scale, W // scale), sample centres aligned but for `phase` (down, right; high-resolution pixels,
    at most 0.5 either way), edges repeated. Nearest takes the sample above and to the left of the centre."""
    (top, down), (left, across) = (_taps(scale, kernel, off) for off in phase)
    filtered = cv2.sepFilter2D(
        frame, cv2.CV_32F, across, down, anchor=(-left, -top), borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(filtered[::scale, ::scale], np.float32)


@lru_cache(maxsize=256)
def _taps(scale: int, kernel: Kernel, phase: float) -> tuple[int, NDArray[np.float32]]:
    """(position of the first tap relative to scale * j, weights that sum to 1) for output sample j, whose centre
    lies at scale * j + (scale - 1) / 2, and which is taken `phase` further."""
    centre = (scale - 1) / 2 + phase
    if kernel == "nearest":
        return 0, _tap_at(math.floor((scale - 1) / 2))
    support, width, shape = SHAPES[kernel]
    reach = 1.0 if kernel in NOT_ANTIALIASED else max(1.0, scale * width)
    # Half a sample more than it reaches: the edge of a box falls within samples.
    extent = support * reach + (0.5 if kernel == "area" else 0.0)
    first = min(0, math.ceil(centre - extent))
    x = np.abs(np.arange(first, math.floor(centre + extent) + 1) - centre)
    weight = (
        np.clip(support * reach + 0.5 - x, 0, 1)
        if kernel == "area"
        else np.where(x <= support * reach, shape(x / reach), 0.0)
    )
    return first, (weight / weight.sum()).astype(np.float32)


def _tap_at(place: int) -> NDArray[np.float32]:
    weight = np.zeros(place + 1, np.float32)
    weight[place] = 1
    return weight


def _cubic_shape(b: float, c: float) -> Shape:
    return lambda x: _cubic(x, b, c)


def _windowed_sinc(support: int) -> Shape:
    return lambda x: np.sinc(x) * np.sinc(x / support)


def _cubic(x: NDArray[np.float64], b: float, c: float) -> NDArray[np.float64]:
    """Mitchell and Netravali 1988; (0, 0.6) is FFmpeg's default bicubic, (0, 0.5) MATLAB's imresize."""
    near = ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)) / 6
    far = (
        (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
    ) / 6
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _generation_size(source: Codes, plan: Plan, number: int) -> tuple[int, int]:
    """(height, width) of a generation; the first one's in multiples of 16, which every codec takes."""
    height, width = source.shape[1:3]
    if number == len(plan.steps) - 1:
        return height, width
    return (
        max(16, 16 * round(height * plan.first_size / 16)),
        max(16, 16 * round(width * plan.first_size / 16)),
    )


def _resize(frames: Codes, size: tuple[int, int]) -> Codes:
    """(T, h, w) -> (T, *size), centres aligned: areas where it shrinks, bicubic where it grows."""
    if frames.shape[1:3] == size:
        return frames
    way = cv2.INTER_AREA if size[0] < frames.shape[1] else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, size[::-1], interpolation=way) for frame in frames])


def _step_record(generation: Generation, given: Codes, decoded: Codes) -> dict[str, Any]:
    size = [given.shape[2], given.shape[1]]
    return generation.record() | {"size": size, "psnr": round(psnr(decoded, given), 3)}


def _round(frames: Frames) -> Codes:
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def _bell(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quadratic B-spline."""
    return np.where(x < 0.5, 0.75 - x**2, 0.5 * (1.5 - x) ** 2)


# (support, width of the kernel in output samples, its shape)
SHAPES: dict[Kernel, tuple[float, float, Shape]] = {
    "bicubic": (2, 1, _cubic_shape(0, 0.6)),
    "catmull_rom": (2, 1, _cubic_shape(0, 0.5)),
    "mitchell": (2, 1, _cubic_shape(1 / 3, 1 / 3)),
    "lanczos2": (2, 1, _windowed_sinc(2)),
    "lanczos3": (3, 1, _windowed_sinc(3)),
    "bilinear": (1, 1, lambda x: 1 - x),
    "area": (0.5, 1, np.ones_like),
    "narrow": (2, 0.7, _cubic_shape(0, 0.6)),
    "bell": (1.5, 1, _bell),
    "hermite": (1, 1, _cubic_shape(0, 0)),
    "opencv_bilinear": (1, 1, lambda x: 1 - x),
    "opencv_bicubic": (2, 1, _cubic_shape(0, 0.75)),
}
NOT_ANTIALIASED = ("opencv_bilinear", "opencv_bicubic")
