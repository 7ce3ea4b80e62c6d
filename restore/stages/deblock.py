"""Remove the block edges and ringing of a codec, as strongly as its quantiser asks for."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from restore.deblocking import deblock
from restore.stage import Stage
from restore.video import FrameBatch, Planes, QuantMap

_CODES = 219.0
"""8-bit codes of one nominal unit of luma."""


class Deblock(Stage):
    needs: ClassVar[frozenset[str]] = frozenset({"grid"})

    strength: float = Field(1.0, ge=0, le=4)
    """Multiplier of what the quantiser asks for: 0 leaves the picture alone."""

    def process(self, clip: FrameBatch) -> Planes:
        if self.strength == 0:
            return clip.planes
        source_height = clip.original()[1].height
        done = []
        for plane in clip.planes:
            size = (plane.shape[-2], plane.shape[-1])
            steps = torch.cat(
                [self._steps(clip, i, size, source_height, plane.device) for i in range(len(clip))]
            )
            done.append(deblock(plane, steps * (self.strength / _CODES)))
        return tuple(done)

    def _steps(
        self,
        clip: FrameBatch,
        index: int,
        size: tuple[int, int],
        source_height: int,
        device: torch.device,
    ) -> Tensor:
        """(1, 1, H, W) quantiser steps of one frame in 8-bit codes, on the grid of a plane of `size`."""
        quant = clip.quant[index] if clip.quant else None
        if quant is not None:
            return spread(quant, size, size[0] / source_height).to(device)
        facts = clip.facts.get(clip.frames[index].scene)
        grid = facts.grid if facts else None
        return torch.full((1, 1, 1, 1), grid.strength if grid else 0.0, device=device).expand(
            1, 1, *size
        )


def spread(quant: QuantMap, size: tuple[int, int], ratio: float) -> Tensor:
    """(1, 1, H, W): the map's steps at every sample of a plane that has `ratio` samples per source luma sample."""
    cell = max(1, round(quant.cell * ratio))
    big = quant.steps[None, None].float().repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    down, across = max(0, size[0] - big.shape[2]), max(0, size[1] - big.shape[3])
    return F.pad(big, (0, across, 0, down), "replicate")[:, :, : size[0], : size[1]]


STAGE = Deblock
