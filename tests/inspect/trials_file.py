"""Trials of what is asked of times, colours and levels."""

from __future__ import annotations

import cv2
import numpy as np

from restore.inspect.levels import levels
from restore.inspect.spacing import spacing
from restore.inspect.tint import tint_of
from tests.inspect.synthetic import Floats, Rng, codes, film, grain


def variable_spacing(rng: Rng, fault: bool) -> bool:
    rate = rng.choice([15, 23.976, 25, 29.97, 30])
    # Rounded to milliseconds, as RealMedia and Matroska do.
    steps = rng.uniform(0.4, 3.0, 60) / rate if fault else np.full(60, 1 / rate)
    return spacing(list(np.round(np.cumsum(steps) * 1000).astype(int)), 0.001).kind == "variable"


def left_out_frames(rng: Rng, fault: bool) -> bool:
    rate = rng.choice([15, 23.976, 25, 29.97, 30])
    steps = np.full(80, 1 / rate)
    if fault:
        steps[rng.choice(80, rng.integers(3, 20), replace=False)] *= rng.integers(2, 4)
    return spacing(list(np.round(np.cumsum(steps) * 1000).astype(int)), 0.001).kind == "gaps"


def _chroma(rng: Rng, luma: Floats, kind: str) -> tuple[Floats, Floats]:
    """Half-size chroma as a codec leaves it: with errors of a code or so."""
    small = np.stack(
        [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in luma]
    )
    planes = []
    hues = rng.uniform(0, 2 * np.pi, 2)
    for n in range(2):
        if kind == "mono":
            plane = np.zeros_like(small)
        elif kind == "tint":  # strongest in the greys, none in black and white, as dyes do
            y = (small - 16) / 219
            plane = np.cos(hues[0] - n * np.pi / 2) * rng.uniform(8, 25) * (0.6 + 1.5 * y * (1 - y))
        else:
            patches = film(rng, len(small), *small.shape[1:], speed=1.0) - 128
            plane = patches * rng.uniform(0.15, 0.5)
        planes.append(grain(rng, plane + 128, 0.8))
    return planes[0], planes[1]


def _tint_kind(rng: Rng, kind: str) -> str:
    luma = film(rng, 3)
    blue, red = _chroma(rng, luma, kind)
    small = np.stack(
        [cv2.resize(f, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for f in luma]
    )
    return tint_of(codes(small), codes(blue), codes(red)).kind


def colour(rng: Rng, fault: bool) -> bool:
    return _tint_kind(rng, "colour" if fault else str(rng.choice(["mono", "tint"]))) == "colour"


def one_tint(rng: Rng, fault: bool) -> bool:
    return _tint_kind(rng, "tint" if fault else str(rng.choice(["mono", "colour"]))) == "tinted"


def black_and_white(rng: Rng, fault: bool) -> bool:
    return _tint_kind(rng, "mono" if fault else str(rng.choice(["tint", "colour"]))) == "mono"


def _histogram(picture: Floats) -> np.ndarray:
    return np.bincount(codes(picture).ravel(), minlength=256)


def full_range_in_limited(rng: Rng, fault: bool) -> bool:
    picture = film(rng, 2)
    low, high = np.quantile(picture, (0.02, 0.98))
    unit = (picture - low) / (high - low)
    if fault:
        return levels(_histogram(unit * 255), False).full_range
    # Whites go beyond 235, as cameras leave them.
    limited = np.maximum(unit, 0) * rng.uniform(200, 235) + 16
    return levels(_histogram(grain(rng, limited, rng.uniform(0.5, 2.0))), False).full_range


def faded(rng: Rng, fault: bool) -> bool:
    picture = film(rng, 2)
    low, high = np.quantile(picture, (0.01, 0.99))
    unit = (picture - low) / (high - low)
    if fault:
        bottom = rng.uniform(40, 70)
        return levels(_histogram(bottom + unit * rng.uniform(50, 100)), False).faded
    return levels(_histogram(16 + rng.uniform(0, 6) + unit * rng.uniform(180, 210)), False).faded
