"""What is known of a frame beside its luma, as input planes: what the bitstream says, what earlier stages changed, and
what the frames beside it show.

Zero means unknown, in every plane: what a codec does not export, what a user's file lacks, and what lies outside the
picture (convolutions pad with zeros) look alike. So that a network also works without, it is to be trained with each
sample's planes set to zero at random, one by one and all together, in a good part of the batches (condition dropout);
at zero it is then the network that never had them, shape and all: only the first layer has kernels for these planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from restore.nets.architectures import ConditionName, condition_places, count_planes
from restore.nets.neighbours import REACH, UNIT, Neighbours
from restore.planes import quant_plane
from restore.video import FrameBatch

STEP_UNIT = 32.0
"""Quantiser step, in 8-bit codes, that counts as 1."""

STEP_LIMIT = 2.0
"""Larger ones look alike: what is coded so coarsely is flat."""

PICTURE_TYPES = {"I": 1.0, "P": 0.5, "B": -1.0}
"""In the order of their usual quality; anything else is unknown: 0."""


class Conditions:
    """Makes the planes of `names` for one clip after the other:

    quantiser     the step of the cell that each sample lies in, in units of STEP_UNIT
    picture_type  one of PICTURE_TYPES everywhere
    change        the decoded (or repaired) luma less this one, in UNIT: what stages before took away, 0 where the size is another
    neighbours    see nets.neighbours
    """

    def __init__(self, names: Sequence[ConditionName]) -> None:
        self._places = condition_places(names)
        self._count = count_planes(names)
        self._neighbours = Neighbours()
        self.reach = REACH if "neighbours" in names else 0
        """Frames wanted on each side of those that planes are made for."""

    def reset(self) -> None:
        """What comes is another scene or film."""
        self._neighbours.reset()

    def __call__(self, clip: FrameBatch) -> Tensor:
        """(T - 2 * reach, planes, h, w) float32 for the luma of the inner frames of `clip`, on its device."""
        wanted = range(self.reach, len(clip) - self.reach)
        size = (clip.planes[0].shape[-2], clip.planes[0].shape[-1])
        found = torch.empty(len(wanted), self._count, *size, device=clip.planes[0].device)
        for planes, t in zip(found, wanted, strict=True):
            for name, place in self._places.items():
                self._fill(name, planes[place], clip, t)
        return found

    def _fill(self, name: ConditionName, planes: Tensor, clip: FrameBatch, t: int) -> None:
        """Write the planes of one condition for frame `t`."""
        (decoded, *_), source = clip.original()
        luma = clip.planes[0]
        if name == "picture_type":
            planes.fill_(PICTURE_TYPES.get(clip.frames[t].picture_type, 0.0))
        elif name == "quantiser":
            quant = clip.quant[t] if clip.quant else None
            if quant is None:
                planes.zero_()
            else:
                size = (luma.shape[-2], luma.shape[-1])
                shown = replace(quant, steps=steps_to_plane(quant.steps.float()))
                planes.copy_(quant_plane(shown, size, source.height)[0])
        elif name == "change":
            if decoded.shape == luma.shape:
                planes.copy_(to_change(decoded[t] - luma[t]))
            else:
                planes.zero_()
        else:
            self._neighbours(clip, t, planes)


def steps_to_plane(steps: Tensor) -> Tensor:
    """Quantiser steps in 8-bit codes -> values of the `quantiser` plane, of the same shape."""
    return (steps / STEP_UNIT).clamp(0, STEP_LIMIT)


def to_change(difference: Tensor) -> Tensor:
    """Nominal luma as decoded less that of now -> values of the `change` plane, of the same shape."""
    return difference / UNIT
