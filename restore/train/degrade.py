"""The chain that turns a clean sequence into what an old file holds (SCIENCE C3): light blur, a down-scaling kernel,
capture sharpening, grain, then real codecs, one or two generations.

`draw` decides everything from a random generator; `degrade` carries it out. What was decided and what came out
(arguments, real bits per pixel, PSNR) is recorded with every sequence.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import TrainError
from restore.train.codecs import VCD_BUFFER_BITS, Codes, Generation, Step, decode, encode
from restore.train.recipe import Degrade, Kernel
from restore.train.sources import Frames

Category = Literal["clean", "near_clean", "mpeg1", "rv20", "other"]
CATEGORIES: tuple[Category, ...] = ("clean", "near_clean", "mpeg1", "rv20", "other")
"""clean: no codec; near_clean: one light encode; mpeg1: once; rv20: MPEG-1, then RV20; other: the rest."""


@dataclass(frozen=True)
class Plan:
    """Everything that will happen to one sequence."""

    category: Category
    kernel: Kernel
    steps: tuple[Step, ...]
    blur: float = 0.0
    """Sigma in high-resolution pixels; 0: none."""
    sharpen: float = 0.0
    """Amount of a radius-1 unsharp mask on the low resolution; 0: none."""
    grain: float = 0.0
    """Sigma in 8-bit codes; 0: none."""
    levels: tuple[float, float, float] = (1.0, 1.0, 0.0)
    """Gamma, gain and offset (nominal), on truth and input alike."""


@dataclass(frozen=True)
class Pair:
    """A degraded sequence with its truth."""

    truth: Codes
    """(T, scale*H, scale*W)"""
    decoded: Codes
    """(T, H, W)"""
    stream: bytes
    """The last generation's file, whose quantisers and motion vectors a reader can still export; b'' if clean."""
    record: dict[str, Any] = field(default_factory=dict)


def draw(options: Degrade, rng: np.random.Generator, category: Category | None = None) -> Plan:
    """A random plan; `category` forces the codec part (for a balanced validation set)."""
    if category is None:
        category = _draw_category(options, rng)
    levels = (1.0, 1.0, 0.0)
    if rng.random() < options.levels_share:
        gain = float(rng.uniform(0.7, 1.05))
        levels = (
            float(np.exp(rng.normal(0, 0.15))),
            gain,
            float(rng.uniform(0, max(0.0, 1 - gain))),
        )
    return Plan(
        category=category,
        kernel=_pick(options.kernels, rng),
        steps=_draw_steps(options, category, rng),
        blur=_sometimes(options.blur_share, options.blur_sigma, rng),
        sharpen=_sometimes(options.sharpen_share, options.sharpen_amount, rng),
        grain=_sometimes(options.grain_share, options.grain_sigma, rng),
        levels=levels,
    )


def degrade(clean: Frames, plan: Plan, scale: int, rng: np.random.Generator, folder: Path) -> Pair:
    """Carries `plan` out on (T, H, W) frames; H and W multiples of 16 * scale. `folder` takes the encoded files,
    which are removed again."""
    truth = np.stack([_levels(frame, *plan.levels) for frame in clean])
    low = np.stack([_shoot(frame, plan, scale, rng) for frame in truth])
    source = _round(low)
    decoded, stream, generations = source, b"", list[Generation]()
    for number, step in enumerate(plan.steps):
        path = folder / f"generation{number}.{step.container}"
        generations.append(encode(decoded, step, path))
        decoded = decode(path, (source.shape[1], source.shape[2]))
        if decoded.shape != source.shape:
            raise TrainError(
                f"{step.codec}: expected {len(source)} frames back, got {len(decoded)} ({generations[-1].argv})"
            )
        stream = path.read_bytes()
        path.unlink()
    record = asdict(plan)
    record["steps"] = [generation.record() for generation in generations]
    record["input_psnr"] = round(psnr(decoded, source), 3)
    record["container"] = plan.steps[-1].container if plan.steps else ""
    return Pair(_round(truth), decoded, stream, record)


