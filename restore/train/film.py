"""What time did to the film before anybody digitised it: dust, hairs, scratches, flicker, gate weave.

A generator of its own, at the strengths that archive prints show. Counts are for 704x576 and follow the picture's area; sizes are
in high-resolution pixels. Every defect but scratches, flicker and weave lives for one frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FULL_AREA = 704 * 576

Frames = NDArray[np.float32]
"""Luma in 8-bit limited-range codes, (T, H, W)."""


@dataclass(frozen=True)
class Film:
    """How bad a print is."""

    dust: float
    """Mean number of specks and hairs per frame of 704x576."""
    scratches: int
    """Vertical lines in the sequence."""
    flicker: float
    """Standard deviation of the exposure, a share of the picture's brightness."""
    weave: float
    """Standard deviation of the picture's place, pixels."""


def draw_film(strength: float, rng: np.random.Generator) -> Film:
    """A print: `strength` 1 is a worn one, 0 a new one."""
    return Film(
        dust=round(float(rng.gamma(1.5, 5.0)) * strength, 2),
        scratches=int(rng.poisson(0.8 * strength)),
        flicker=round(float(rng.uniform(0.0, 0.04)) * strength, 4),
        weave=round(float(rng.uniform(0.0, 0.6)) * strength, 3),
    )


def age(frames: Frames, film: Film, rng: np.random.Generator) -> tuple[Frames, Frames]:
    """(the sequence with weave and flicker, the same with dust and scratches too): what a repaired print would show, and
    what this one does."""
    count, height, width = frames.shape
    whole = _flickering(_weaving(frames, film.weave, rng), film.flicker, rng)
    marks = np.zeros_like(whole)
    for t, number in enumerate(rng.poisson(film.dust * height * width / FULL_AREA, count)):
        for _ in range(number):
            _speck(marks[t], rng)
    for _ in range(film.scratches):
        _scratch(marks, rng)
    return whole, np.clip(whole + marks, 0, 255, dtype=np.float32)


def _weaving(frames: Frames, sigma: float, rng: np.random.Generator) -> Frames:
    """The gate lets the film wander: a process that is drawn back to its place (Ornstein and Uhlenbeck)."""
    if sigma <= 0:
        return frames
    size = frames.shape[2], frames.shape[1]
    path = _returning(len(frames), sigma, 0.6, rng, 2)
    moved = [
        cv2.warpAffine(
            frame, np.array([[1, 0, dx], [0, 1, dy]]), size,
            flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101,
        )
        for frame, (dy, dx) in zip(frames, path, strict=True)
    ]  # fmt: skip
    return np.clip(np.stack(moved).astype(np.float32), 0, 255)


def _flickering(frames: Frames, sigma: float, rng: np.random.Generator) -> Frames:
    """Exposure wanders about its mean; black stays black."""
    if sigma <= 0:
        return frames
    gain = 1 + _returning(len(frames), sigma, 0.5, rng, 1)[:, :, None]
    return np.asarray(16 + (frames - 16) * gain, np.float32)


def _returning(
    count: int, sigma: float, memory: float, rng: np.random.Generator, axes: int
) -> NDArray[np.float64]:
    """(count, axes): first-order autoregressive, of standard deviation `sigma`."""
    steps = rng.normal(0, sigma * np.sqrt(1 - memory**2), (count, axes))
    path = [rng.normal(0, sigma, axes)]
    for step in steps[1:]:
        path.append(memory * path[-1] + step)
    return np.asarray(path)


def _speck(marks: NDArray[np.float32], rng: np.random.Generator) -> None:
    """One speck, or, one time in six, a hair; mostly white (dirt on the negative), else black. Added in place."""
    height, width = marks.shape
    reach = 48
    stamp = np.zeros((2 * reach, 2 * reach), np.float32)
    if rng.random() < 1 / 6:
        turns = np.cumsum(rng.normal(0, 0.35, int(rng.integers(8, 24)))) + rng.uniform(0, 2 * np.pi)
        path = np.cumsum(2.0 * np.stack([np.cos(turns), np.sin(turns)], 1), 0)
        points = path - path.mean(0) + reach
        thickness = int(rng.integers(1, 3))
        cv2.polylines(stamp, [np.rint(points * 16).astype(np.int32)], False, 1.0, thickness, cv2.LINE_AA, 4)  # fmt: skip
    else:
        radius = min(14.0, float(rng.lognormal(0.8, 0.6)))
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        away = radius * rng.uniform(0.5, 1.3, 9)
        points = reach + np.stack([away * np.cos(angles), away * np.sin(angles)], 1)
        cv2.fillPoly(stamp, [np.rint(points * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    stamp = cv2.GaussianBlur(stamp, (0, 0), 0.6).astype(np.float32)
    depth = np.float32(rng.uniform(40, 190) * (1 if rng.random() < 0.7 else -1))
    top, left = int(rng.integers(height)) - reach, int(rng.integers(width)) - reach
    rows = slice(max(top, 0), min(top + 2 * reach, height))
    columns = slice(max(left, 0), min(left + 2 * reach, width))
    part = stamp[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    marks[rows, columns] += depth * part


def _scratch(marks: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A line down the whole picture that drifts from frame to frame, comes and goes along its way. Added in place."""
    count, height, width = marks.shape
    x = rng.uniform(0, width) + np.cumsum(rng.normal(0, 0.4, count))
    half = rng.uniform(0.4, 1.2)
    depth = rng.uniform(15, 70) * (1 if rng.random() < 0.6 else -1)
    columns = np.arange(width)
    for frame, place in zip(marks, x, strict=True):
        profile = depth * np.exp(-(((columns - place) / half) ** 2))
        strength = cv2.GaussianBlur(rng.random((height, 1)).astype(np.float32), (0, 0), 12.0)
        strength = np.clip((strength - strength.min()) / max(np.ptp(strength), 1e-6), 0.2, 1.0)
        frame += (strength.reshape(-1, 1) * profile).astype(np.float32)
