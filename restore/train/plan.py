"""What will happen to one clean sequence: every choice, drawn from a random generator before anything is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from restore.train.codecs import VCD_BUFFER_BITS, Step
from restore.train.film import Film, draw_film
from restore.train.recipe import Degrade, Kernel

Category = Literal["clean", "near_clean", "mpeg1", "rv20", "other", "jpeg"]
CATEGORIES: tuple[Category, ...] = ("clean", "near_clean", "mpeg1", "rv20", "other", "jpeg")
"""clean: no codec; near_clean: one light encode; mpeg1: once; rv20: MPEG-1, then RV20; jpeg: each frame on its own;
other: the rest."""


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
    duplicates: float = 0.0
    """Probability of a frame to show the one before it again, in truth and input alike."""
    dnr: float = 0.0
    """Strength of hqdn3d (its luma_spatial) before the first encode; 0: none."""
    first_size: float = 1.0
    """Size of the first generation relative to the last one's; 1: no resize between them."""
    phase: tuple[float, float] = (0.0, 0.0)
    """(down, right) distance of the low-resolution samples from the centres they belong to, high-resolution pixels."""
    film: Film | None = None
    """What the print had suffered before it was shot; None: nothing."""
    film_repaired: bool = False
    """Whether the truth is free of the print's dust and scratches."""


def validated(options: Degrade) -> tuple[Category, ...]:
    """The categories that a validation set is spread over: all of video, whatever the shares, so that a network is also
    known by what it never saw; JPEG where a recipe has it, alone where that is all it has."""
    if options.jpeg_share == 0:
        return CATEGORIES[:-1]
    if options.jpeg_share < 1:
        return CATEGORIES
    return ("clean", "jpeg") if options.clean_share > 0 else ("jpeg",)


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
    plan = Plan(
        category=category,
        kernel=_pick(options.kernels, rng),
        steps=_draw_steps(options, category, rng),
        blur=_sometimes(options.blur_share, options.blur_sigma, rng),
        sharpen=_sometimes(options.sharpen_share, options.sharpen_amount, rng),
        grain=_sometimes(options.grain_share, options.grain_sigma, rng),
        levels=levels,
    )
    # A step that the recipe does not use draws nothing, so that recipes from before it keep their pairs.
    if options.duplicate_share:
        chance = _sometimes(options.duplicate_share, options.duplicate_chance, rng)
        plan = replace(plan, duplicates=chance)
    if options.dnr_share:
        plan = replace(plan, dnr=_sometimes(options.dnr_share, options.dnr_strength, rng))
    if options.resize_share:
        size = _sometimes(options.resize_share, options.resize_size, rng)
        plan = replace(plan, first_size=size if size and len(plan.steps) > 1 else 1.0)
    if options.phase_share:
        off = [round(float(v), 3) for v in rng.uniform(*options.phase_offset, 2)]
        if rng.random() < options.phase_share:
            plan = replace(plan, phase=(off[0], off[1]))
    if options.film_share:
        film = draw_film(float(rng.uniform(*options.film_strength)), rng)
        if rng.random() < options.film_share:
            plan = replace(plan, film=film, film_repaired=options.film_repaired)
    return plan


def _draw_category(options: Degrade, rng: np.random.Generator) -> Category:
    u = rng.random()
    if u < options.clean_share:
        return "clean"
    if u < options.clean_share + options.near_clean_share:
        return "near_clean"
    u = rng.random() - options.jpeg_share
    if u < 0:
        return "jpeg"
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
        case "jpeg":
            low, high = (int(bound) for bound in options.jpeg_quality)
            return (Step("jpeg", {"quality": int(rng.integers(low, high + 1))}),)
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
