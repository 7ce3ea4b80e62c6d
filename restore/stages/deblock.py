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
_STEP_OF_EDGE = 20.0
"""Quantiser step by the strength of a block grid found in the picture; 13 to 38 in MPEG-1 encodes of known step."""
_GREATEST_STEP = 24.0
"""What is guessed from the picture alone goes no further."""


class Deblock(Stage):
    """Where the codec exports its quantiser, that decides; else the block grid that the index found in the scene;
    where there is neither, the picture stays as it is."""

    needs: ClassVar[frozenset[str]] = frozenset({"grid"})

    strength: float = Field(0.5, ge=0, le=4)
    """Multiplier of what the quantiser asks for: 0 leaves the picture alone, 1 is best where no network follows."""

    def process(self, clip: FrameBatch) -> Planes:
        if self.strength == 0:
            return clip.planes
        height = clip.original()[1].height
        return tuple(self._plane(clip, plane, height) for plane in clip.planes)

    def _plane(self, clip: FrameBatch, plane: Tensor, source_height: int) -> Tensor:
        size = (plane.shape[-2], plane.shape[-1])
        ratio = size[0] / source_height
        steps = torch.cat([self._steps(clip, i, size, ratio) for i in range(len(clip))])
        # Away from 0: the logarithm of a step is taken, and chroma's zero is mid-range.
        done = deblock(plane.float() * _CODES, steps.to(plane.device) * self.strength)
        return (done / _CODES).to(plane.dtype)

    def _steps(self, clip: FrameBatch, index: int, size: tuple[int, int], ratio: float) -> Tensor:
        """(1, 1, H, W) quantiser steps of one frame in 8-bit codes, on the grid of a plane of `size`."""
        quant = clip.quant[index] if clip.quant else None
        if quant is not None:
            return spread(quant, size, ratio)
        facts = clip.facts.get(clip.frames[index].scene)
        step = _STEP_OF_EDGE * facts.grid.strength if facts and facts.grid else 0.0
        return torch.full((1, 1, *size), min(step, _GREATEST_STEP))


def spread(quant: QuantMap, size: tuple[int, int], ratio: float) -> Tensor:
    """(1, 1, H, W): the map's steps at every sample of a plane that has `ratio` samples per source luma sample."""
    cell = max(1, round(quant.cell * ratio))
    big = quant.steps[None, None].float().repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    down, across = max(0, size[0] - big.shape[2]), max(0, size[1] - big.shape[3])
    return F.pad(big, (0, across, 0, down), "replicate")[:, :, : size[0], : size[1]]


STAGE = Deblock
