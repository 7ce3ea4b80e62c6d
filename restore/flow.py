"""Motion between two pictures: dense inverse search, and what it cannot find. NumPy and OpenCV, on the CPU.

Dense inverse search looks for motion from coarse to fine, so a thing that moves further than it is wide is lost, and
smooths it, so what stands still before a moving scene (a logo, a subtitle) is dragged along. Both are looked for by
themselves, and taken where they explain the picture better.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.warping import Field as Field
from restore.warping import enlarged, grid, remap

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
_AROUND, _SMALL_AROUND = 7, 5
"""Sides of the squares in which errors are compared, of whole pictures and of small ones."""
_REST = 0.1
"""Samples of the small pictures: what moves less is at rest."""
WHOLE = 48
"""Samples a side below which pictures are searched whole: half of them has too little to go by."""


class Picture(NamedTuple):
    """What motion is looked for in."""

    whole: Codes
    small: Codes
    """Half as wide and half as high; itself below WHOLE samples a side."""
    spectrum: Spectrum | None
    """None: too small to look for shifts in."""


class Estimator:
    """One preset of dense inverse search (Kroeger et al. 2016). It changes its own settings with a picture's size:
    one for each stream, and in one thread at a time.

    It searches in pictures of half the size: its presets stop there or before, and would only stretch what they have
    found. What stands still is looked for in the whole ones, as captions are thin."""

    def __init__(self, preset: str) -> None:
        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._dis: Any = cv2.DISOpticalFlow.create(presets[preset])
        self._dis.setFinestScale(max(0, self._dis.getFinestScale() - 1))
        if preset == "fast":
            # OpenCV's own stops at quarter resolution. Half resolution with fewer patches and steps costs half as
            # much again and gives most of what "medium" gains at six times the cost.
            self._dis.setFinestScale(0)
            self._dis.setPatchStride(6)
            self._dis.setGradientDescentIterations(8)
            self._dis.setVariationalRefinementIterations(1)

    def __call__(self, target: Codes, reference: Codes) -> Field:
        """(H, W, 2): where each sample of `target` lies in `reference`, relative to its own place; pictures of any one
        size."""
        one, other = self.take(target), self.take(reference)
        at_rest = _error(target, reference, _AROUND)
        flow = self._one_way(one, other, _shifts(one, other), at_rest)
        return enlarged(flow, (target.shape[0], target.shape[1]))

    def take(self, picture: Codes) -> Picture:
        """What `between` wants of a picture."""
        height, width = picture.shape
        times = 1 if min(height, width) < WHOLE else 2
        size = (width // times, height // times)
        small: Any = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        ratio = reduction(size[0])
        size = (size[0] // ratio, size[1] // ratio)
        if min(size) < 16:
            return Picture(picture, small, None)
        tiny: Any = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
        return Picture(picture, small, spectrum(tiny, times * ratio))

    def between(self, first: Picture, last: Picture) -> tuple[Field, Field]:
        """(h, w, 2) each, in samples of the small pictures: from the first to the last, and back."""
        ways, at_rest = _shifts(first, last), _error(first.whole, last.whole, _AROUND)
        # What leads from one to the other leads back.
        ways_back = [(-x, -y) for x, y in ways]
        forth = self._one_way(first, last, ways, at_rest)
        return forth, self._one_way(last, first, ways_back, at_rest)

    def _one_way(
        self,
        target: Picture,
        reference: Picture,
        ways: list[tuple[float, float]],
        at_rest: Field,
    ) -> Field:
        """`ways`: shifts to try. `at_rest`: the error of the whole pictures without motion."""
        if not at_rest.any():
            return np.zeros((*target.small.shape, 2), np.float32)
        flow = self._found(target.small, reference.small, ways)
        flow[_stands_still(flow, target.whole, reference.whole, at_rest)] = 0
        return flow

    def _found(self, target: Codes, reference: Codes, ways: list[tuple[float, float]]) -> Field:
        flow = self._searched(target, reference)
        if not ways:
            return flow
        wrong = _error(target, moved(reference, flow), _SMALL_AROUND)
        for way in ways:
            shift = np.asarray(way, np.float32)
            shifted = moved(reference, np.broadcast_to(shift, flow.shape))
            if _explains(_error(target, shifted, _SMALL_AROUND), wrong).mean() < SHARE:
                continue
            other = self._searched(target, shifted)
            # The shifted picture was cut at its edges, but the way leads to where it came from.
            other += shift
            error = _error(target, moved(reference, other), _SMALL_AROUND)
            better = _explains(error, wrong)
            flow[better], wrong[better] = other[better], error[better]
        return flow

    def _searched(self, target: Codes, reference: Codes) -> Field:
        # It needs a pyramid: below 16 samples a side it refuses, so tiny planes are padded.
        height, width = target.shape
        down, across = max(0, 16 - height), max(0, 16 - width)
        if down or across:
            pad = ((0, down), (0, across))
            target, reference = np.pad(target, pad, "edge"), np.pad(reference, pad, "edge")
        field = self._dis.calc(target, reference, None)
        return np.ascontiguousarray(field[:height, :width])


def moved(picture: Any, flow: Field) -> Any:
    """picture(p + flow(p)), bilinear; (H, W) or (H, W, C) of uint8 or float32; edges repeat."""
    return remap(picture, cv2.add(flow, grid(flow.shape[0], flow.shape[1])), cv2.INTER_LINEAR)


def follow(path: Field, step: Field) -> Field:
    """Displacement from A over B to C: `path` leads from A to B, `step` from B to C; all (H, W, 2)."""
    onward: Any = moved(step, path)
    result: Field = cv2.add(path, onward, dst=onward)  # type: ignore[assignment]
    return result


def doubt(forth: Field, back: Field) -> Field:
    """(H, W): samples by which going `forth` and `back` again, both (H, W, 2), misses the start, and by which the way
    leads out of the picture. What the other picture hides has no way back (Sundaram et al. 2010)."""
    across, down = cv2.split(follow(forth, back))
    # OpenCV's own magnitude rounds by where in memory it finds a sample.
    found: Any = np.sqrt(across * across + down * down)
    height, width = forth.shape[:2]
    places: Any = cv2.split(cv2.add(forth, grid(height, width)))
    for place, last in zip(places, (width - 1, height - 1), strict=True):
        if place.min() < 0 or place.max() > last:
            found += np.abs(place - np.clip(place, 0, last))
    result: Field = found
    return result


class Spectrum(NamedTuple):
    """Of a small picture, for phase correlation."""

    values: NDArray[np.complex128]
    size: tuple[int, int]
    """(h, w)."""
    ratio: int
    """How many times smaller it is than that which shifts are wanted of."""


def reduction(width: int) -> int:
    """How many times smaller than a picture of this width those are that shifts are looked for in."""
    return max(1, round(width / _SEARCHED))


def far_peaks(target: Any, reference: Any, ratio: int) -> list[tuple[float, float]]:
    """Up to two displacements (x, y) of at least FAST samples that a part of the picture may have made, of pictures
    `ratio` times as large as these small ones, (h, w) each: peaks of their phase correlation (Kuglin and Hines 1975)."""
    return peaks(spectrum(target, ratio), spectrum(reference, ratio))


def spectrum(picture: Any, ratio: int) -> Spectrum:
    """Of an (h, w) picture that was made `ratio` times smaller."""
    height, width = picture.shape
    small = picture.astype(np.float64)
    return Spectrum(
        np.fft.rfft2((small - small.mean()) * _window(height, width)), (height, width), ratio
    )


def peaks(target: Spectrum, reference: Spectrum) -> list[tuple[float, float]]:
    """See `far_peaks`."""
    cross = reference.values * target.values.conj()
    found = np.fft.irfft2(cross / (np.abs(cross) + 1e-9), s=target.size)
    x, y, near = _distances(*target.size, target.ratio)
    found[near] = 0
    ways: list[tuple[float, float]] = []
    for _ in range(_SHIFTS):
        at = np.unravel_index(int(found.argmax()), found.shape)
        if found[at] < _PEAK / np.sqrt(found.size):
            break
        dx, dy = float(x[0, at[1]]), float(y[at[0], 0])
        ways.append((dx * target.ratio, dy * target.ratio))
        found[(np.abs(x - dx) < 2) & (np.abs(y - dy) < 2)] = 0
    return ways


@lru_cache(maxsize=4)
def _window(height: int, width: int) -> NDArray[np.float64]:
    return np.hanning(height)[:, None] * np.hanning(width)[None]


@lru_cache(maxsize=4)
def _distances(
    height: int, width: int, ratio: int
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]], NDArray[np.bool_]]:
    """Displacements x (1, w) and y (h, 1) of the samples of a phase correlation, and which are under FAST."""
    x = np.fft.fftfreq(width, 1 / width)[None]
    y = np.fft.fftfreq(height, 1 / height)[:, None]
    return x, y, np.asarray(np.hypot(x, y) * ratio < FAST, np.bool_)


def _shifts(target: Picture, reference: Picture) -> list[tuple[float, float]]:
    """Displacements to try, in samples of the small pictures."""
    if target.spectrum is None or reference.spectrum is None:
        return []
    times = target.whole.shape[0] // target.small.shape[0]
    return [(x / times, y / times) for x, y in peaks(target.spectrum, reference.spectrum)]


def _error(target: Codes, other: Codes, side: int) -> Field:
    """(H, W): mean squared difference in a square of this `side` around each sample."""
    difference: Any = cv2.absdiff(target, other)
    around: Any = cv2.sqrBoxFilter(
        difference, cv2.CV_32F, (side, side), borderType=cv2.BORDER_REPLICATE
    )
    result: Field = around
    return result


def _explains(error: Field, wrong: Field) -> NDArray[np.bool_]:
    return np.asarray(error < BETTER * wrong - FLOOR, np.bool_)


def _stands_still(
    flow: Field, target: Codes, reference: Codes, at_rest: Field
) -> NDArray[np.bool_]:
    """Where no motion explains the whole pictures better than `flow`, on whose grid the answer is. `at_rest`: the error
    without motion."""
    if np.abs(flow).max() < _REST:
        return np.zeros(flow.shape[:2], np.bool_)
    whole = enlarged(flow, (target.shape[0], target.shape[1]))
    still: Any = _explains(at_rest, _error(target, moved(reference, whole), _AROUND))
    size = (flow.shape[1], flow.shape[0])
    return np.asarray(
        cv2.resize(still.view(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127, np.bool_
    )
