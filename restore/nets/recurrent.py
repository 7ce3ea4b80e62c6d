"""A plain network with a memory: each frame is told what the network made of the frame before it, moved onto it.

Per frame the network is one function of planes, so every back end runs it as it runs any other:

    luma, conditions, surprise, trust, memory  ->  3x3 convolutions and ReLU  ->  residual (scale^2 phases), memory

`surprise` is the luma of the frame before, moved along the motion, less this frame's; `trust` says where that motion is
believed; both, and the moved memory, are multiplied by it, so that nothing comes through where it is 0: at the first frame
of a scene everywhere, and then the network is one of a single frame. What is carried is a few planes at the low resolution
(CHANNELS): warping costs as much as convolving, and a plane of memory is warped for each frame.

Frame-recurrent super-resolution (Sajjadi et al. 2018) carries the last output alone; here the network chooses, and starts
with the residual among what it carries (see nets.grow.with_memory).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.nets.plain import MEAN, icnr_

CHANNELS = 8
"""Planes of memory."""

LIMIT = 1.0
"""Memory is clipped to +-LIMIT, so that a film of any length keeps it within what training has shown."""

RUN_IN = 12
"""Frames after which what the memory began with no longer shows (see docs/multiframe.md): the run-in of a segment that
starts inside a scene."""

Warp = Callable[[Tensor, Tensor], Tensor]
"""(N, C, h, w) planes and (N, 2, h, w) flow -> the planes moved; see restore.warping.warp."""


@dataclass(frozen=True)
class Passage:
    """The way from a frame to the one before it."""

    flow: Tensor
    """(B, 2, h, w): displacement in samples, x then y."""
    trust: Tensor
    """(B, 1, h, w), 0 to 1; 0: the frame before does not show this, or there is none."""


@dataclass(frozen=True)
class Memory:
    """What one frame leaves to the next."""

    luma: Tensor
    """(B, 1, h, w) nominal, as the network was given it."""
    planes: Tensor
    """(B, CHANNELS, h, w) within +-LIMIT."""


class RecurrentSR(nn.Module):
    """One frame: head in_planes->C, `blocks` x (C->C), tail C->scale^2 + CHANNELS; ReLU after all but the tail.

    `forward`: (T, 1 + conditions + 2 + CHANNELS, h, w), as `given` lays them out -> (T, scale^2 + CHANNELS, h, w), as
    `taken` takes them apart, in the input's dtype. Any h, w >= 1.
    """

    def __init__(
        self, channels: int = 32, blocks: int = 8, scale: int = 2, conditions: int = 0
    ) -> None:
        super().__init__()
        self.channels, self.blocks, self.scale = channels, blocks, scale
        self.conditions = conditions
        self.in_planes = 1 + conditions + 2 + CHANNELS
        self.out_planes = scale**2 + CHANNELS
        self.head = nn.Conv2d(self.in_planes, channels, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks)
        )
        self.tail = nn.Conv2d(channels, self.out_planes, 3, padding=1)
        with torch.no_grad():
            icnr_(self.tail.weight[: scale**2], scale)
            for bias in (self.head.bias, self.tail.bias):
                if bias is not None:
                    nn.init.zeros_(bias)

    def forward(self, given: Tensor) -> Tensor:
        x = torch.cat([given[:, :1] - MEAN, given[:, 1:]], 1)
        x = torch.relu(self.head(x))
        for conv in self.body:
            x = torch.relu(conv(x))
        out: Tensor = self.tail(x)
        return out

    def layers(self) -> list[nn.Conv2d]:
        """The body's convolutions, typed."""
        return [conv for conv in self.body if isinstance(conv, nn.Conv2d)]


def given(
    luma: Tensor,
    condition: Tensor | None,
    before: Memory | None,
    passage: Passage | None,
    warp_luma: Warp,
    warp_memory: Warp,
) -> Tensor:
    """The planes of one frame for `RecurrentSR`: (B, 1, h, w) nominal luma, the (B, k, h, w) planes of its conditions, what
    the frame before left, and the way to it; without one of these two, as if nothing were known of the past."""
    parts = [luma] if condition is None else [luma, condition.to(luma.dtype)]
    if before is None or passage is None:
        count, _, height, width = luma.shape
        return torch.cat([*parts, luma.new_zeros(count, 2 + CHANNELS, height, width)], 1)
    trust = passage.trust.to(luma.dtype)
    surprise = warp_luma(before.luma, passage.flow) - luma
    memory = warp_memory(before.planes, passage.flow)
    return torch.cat([*parts, surprise * trust, trust, memory.to(luma.dtype) * trust], 1)


def taken(out: Tensor, luma: Tensor, scale: int) -> tuple[Tensor, Memory]:
    """(the residual (B, 1, scale*h, scale*w) to be added to the resampled luma, what is left to the next frame), of what
    `RecurrentSR` returned for `luma`."""
    phases = scale**2
    residual = F.pixel_shuffle(out[:, :phases], scale)
    return residual, Memory(luma, out[:, phases:].clamp(-LIMIT, LIMIT))
