"""What is known of a frame beside its luma, as input planes: what the bitstream says, and what earlier stages changed.

Zero means unknown, in every plane: what a codec does not export, what a user's file lacks, and what lies outside the
picture (convolutions pad with zeros) look alike. So that a network also works without, it is to be trained with each
sample's planes set to zero at random, one by one and all together, in a good part of the batches (condition dropout);
at zero it is then the network that never had them, shape and all: only the first layer has kernels for these planes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from restore.nets.architectures import ConditionName
from restore.planes import quant_plane
from restore.video import FrameBatch

CHANGE_UNIT = 0.05
"""Difference of nominal luma that counts as 1 in the plane `change`."""

STEP_UNIT = 32.0
"""Quantiser step, in 8-bit codes, that counts as 1."""

STEP_LIMIT = 2.0
"""Larger ones look alike: what is coded so coarsely is flat."""

PICTURE_TYPES = {"I": 1.0, "P": 0.5, "B": -1.0}
"""In the order of their usual quality; anything else is unknown: 0."""


def condition_planes(names: Sequence[ConditionName], clip: FrameBatch) -> Tensor:
    """(T, len(names), h, w) float32 for the luma of `clip`, on its device: `quantiser`, the step of the cell that each
    sample lies in, in units of STEP_UNIT; `picture_type`, one of PICTURE_TYPES everywhere; `change`, the decoded luma less
    this one, in units of CHANGE_UNIT: what stages before took away, 0 where none has been or the size is another."""
    luma = clip.planes[0]
    size = (luma.shape[-2], luma.shape[-1])
    found = torch.zeros(len(clip), len(names), *size, device=luma.device)
    source_height = clip.original()[1].height
    decoded = clip.original()[0][0]
    if "change" in names and decoded.shape == luma.shape:
        found[:, names.index("change")] = to_change(decoded - luma)[:, 0]
    for index, frame in enumerate(clip.frames):
        quant = clip.quant[index] if clip.quant else None
        for plane, name in enumerate(names):
            if name == "picture_type":
                found[index, plane] = PICTURE_TYPES.get(frame.picture_type, 0.0)
            elif name == "quantiser" and quant is not None:
                found[index, plane] = steps_to_plane(quant_plane(quant, size, source_height))[0, 0]
    return found


def steps_to_plane(steps: Tensor) -> Tensor:
    """Quantiser steps in 8-bit codes -> values of the `quantiser` plane, of the same shape."""
    return (steps / STEP_UNIT).clamp(0, STEP_LIMIT)


def to_change(difference: Tensor) -> Tensor:
    """Nominal luma as decoded less that of now -> values of the `change` plane, of the same shape."""
    return difference / CHANGE_UNIT
