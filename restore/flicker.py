"""Flicker: how brightness jumps from frame to frame, where content does not. NumPy and OpenCV, on the CPU.

Each frame is fitted to the one before it, moved onto it: a field of gain, a few cosines over the picture, and one offset. What
these steps add up to is the curve of a scene's exposure. Its slow part is content (exposure ramps, fades); so are jumps that are no
flicker of this scene (lightning, a lamp switched on); the rest is flicker.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.warping import Field, grid, remap

Codes = NDArray[np.uint8]
"""(H, W) luma, 8-bit codes."""
Real = NDArray[np.float64]

BLACK = 16.0
HEIGHT = 72
"""Rows of the small pictures that are compared, or a little more or fewer."""
WAVES = tuple((down, across) for down in range(3) for across in range(4))
"""Half waves (down, across) of each cosine of the gain."""
GAINS, OFFSET, LEVEL, WIDTH = len(WAVES), len(WAVES), len(WAVES) + 1, len(WAVES) + 2
"""Places of a step's numbers: gains (natural logarithms), the offset and the change of mean luma that they make (8-bit codes)."""

_DARK, _BRIGHT, _EDGE = 22, 230, 2
"""Samples beyond these codes may have been clipped; so many rows and columns at the edges are left out."""
_ROUNDS = 6
_RIDGE = 2e-4
"""Of the fit, per sample and in units of 40 codes squared: what holds terms at zero that the picture says nothing about."""
_UNIT = 40.0


