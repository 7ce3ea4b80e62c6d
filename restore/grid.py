"""What a picture shows of its coding: the block grid and how visible it is, and the noise.

Pure functions over luma frames; the index runs them ahead of the render, so that what a stage does with the
answer never depends on how a scene was cut into batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.video import BlockGrid

Profile = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

PERIODS = (4.0, 24.0)
"""Block sizes looked for, in samples; a picture rescaled after coding has a grid that is no whole number."""
_LEAST = 6.0
"""A grid must stand out of the other columns by this many standard errors along one axis ..."""
_LEAST_OTHER = 4.0
"""... and by this many along the other. Several thousand grids are tried: chance alone reaches about 4."""


def find_grid(luma: Tensor) -> BlockGrid | None:
    """The block grid of (T, 1, H, W) uint8 luma codes, or None where none stands out.

    Every column gets its excess step (SCIENCE E1): how much larger the step into it is than the steps beside it.
    Block edges are the one thing that makes every n-th column of many frames stand out. Each period and offset is
    scored by the mean on its lines against the mean off them, in standard errors. Sizes under three periods: None.
    """
    # A dozen frames, spread over the scene, say as much as all.
    frames = luma[:: max(1, len(luma) // 12), 0]
    height, width = frames.shape[-2:]
    if min(height, width) < 3 * 8:
        return None
    profiles = [excess_steps(f).numpy() for f in (frames.transpose(1, 2), frames)]
    found = [_line_grid(p, _periods(len(p) - 4)) for p in profiles]
    strong = 0 if found[0][0] > found[1][0] else 1
    if found[strong][0] < _LEAST:
        return None
    # The other axis follows: blocks are square, may be seen at half or twice their size along one axis (fields,
    # macroblocks), and a rescaling that changes the aspect changes it by no more than a third.
    period = found[strong][1]
    near = [p for p in _periods(len(profiles[1 - strong]) - 4) if _belongs(p / period)]
    found[1 - strong] = _line_grid(profiles[1 - strong], near)
    if found[1 - strong][0] < _LEAST_OTHER:
        return None
    (_, py, oy, sy), (_, px, ox, sx) = found
    return BlockGrid((py, px), (oy, ox), (sy + sx) / 2)


def _belongs(ratio: float) -> bool:
    return ratio in (0.5, 2.0) or 0.75 < ratio < 1.34


def excess_steps(frames: Tensor) -> Tensor:
    """(T, H, W) uint8 -> (W,) float64: mean over rows and frames of how much the step from sample x - 1 to x exceeds the
    mean of the steps before and after it, never below 0; 0 where the picture ends. In the units of `frames`."""
    total = np.zeros(frames.shape[-1] - 3, np.int64)
    for frame in map(np.ascontiguousarray, frames.numpy()):
        step = cv2.absdiff(frame[:, 1:], frame[:, :-1]).astype(np.int16)
        twice = 2 * step[:, 1:-1] - step[:, :-2] - step[:, 2:]
        total += np.maximum(twice, 0, out=twice).sum(0, np.int32)
    mean = total / (2 * len(frames) * frames.shape[1])
    return torch.from_numpy(np.pad(mean, 2))


@dataclass(frozen=True)
class _Lines:
    """Where the lines of every grid of some periods lie in a profile of some length."""

    period: Profile
    offset: Profile
    """Of each grid."""
    first: Places
    """Where each grid begins in `at`."""
    count: Profile
    at: Places
    """Places of all lines, grid by grid."""
    runs: tuple[tuple[int, int], ...]
    """(first, stop) of the grids of each period."""


@lru_cache(maxsize=8)
def _lines(length: int, periods: tuple[float, ...]) -> _Lines:
    found: list[tuple[float, float, int]] = []
    at: list[Places] = []
    runs: list[tuple[int, int]] = []
    for period in periods:
        begin = len(found)
        steps = np.arange(math.floor((length - 1) / period)) * period
        for offset in np.arange(0, period, 1.0 if period.is_integer() else 0.5):
            places = np.rint(offset + steps).astype(np.intp)
            at.append(places[places < length])
            found.append((period, offset, len(at[-1])))
        runs.append((begin, len(found)))
    period, offset, count = np.array(found, np.float64).T
    first = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.intp)
    return _Lines(period, offset, first, count, np.concatenate(at), tuple(runs))


def _line_grid(profile: Profile, periods: list[float]) -> tuple[float, float, float, float]:
    """(score, period, offset, mean excess on the lines) of the best grid of one of `periods` in a (W,) profile of
    excess steps."""
    best = (0.0, 8.0, 0.0, 0.0)
    if not periods:
        return best
    inner = profile[2:-2]
    # What stands out of its neighbours is looked for, not what is busy as a whole; and a strong edge of the scene
    # itself is one line among many: it may count once, not for all.
    around = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(inner, 4, "reflect"), 9), 1)
    raised = inner - around
    spread = float(_lower_median(np.abs(raised))) * 1.4826 + 1e-6
    clipped = raised.clip(-3 * spread, 3 * spread)
    clipped = clipped - clipped.mean()
    deviation = float(clipped.std(ddof=1)) + 1e-6
    length, lines = len(clipped), _lines(len(clipped), tuple(periods))
    # Sum over the lines against the spread of such a sum when lines are drawn at random.
    sums = np.add.reduceat(clipped[lines.at], lines.first)
    scores = sums / (deviation * np.sqrt(lines.count * (1 - lines.count / length)))
    for first, stop in lines.runs:
        top = first + int(scores[first:stop].argmax())
        if float(scores[top]) > best[0] * 1.02:
            on = inner[lines.at[lines.first[top] : lines.first[top] + int(lines.count[top])]]
            off = (float(inner.sum()) - float(on.sum())) / max(1, length - len(on))
            period = float(lines.period[top])
            offset = (float(lines.offset[top]) + 2) % period
            best = (float(scores[top]), period, offset, max(0.0, float(on.mean()) - off))
    return best


def _lower_median(values: Profile) -> float:
    """The lower of the two in the middle, where there are two."""
    return float(np.partition(values, (len(values) - 1) // 2)[(len(values) - 1) // 2])


def _periods(length: int) -> list[float]:
    """Whole numbers first (they win ties), then steps fine enough that a line drifts by under half a sample."""
    low, high = PERIODS
    periods = [8.0, 16.0, *(float(p) for p in range(int(low), int(high) + 1) if p not in (8, 16))]
    period = low
    while period < min(high, length / 3):
        period += 0.5 * period * period / length
        periods.append(period)
    return [p for p in periods if p <= length / 3]


STEP_OF_EDGE = 20.0
"""Quantiser step by the strength of a block grid; 13 to 38 in MPEG-1 encodes of known step."""
GREATEST_STEP = 24.0
"""What is guessed from the picture alone goes no further."""


def guess_step(grid: BlockGrid | None) -> float:
    """The quantiser step, in 8-bit codes, that a picture with this grid was coded with; 0 where there is no grid."""
    if grid is None:
        return 0.0
    # Blocks of 4 mean a codec that filters its own edges: what is left of them says little, and little is to be done.
    gentle = 0.25 if max(grid.period) < 6 else 1.0
    return gentle * min(STEP_OF_EDGE * grid.strength, GREATEST_STEP)


def measure_noise(luma: Tensor) -> float:
    """Standard deviation of the noise of (T, 1, H, W) luma codes, in codes of its depth, frame by frame (nothing
    moves here): Immerkaer's Laplacian (1996) per 8x8 block, of which the quietest tenth counts, so texture is
    not taken for noise. 0 for pictures under 3 samples a side."""
    x = luma.float()
    if min(x.shape[-2:]) < 3:
        return 0.0
    kernel = x.new_tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]).view(1, 1, 3, 3)
    response = F.conv2d(x, kernel).abs()
    block = min(8, *response.shape[-2:])
    local = F.avg_pool2d(response, block).flatten(1)
    quiet = local.quantile(0.1, dim=1).mean()
    return float(quiet) * math.sqrt(math.pi / 2) / 6