def psnr(a: Codes, b: Codes) -> float:
    """dB for 8-bit codes (peak 255), over everything at once; 99 where equal."""
    mse = float(np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2))
    return 99.0 if mse == 0 else float(10 * np.log10(255**2 / mse))


# --- what is drawn


def _draw_category(options: Degrade, rng: np.random.Generator) -> Category:
    u = rng.random()
    if u < options.clean_share:
        return "clean"
    if u < options.clean_share + options.near_clean_share:
        return "near_clean"
    u = rng.random()
    if u < options.second_share:
        codec = _pick(options.second_codecs, rng)
        return "rv20" if codec in ("rv20", "rv10") else "other"
    return "other" if u < options.second_share + options.other_single_share else "mpeg1"


def _draw_steps(options: Degrade, category: Category, rng: np.random.Generator) -> tuple[Step, ...]:
    others = {"mpeg4": 0.5, "x264": 0.5}
    match category:
        case "clean":
            return ()
        case "near_clean":
            codec = _pick({"mpeg1video": 0.6, "rv20": 0.15, "mpeg4": 0.15, "x264": 0.1}, rng)
            return (_light(codec, rng),)
        case "mpeg1":
            return (_mpeg1(options, rng),)
        case "rv20":
            weights = _only(options, ("rv20", "rv10"))
            return _mpeg1(options, rng), _later(_pick(weights or {"rv20": 1.0}, rng), options, rng)
        case _:
            weights = _only(options, tuple(others))
            share = sum(weights.values()) / sum(options.second_codecs.values())
            twice, once = share * options.second_share, options.other_single_share
            if rng.random() * (twice + once) < twice:
                return _mpeg1(options, rng), _later(_pick(weights, rng), options, rng)
            return (_later(_pick({"rv20": 0.4, **others}, rng), options, rng),)


def _mpeg1(options: Degrade, rng: np.random.Generator) -> Step:
    common: dict[str, str | float] = {"g": int(rng.integers(12, 19)), "bf": 2}
    kind = rng.random()
    if kind < 1 / 3:
        rate = 1150e3
        return Step(
            "mpeg1video", common | {"b:v": rate, "maxrate": rate, "bufsize": VCD_BUFFER_BITS}
        )
    if kind < 2 / 3:
        rate = 1e3 * _log_uniform(options.mpeg1_kbps, rng)
        peak = rate * float(rng.uniform(1.0, 2.0))
        return Step(
            "mpeg1video", common | {"b:v": rate, "maxrate": peak, "bufsize": VCD_BUFFER_BITS}
        )
    return Step(
        "mpeg1video", common | {"q:v": round(_log_uniform(options.mpeg1_quantizer, rng), 1)}
    )


def _later(codec: str, options: Degrade, rng: np.random.Generator) -> Step:
    """RealVideo and others, at a rate or at a fixed quantiser."""
    if codec == "x264":
        # 4x4 transform, no 8x8, main profile: the nearest to RV30/40 that an encoder makes (SCIENCE C3, 9).
        return Step("libx264", {
            "profile:v": "main", "crf": round(float(rng.uniform(20, 36)), 1), "preset": "fast",
            "x264-params": "cabac=0:8x8dct=0:ref=2:bframes=1:weightp=0:partitions=p8x8,i4x4",
        })  # fmt: skip
    common: dict[str, str | float] = {"g": int(rng.integers(60, 251))}
    if codec == "mpeg4":
        common["bf"] = int(rng.integers(0, 3))
    if rng.random() < 0.5:
        rate = 1e3 * _log_uniform(options.second_kbps, rng)
        return Step(codec, common | {"b:v": rate, "maxrate": rate * 1.5, "bufsize": rate})
    return Step(codec, common | {"q:v": round(_log_uniform(options.second_quantizer, rng), 1)})


