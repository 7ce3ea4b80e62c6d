"""Remove the block edges and ringing of a codec, as strongly as its quantiser asks for."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from restore.deblocking import deblock
from restore.grid import guess_step
from restore.planes import quant_plane
from restore.stage import Stage
from restore.video import FrameBatch, Planes

_CODES = 219.0
"""8-bit codes of one nominal unit of luma."""


class Deblock(Stage):
    """Where the codec exports its quantiser, that decides; else the block grid that the index found in the scene;
    where there is neither, the picture stays as it is."""

    needs: ClassVar[frozenset[str]] = frozenset({"grid"})

    strength: float = Field(0.35, ge=0, le=4)
    """Multiplier of what the quantiser asks for: 0 leaves the picture alone, 0.35 is best before a network, 0.7 without one."""

    def process(self, clip: FrameBatch) -> Planes:
        if self.strength == 0:
            return clip.planes
        height = clip.original()[1].height
        return tuple(self._plane(clip, plane, height) for plane in clip.planes)

    def _plane(self, clip: FrameBatch, plane: Tensor, source_height: int) -> Tensor:
        size = (plane.shape[-2], plane.shape[-1])
        steps = torch.cat([self._steps(clip, i, size, source_height) for i in range(len(clip))])
        # Away from 0: the logarithm of a step is taken, and chroma's zero is mid-range.
        done = deblock(plane.float() * _CODES, steps.to(plane.device), self.strength)
        return (done / _CODES).to(plane.dtype)

    def _steps(
        self, clip: FrameBatch, index: int, size: tuple[int, int], source_height: int
    ) -> Tensor:
        """(1, 1, H, W) quantiser steps of one frame in 8-bit codes, on the grid of a plane of `size`."""
        quant = clip.quant[index] if clip.quant else None
        if quant is not None:
            return quant_plane(quant, size, source_height)
        facts = clip.facts.get(clip.frames[index].scene)
        return torch.full((1, 1, *size), guess_step(facts.grid if facts else None))


STAGE = Deblock