def small(luma: Codes) -> Field:
    """About HEIGHT rows of it, float codes."""
    height, width = luma.shape
    times = max(1, round(height / HEIGHT))
    size = max(1, width // times), max(1, height // times)
    return np.asarray(
        cv2.resize(luma.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32
    )


def cosines(height: int, width: int) -> Field:
    """(GAINS, height, width), each between -1 and 1."""
    y, x = (np.arange(n, dtype=np.float64) + 0.5 for n in (height, width))
    return np.stack(
        [
            np.outer(np.cos(np.pi * down * y / height), np.cos(np.pi * across * x / width))
            for down, across in WAVES
        ]
    ).astype(np.float32)


_cosines = lru_cache(maxsize=4)(cosines)


class Steps:
    """Measures each frame's step from the one before."""

    def __init__(self) -> None:
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._last: tuple[Field, Codes] | None = None

    def __call__(self, luma: Codes) -> Real:
        """(WIDTH,) of the next frame; of the first, 0."""
        picture = small(luma)
        around = cv2.GaussianBlur(picture, (0, 0), 12)
        shape = np.clip(np.rint(128 + picture - around), 0, 255).astype(np.uint8)
        last, self._last = self._last, (picture, shape)
        if last is None or min(picture.shape) < 16:
            return np.zeros(WIDTH)
        flow = self._flow.calc(last[1], shape, None)
        place = flow + grid(*picture.shape)
        return fit(last[0], remap(picture, place, cv2.INTER_CUBIC))


def fit(before: Field, after: Field) -> Real:
    """(WIDTH,): after - before as gain and offset of what both show, robustly; both (h, w) float codes."""
    height, width = before.shape
    mean = (before + after) / 2
    known = (np.minimum(before, after) > _DARK) & (np.maximum(before, after) < _BRIGHT)
    known[:_EDGE] = known[-_EDGE:] = False
    known[:, :_EDGE] = known[:, -_EDGE:] = False
    if known.sum() < 200:
        return np.zeros(WIDTH)
    terms = _cosines(height, width).reshape(GAINS, -1)[:, known.ravel()] * (mean[known] - BLACK)
    terms = np.concatenate([terms, np.full((1, terms.shape[1]), _UNIT, np.float32)])
    wanted = (after - before)[known]
    hold = np.full(GAINS + 1, _RIDGE * _UNIT**2 * len(wanted))
    weight = np.ones_like(wanted)
    found: Real = np.zeros(GAINS + 1)
    for _ in range(_ROUNDS):
        weighted = terms * weight
        normal = (weighted @ terms.T).astype(np.float64) + np.diag(hold)
        found = np.asarray(np.linalg.solve(normal, (weighted @ wanted).astype(np.float64)))
        error = wanted - found.astype(np.float32) @ terms
        scale = 1.4826 * float(np.median(np.abs(error))) + 0.3
        weight = 1 / (1 + (error / (2 * scale)) ** 2) ** 2
    field = np.tensordot(found[:GAINS], _cosines(height, width), 1)
    level = float((field * (mean - BLACK)).mean() + found[GAINS] * _UNIT)
    return np.concatenate([found[:GAINS], [found[GAINS] * _UNIT, level]])


SIGMA, LOCAL_SIGMA = 12.0, 6.0
"""Standard deviations, in frames, of what is taken for the slow part of a curve: of the whole picture's brightness, and of
how it is spread, which things that move change too."""
_QUICK_SIGMA = 3.0
"""Taken where the slow part bends more than flicker makes it: in a fade ..."""
_BEND, _LEAST_BEND = 2.2, 0.2
"""... by so many times what flicker's noise moves it, of which so many codes are always there; from twice that on, whole."""
_EVEN = 4
"""Frames on each side over which that is averaged: from frame to frame it must not change."""
_SLOW = 36
"""Frames on each side of one that its slow part is found from."""
_USUAL = 24
"""Frames on each side by which the usual step of a scene is known."""
_RUN = 4
"""Frames on each side of a step whose median tells whether brightness runs up or down."""
_JUMP, _LASTING, _LEAST_JUMP = 5.0, 3.0, 5.0
"""A step is no flicker if it is of so many usual ones, or of so many that last; and of at least so many codes."""
_AFTER = 6
"""Frames before and after a step by which it is known whether it lasts."""
_STEADY = 0.9
"""A run slower than so many usual steps is left to the slow part of the curve."""
_SHOWN = 48
"""Frames on each side by which it is known whether a scene flickers."""
_QUIET, _CERTAIN = 0.5, 1.0
"""Change of mean luma from frame to frame by flicker, in codes, root mean square: up to the one it is none, and from the
other on it is treated whole. What moves changes brightness too, but not to and fro."""
REACH = max(_RUN, _AFTER) + _USUAL + max(_SLOW + _EVEN, _SHOWN) + 1
"""Frames on each side of one that decide what is done to it."""


class Parts(NamedTuple):
    """Of (n, WIDTH) steps of one scene."""

    content: Real
    """(n, WIDTH): what of them is no flicker: jumps, and what runs on."""
    usual: Real
    """(n,): codes of mean luma that flicker usually changes by."""
    restless: Real
    """(n,): change of mean luma to and fro; of jumps 0."""


def parts(steps: Real) -> Parts:
    """What runs one way for a while is told from what goes to and fro by the median of the steps around."""
    count = len(steps)
    # The first step is none, and what is repeated no step either: quantiles, not means.
    run = [
        np.median(steps[max(1, t - _RUN) : t + _RUN + 1], 0) if t else 0 * steps[0]
        for t in range(count)
    ]
    rest = np.array([steps[t, LEVEL] - run[t][LEVEL] for t in range(count)])
    content, usual, restless = np.zeros_like(steps), np.zeros(count), rest.copy()
    for t in range(1, count):
        around = np.abs(rest[max(1, t - _USUAL) : t + _USUAL + 1])
        usual[t] = float(np.quantile(around, 0.8)) / 1.28
        size = abs(float(run[t][LEVEL]))
        lasting = min(abs(rest[t]), abs(_shift(steps[:, LEVEL], t)))
        unusual = max(abs(rest[t]) / _JUMP, lasting / _LASTING) > usual[t]
        if unusual and abs(rest[t]) > _LEAST_JUMP:
            content[t], restless[t] = steps[t], 0
        elif size > _STEADY * usual[t]:
            content[t] = run[t] * (1 - _STEADY * usual[t] / size)
    if count > 1:
        usual[0] = usual[1]
    return Parts(content, usual, restless)


def _shift(level: Real, t: int) -> float:
    """How much brighter, in codes, the frames from `t` on are than those before; by the steps of mean luma."""
    low = max(0, t - _AFTER)
    curve = level[low : t + _AFTER].copy()
    curve[0] = 0
    curve = np.cumsum(curve)
    return float(np.median(curve[t - low :]) - np.median(curve[: t - low]))


class Flicker(NamedTuple):
    """Of the frames of a scene, or of a stretch of one."""

    excess: Real
    """(n, WIDTH): how far each is from the slow part of its exposure."""
    certainty: Real
    """(n,): 0 to 1, that the scene flickers."""


def flickers(steps: Real) -> Flicker:
    """By (n, WIDTH) steps, the first of which is not looked at. What is found of a frame depends on the REACH frames on each side of
    it alone, up to the last bit."""
    known = parts(steps)
    left = steps - known.content
    slow, quick, bend = np.zeros_like(left), np.zeros_like(left), np.zeros(len(left))
    for t in range(len(left)):
        low = max(0, t - _SLOW)
        curve = left[low : t + _SLOW + 1].copy()
        curve[0] = 0
        curve = np.cumsum(curve, 0)
        curve -= curve[t - low].copy()
        weights = [_slow(len(curve), t - low, s) for s in (SIGMA, _QUICK_SIGMA, LOCAL_SIGMA)]
        slow[t], quick[t], spread = ((w[:, None] * curve).sum(0) for w in weights)
        slow[t, 1:GAINS] = quick[t, 1:GAINS] = spread[1:GAINS]
        noise = known.usual[t] * math.sqrt(float(((weights[1] - weights[0]) ** 2).sum()))
        bend[t] = abs(quick[t, LEVEL] - slow[t, LEVEL]) / (noise + _LEAST_BEND)
    certain = ((bend - _BEND) / _BEND).clip(0, 1)
    excess = np.zeros_like(left)
    for t in range(len(left)):
        share = float(certain[max(0, t - _EVEN) : t + _EVEN + 1].mean())
        excess[t] = -(slow[t] + share * (quick[t] - slow[t]))
    return Flicker(excess, _certainty(known.restless))


def _certainty(restless: Real) -> Real:
    found = np.zeros(len(restless))
    for t in range(len(restless)):
        around = restless[max(1, t - _SHOWN) : t + _SHOWN + 1]
        power = float((around**2).mean()) if len(around) else 0.0
        found[t] = (math.sqrt(power) - _QUIET) / (_CERTAIN - _QUIET)
    return found.clip(0, 1)


@lru_cache(maxsize=1024)
def _slow(length: int, place: int, sigma: float) -> Real:
    """(length,) weights of a stretch of a curve, which give its slow part at `place`: a straight line fitted there, so
    that a ramp is followed to the ends of its scene."""
    x = np.arange(length, dtype=np.float64) - place
    weight = np.exp(-((x / sigma) ** 2) / 2)
    zeroth, first, second = (float((weight * x**n).sum()) for n in range(3))
    spread = zeroth * second - first**2
    if spread < 1e-9:
        return np.asarray(weight / zeroth)
    return np.asarray(weight * (second - first * x) / spread)