def _light(codec: str, rng: np.random.Generator) -> Step:
    """An encode that one can hardly see."""
    if codec == "x264":
        return Step("libx264", {"crf": round(float(rng.uniform(6, 16)), 1), "preset": "fast"})
    options: dict[str, str | float] = {"q:v": round(float(rng.uniform(1, 2.2)), 1), "qmin": 1}
    return Step(codec, options | ({"g": 15, "bf": 2} if codec == "mpeg1video" else {"g": 100}))


def _only(options: Degrade, names: tuple[str, ...]) -> dict[str, float]:
    return {str(k): v for k, v in options.second_codecs.items() if k in names}


def _pick(weights: Any, rng: np.random.Generator) -> Any:
    names = list(weights)
    p = np.array([weights[name] for name in names], float)
    return names[int(rng.choice(len(names), p=p / p.sum()))]


def _sometimes(share: float, bounds: tuple[float, float], rng: np.random.Generator) -> float:
    value = float(rng.uniform(*bounds))
    return round(value, 3) if rng.random() < share else 0.0


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


# --- what is done


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
    low = downscale(frame, scale, plan.kernel)
    if plan.sharpen > 0:
        low = low + plan.sharpen * (low - cv2.GaussianBlur(low, (0, 0), 1.0))
    if plan.grain > 0:
        fine = rng.standard_normal(low.shape, np.float32)
        grain = cv2.GaussianBlur(fine, (0, 0), 0.6)
        low = low + grain * np.float32(plan.grain / grain.std())
    return np.asarray(low, np.float32)


def downscale(frame: NDArray[np.float32], scale: int, kernel: Kernel) -> NDArray[np.float32]:
    """(H, W) -> (H // scale, W // scale), anti-aliased, sample centres aligned, edges repeated."""
    first, weights = _taps(scale, kernel)
    filtered = cv2.sepFilter2D(
        frame,
        cv2.CV_32F,
        weights,
        weights,
        anchor=(-first, -first),
        borderType=cv2.BORDER_REPLICATE,
    )
    return np.asarray(filtered[::scale, ::scale], np.float32)


@lru_cache(maxsize=64)
def _taps(scale: int, kernel: Kernel) -> tuple[int, NDArray[np.float32]]:
    """(position of the first tap relative to scale * j, weights that sum to 1) for output sample j, whose centre
    lies at scale * j + (scale - 1) / 2."""
    shapes: dict[Kernel, tuple[float, float]] = {  # (support, width of the kernel in output samples)
        "bicubic": (2, 1), "catmull_rom": (2, 1), "mitchell": (2, 1), "lanczos2": (2, 1), "lanczos3": (3, 1),
        "bilinear": (1, 1), "area": (0.5, 1), "narrow": (2, 0.7),
    }  # fmt: skip
    support, width = shapes[kernel]
    reach = max(1.0, scale * width)
    centre = (scale - 1) / 2
    first = math.ceil(centre - support * reach)
    x = np.abs(np.arange(first, math.floor(centre + support * reach) + 1) - centre) / reach
    if kernel == "area":
        weight = np.ones_like(x)
    elif kernel == "bilinear":
        weight = 1 - x
    elif kernel in ("lanczos2", "lanczos3"):
        weight = np.sinc(x) * np.sinc(x / support)
    else:
        b, c = {"mitchell": (1 / 3, 1 / 3), "catmull_rom": (0.0, 0.5)}.get(kernel, (0.0, 0.6))
        weight = _cubic(x, b, c)
    return first, (weight / weight.sum()).astype(np.float32)


def _cubic(x: NDArray[np.float64], b: float, c: float) -> NDArray[np.float64]:
    """Mitchell and Netravali 1988; (0, 0.6) is FFmpeg's default bicubic, (0, 0.5) MATLAB's imresize."""
    near = ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)) / 6
    far = (
        (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
    ) / 6
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _round(frames: Frames) -> Codes:
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)
