"""Sequences for recurrent networks: T frames of one place, with the truth of each and the motion between them.

Low resolution, (B, T, 1 + k + 3, p, p): nominal luma, the planes of the k conditions, and the way to the frame before
(train.passage): flow in samples, x then y, and trust, which is 0 at the first frame, at a cut, and where the way leads out
of the patch. High resolution, (B, T, 1, s*p, s*p): nominal luma.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from restore import planes
from restore.nets.architectures import ConditionName, condition_places, count_planes
from restore.train.batches import absent, hardest, own, places
from restore.train.processes import ALONE, Processes
from restore.train.recipe import Optim
from restore.train.shards import Shards

Window = tuple[slice, slice]
"""Rows and columns of a crop."""


def sequence_patches(
    pairs: Shards,
    optim: Optim,
    iteration: int,
    scale: int,
    device: torch.device,
    group: Processes = ALONE,
    condition: Sequence[ConditionName] = (),
) -> tuple[Tensor, Tensor]:
    """The batch of one iteration, (low, high), as train.batches makes those of single frames: a function of the seed and
    the iteration alone, flipped and transposed, conditions left out for a share of the sequences, the hardest of
    `candidates` taken."""
    masks = np.random.default_rng([optim.seed, iteration, 1])
    p = optim.crop
    lows, highs = [], []
    for place in places(pairs, optim, iteration):
        y, x = place.corner
        window = slice(y, y + p), slice(x, x + p)
        low = sequence(pairs, place.shard, place.index, condition, window)
        if condition:
            for name in absent(condition, optim.condition_absent, masks):
                low[:, 1:][:, condition_places(condition)[name]] = 0
        lows.append(turned(low, place.turn, 1 + count_planes(condition)))
        truth = pairs.hr[place.shard][
            place.index, :, None, scale * y : scale * (y + p), scale * x : scale * (x + p)
        ]
        highs.append(turned(nominal(truth), place.turn))
    mine = own(len(lows), optim, group)
    low, high = (torch.stack([part[k] for k in mine]).to(device) for part in (lows, highs))
    if optim.candidates == 1:
        return low, high
    # How hard a sequence is shows in any of its frames.
    chosen = hardest(low[:, -1, :1], high[:, -1], optim, scale)
    return low[chosen], high[chosen]


def sequence(
    pairs: Shards,
    shard: int,
    index: int,
    condition: Sequence[ConditionName],
    window: Window | None = None,
) -> Tensor:
    """(T, 1 + k + 3, h, w): the low resolution of one sample, or of a `window` of it."""
    frames = pairs.lr[shard][index]
    window = window or (slice(0, frames.shape[-2]), slice(0, frames.shape[-1]))
    luma = nominal(frames[:, None, window[0], window[1]])
    count, _, height, width = luma.shape
    low = torch.cat([luma, torch.zeros(count, count_planes(condition) + 3, height, width)], 1)
    for t in range(count):
        if condition:
            known = pairs.maps[shard].planes(condition, index, window, t)
            low[t, 1 : 1 + len(known)] = known
        if t:
            low[t, -3:] = pairs.passages[shard].planes(index, t - 1, window)
    return low


def turned(frames: Tensor, turn: int, flow: int | None = None) -> Tensor:
    """One of the eight symmetries of the square, in the last two dimensions of (T, planes, h, w); planes `flow` and
    `flow` + 1 are vectors, x and y, which turn too."""
    frames = planes.turned(frames, turn).clone()
    if flow is not None:
        if turn & 1:
            frames[:, flow] *= -1
        if turn & 2:
            frames[:, flow + 1] *= -1
        if turn & 4:
            frames[:, [flow, flow + 1]] = frames[:, [flow + 1, flow]]
    return frames


def nominal(codes: Tensor) -> Tensor:
    """uint8 limited-range luma codes -> nominal float32."""
    return planes.to_nominal(codes, 8, full_range=False, chroma=False)


def frame_weights(count: int) -> list[float]:
    """What each of `count` frames counts for in the loss, 1 on average: the last three times as much as the first, which
    has nothing to remember."""
    rising = [1 + 2 * t / max(1, count - 1) for t in range(count)]
    return [weight * count / sum(rising) for weight in rising]
