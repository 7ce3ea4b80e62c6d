"""Batches of training patches, each a function of the seed and the iteration alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restore import planes
from restore.nets.architectures import ConditionName, condition_places
from restore.train.front import behind
from restore.train.processes import ALONE, Processes
from restore.train.recipe import Optim
from restore.train.shards import Shards


def patches(
    pairs: Shards,
    optim: Optim,
    iteration: int,
    scale: int,
    device: torch.device,
    group: Processes = ALONE,
    condition: Sequence[ConditionName] = (),
) -> tuple[Tensor, Tensor]:
    """The batch of one iteration: nominal luma (B, 1, p, p) and (B, 1, s*p, s*p), flipped and transposed together;
    of several processes each takes every n-th patch of the same batch. With `condition`, its planes follow the luma,
    (B, 1 + k, p, p), and `pairs` must hold the maps. Pairs of R, G, B have 3 in place of 1.

    With `candidates` that many are drawn for each, and the one Lanczos is furthest from the truth on is taken: most of
    a picture is smooth and teaches nothing (SamplingAug, Wang et al. 2021)."""
    masks = np.random.default_rng([optim.seed, iteration, 1])
    p = optim.crop
    lows, highs, told = [], [], []
    whose = condition_places(condition)
    for place in places(pairs, optim, iteration):
        (y, x), turn = place.corner, place.turn
        lr, hr = pairs.lr[place.shard], pairs.hr[place.shard]
        low = lr[place.index, lr.shape[1] // 2, ..., y : y + p, x : x + p]
        high = hr[place.index, ..., scale * y : scale * (y + p), scale * x : scale * (x + p)]
        lows.append(planes.turned(low, turn))
        highs.append(planes.turned(high, turn))
        if condition:
            window = slice(y, y + p), slice(x, x + p)
            known = pairs.maps[place.shard].planes(condition, place.index, window)
            for name in absent(condition, optim.condition_absent, masks):
                known[whose[name]] = 0
            told.append(planes.turned(known, turn))
    mine = own(len(lows), optim, group)
    low, high = (
        planes.to_nominal(
            with_colours(torch.stack([part[k] for k in mine])).to(device), 8, full_range=False, chroma=False
        )
        for part in (lows, highs)
    )  # fmt: skip
    if condition:
        low = behind(
            torch.cat([low, torch.stack([told[k] for k in mine]).to(device)], 1), condition
        )
    if optim.candidates == 1:
        return low, high
    chosen = hardest(low[:, : high.shape[1]], high, optim, scale)
    return low[chosen], high[chosen]


@dataclass(frozen=True)
class Place:
    """Where a patch is cut from, and how it is turned."""

    shard: int
    index: int
    """Of the sample in its shard."""
    corner: tuple[int, int]
    """(down, right), low-resolution samples."""
    turn: int
    """One of the eight symmetries of the square."""


def places(pairs: Shards, optim: Optim, iteration: int) -> Iterator[Place]:
    """Of one iteration, `candidates` for each patch of the batch, side by side."""
    rng = np.random.default_rng([optim.seed, iteration])
    sizes = np.cumsum([len(part) for part in pairs.lr])
    for number in rng.integers(sizes[-1], size=optim.batch * optim.candidates):
        shard = int(np.searchsorted(sizes, number, side="right"))
        index = int(number - (sizes[shard - 1] if shard else 0))
        y, x = (int(rng.integers(n - optim.crop + 1)) for n in pairs.lr[shard].shape[-2:])
        yield Place(shard, index, (y, x), int(rng.integers(8)))


def own(count: int, optim: Optim, group: Processes) -> list[int]:
    """Which of `count` candidates are this process's: every n-th patch with all of its candidates."""
    return [k for k in range(count) if k // optim.candidates % group.count == group.rank]


def hardest(picture: Tensor, truth: Tensor, optim: Optim, scale: int) -> Tensor:
    """Of each patch's candidates the number of the one that Lanczos makes worst of: (B * candidates, C, p, p) against
    (B * candidates, C, s*p, s*p) -> (B,)."""
    p = optim.crop
    base = planes.resample(picture, (scale * p, scale * p)) if scale > 1 else picture
    inner = slice(scale * optim.margin, scale * (p - optim.margin))
    error = ((truth - base)[..., inner, inner] ** 2).mean((1, 2, 3))
    worst = error.view(-1, optim.candidates).argmax(1)
    return worst + optim.candidates * torch.arange(len(worst), device=worst.device)


def with_colours(codes: Tensor) -> Tensor:
    """(B, h, w) luma -> (B, 1, h, w); (B, 3, h, w) R, G, B as they are."""
    return codes if codes.ndim == 4 else codes[:, None]


def absent(
    condition: Sequence[ConditionName], share: float, rng: np.random.Generator
) -> list[ConditionName]:
    """Which of `condition` are unknown: none, or, in a `share` of all draws, any of the sets of them, all alike."""
    drawn = int(rng.integers(1, 1 << len(condition))) if rng.random() < share else 0
    return [name for k, name in enumerate(condition) if drawn >> k & 1]
