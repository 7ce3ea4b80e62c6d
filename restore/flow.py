"""Motion between two pictures: dense inverse search, and what it cannot find. NumPy and OpenCV, on the CPU.

Dense inverse search looks for motion from coarse to fine, so a thing that moves further than it is wide is lost, and
smooths it, so what stands still before a moving scene (a logo, a subtitle) is dragged along. Both are looked for by
themselves, and taken where they explain the picture better.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.warping import Field as Field
from restore.warping import grid

Codes = NDArray[np.uint8]
"""(H, W) luma, 8-bit codes."""

FAST = 12.0
"""Samples from which on motion is also looked for as a shift of the picture or a part of it."""
_SHIFTS = 2
"""Shifts tried at most."""
_SEARCHED = 88
"""Width, in samples, of the small pictures in which shifts are looked for."""
_PEAK = 5.0
"""A shift must stand out from chance by so many standard deviations ..."""
SHARE = 0.004
"""... and explain this share of the picture better."""
BETTER = 0.6
"""The squared error around a sample must be this much smaller ..."""
FLOOR = 2.0
"""... and smaller by so much, in squared 8-bit codes."""
_AROUND = 7
"""Side of the square in which errors are compared."""


class Estimator:
    """One preset of dense inverse search (Kroeger et al. 2016). It changes its own settings with a picture's size:
    one for each stream, and in one thread at a time."""

    def __init__(self, preset: str) -> None:
        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._dis: Any = cv2.DISOpticalFlow.create(presets[preset])
        if preset == "fast":
            # OpenCV's own stops at quarter resolution. Half resolution with fewer patches and steps costs half as
            # much again and gives most of what "medium" gains at six times the cost.
            self._dis.setFinestScale(1)
            self._dis.setPatchStride(6)
            self._dis.setGradientDescentIterations(8)
            self._dis.setVariationalRefinementIterations(1)

    def __call__(self, target: Codes, reference: Codes) -> Field:
        """Where each sample of `target` lies in `reference`, relative to its own place; pictures of any one size."""
        if np.array_equal(target, reference):
            return np.zeros((*target.shape, 2), np.float32)
        flow = self._searched(target, reference)
        wrong = _error(target, moved(reference, flow))
        for shift in shifts(target, reference):
            there = np.broadcast_to(np.asarray(shift, np.float32), flow.shape)
            shifted = moved(reference, there)
            if _explains(_error(target, shifted), wrong).mean() < SHARE:
                continue
            other = self._searched(target, shifted)
            # The shifted picture was cut at its edges, but the way leads to where it came from.
            other += np.asarray(shift, np.float32)
            error = _error(target, moved(reference, other))
            better = _explains(error, wrong)
            flow[better], wrong[better] = other[better], error[better]
        flow[_explains(_error(target, reference), wrong)] = 0
        return flow

    def _searched(self, target: Codes, reference: Codes) -> Field:
        # It needs a pyramid: below 16 samples a side it refuses, so tiny planes are padded.
        height, width = target.shape
        down, across = max(0, 16 - height), max(0, 16 - width)
        if down or across:
            pad = ((0, down), (0, across))
            target, reference = np.pad(target, pad, "edge"), np.pad(reference, pad, "edge")
        field = self._dis.calc(target, reference, None)
        return np.array(field[:height, :width], np.float32)


def moved(picture: Any, flow: Field) -> Any:
    """picture(p + flow(p)), bilinear; (H, W) or (H, W, C) of uint8 or float32; edges repeat."""
    x, y = grid(flow.shape[0], flow.shape[1])
    return cv2.remap(
        picture,
        x + flow[..., 0],
        y + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def follow(path: Field, step: Field) -> Field:
    """Displacement from A over B to C: `path` leads from A to B, `step` from B to C; all (H, W, 2)."""
    result: Field = path + moved(step, path)
    return result


def doubt(forth: Field, back: Field) -> Field:
    """(H, W): samples by which going `forth` and `back` again, both (H, W, 2), misses the start, and by which the way
    leads out of the picture. What the other picture hides has no way back (Sundaram et al. 2010)."""
    missed = follow(forth, back)
    height, width = forth.shape[:2]
    x, y = grid(height, width)
    x, y = x + forth[..., 0], y + forth[..., 1]
    out = np.abs(x - np.clip(x, 0, width - 1)) + np.abs(y - np.clip(y, 0, height - 1))
    return np.asarray(np.hypot(missed[..., 0], missed[..., 1]) + out, np.float32)


def shifts(target: Codes, reference: Codes) -> list[tuple[float, float]]:
    """Up to two displacements (x, y) of at least FAST samples that a part of the picture may have made."""
    height, width = target.shape
    ratio = reduction(width)
    size = (width // ratio, height // ratio)
    if min(size) < 16:
        return []
    small: list[Any] = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (target, reference)]  # fmt: skip
    return far_peaks(small[0], small[1], ratio)


def reduction(width: int) -> int:
    """How many times smaller than a picture of this width those are that shifts are looked for in."""
    return max(1, round(width / _SEARCHED))


def far_peaks(target: Any, reference: Any, ratio: int) -> list[tuple[float, float]]:
    """`shifts` of pictures `ratio` times as large as these small ones, (h, w) each: peaks of their phase correlation
    (Kuglin and Hines 1975)."""
    height, width = target.shape
    size = (width, height)
    window = np.hanning(size[1])[:, None] * np.hanning(size[0])[None]
    spectra = []
    for picture in (target, reference):
        small = picture.astype(np.float64)
        spectra.append(np.fft.rfft2((small - small.mean()) * window))
    cross = spectra[1] * spectra[0].conj()
    found = np.fft.irfft2(cross / (np.abs(cross) + 1e-9), s=(size[1], size[0]))
    y = np.fft.fftfreq(size[1], 1 / size[1])[:, None]
    x = np.fft.fftfreq(size[0], 1 / size[0])[None]
    found[np.hypot(x, y) * ratio < FAST] = 0
    peaks: list[tuple[float, float]] = []
    for _ in range(_SHIFTS):
        at = np.unravel_index(int(found.argmax()), found.shape)
        if found[at] < _PEAK / np.sqrt(found.size):
            break
        dx, dy = float(x[0, at[1]]), float(y[at[0], 0])
        peaks.append((dx * ratio, dy * ratio))
        found[(np.abs(x - dx) < 2) & (np.abs(y - dy) < 2)] = 0
    return peaks


def _error(target: Codes, other: Codes) -> Field:
    """(H, W): mean squared difference around each sample."""
    difference: Any = cv2.absdiff(target, other)
    squared = difference.astype(np.float32) ** 2
    return np.asarray(
        cv2.blur(squared, (_AROUND, _AROUND), borderType=cv2.BORDER_REPLICATE), np.float32
    )


def _explains(error: Field, wrong: Field) -> NDArray[np.bool_]:
    return np.asarray(error < BETTER * wrong - FLOOR, np.bool_)
