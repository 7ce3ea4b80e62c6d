"""How coarsely the last codec worked: its quantiser where the bitstream tells, and the blocks that are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from restore.grid import find_grid, guess_step
from restore.video import BlockGrid

_AGREE = 0.5
"""Samples by which the grids of two shots may differ and be one."""


@dataclass(frozen=True, slots=True)
class Blocks:
    grid: BlockGrid | None
    """That most shots show; None: no block edges are seen."""
    shots: float
    """Share of the shots that show it."""
    step: float | None
    """Quantiser step in 8-bit codes: of the bitstream where it tells; else what the visible blocks speak for; None:
    neither."""
    exported: bool
    """The step is the bitstream's."""


def grid_of(luma: NDArray[np.uint8]) -> BlockGrid | None:
    """Of (T, H, W) frames of one scene (see restore.grid.find_grid)."""
    return find_grid(torch.from_numpy(np.ascontiguousarray(luma))[:, None])


def blocks(grids: Sequence[BlockGrid | None], steps: Sequence[float]) -> Blocks:
    """From the grids of all shots, and the mean quantiser step of each frame of which it is known."""
    seen = [g for g in grids if g is not None]
    grid, share = None, 0.0
    if seen:
        agreeing = max(([g for g in seen if _alike(g, one)] for one in seen), key=len)
        share = len(agreeing) / len(grids)
        if share >= 0.5:
            strength = float(np.median([g.strength for g in agreeing]))
            grid = BlockGrid(agreeing[0].period, agreeing[0].offset, strength)
    if steps:
        return Blocks(grid, share, float(np.median(steps)), True)
    return Blocks(grid, share, guess_step(grid) if grid else None, False)


def _alike(one: BlockGrid, other: BlockGrid) -> bool:
    """Whether two grids can be one: the same lines, or each second of them (macroblocks)."""
    for a, b, p, q in zip(one.period, other.period, one.offset, other.offset, strict=True):
        small, large = min(a, b), max(a, b)
        if abs(large / small - round(large / small)) * small > _AGREE:
            return False
        distance = (p - q) % small
        if min(distance, small - distance) > _AGREE:
            return False
    return True
