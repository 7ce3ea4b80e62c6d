"""Pictures that span what film holds, drawn from a seed: what ranges of activations are measured on.

Dead leaves (Lee, Mumford and Huang 2001): discs of all sizes that cover one another have the edges, the flat places
and the spectrum of photographs. On top of them shading, texture, stripes up to the finest, grain, and the blocks of a
coarse quantiser.

The stills that networks may be trained on (train.drawn) are of the same kind, but large, with letters in OpenCV's fonts,
half a second each. These are made when a network is first run: they are small and need PyTorch alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from restore.nets.architectures import NEIGHBOUR_PLACES
from restore.nets.condition import PICTURE_TYPES, steps_to_plane, to_change

SIDE = 64
"""Samples; a multiple of 8."""
LEAVES = 60
STEPS = (0.0, 0.0, 4.0, 12.0, 24.0, 48.0)
"""Quantiser steps, in codes, one picture each; 0: not coded."""


def drawn_pictures(planes: int, colours: int, seed: int = 0) -> Tensor:
    """(len(STEPS), planes, SIDE, SIDE): nominal luma, or R, G, B, and what nets.condition has beside it. A seed gives
    the same pictures every time."""
    generator = torch.Generator().manual_seed(seed)
    pictures = []
    for number, step in enumerate(STEPS):
        luma = clean = _picture(generator)
        if step:
            luma = _blocks(luma, step / 219)
        tints = 1 - 0.2 * torch.rand(colours - 1, 1, 1, generator=generator)
        shown = [luma[None], luma[None] * tints]
        types = list(PICTURE_TYPES.values())
        # Averaging frames takes about half of what a codec did.
        taken = to_change((luma - clean) / 2)
        facts = [
            steps_to_plane(torch.tensor(step)),
            torch.tensor(types[number % len(types)]),
            taken,
            # Beside it: frames that lost other things than this one did, and show nothing else.
            *(to_change(_blocks(clean, step / 219) - luma if step else 0 * luma) for _ in NEIGHBOUR_PLACES),
            *(torch.tensor(1.0) for _ in NEIGHBOUR_PLACES),
        ]  # fmt: skip
        known = 1.0 if step else 0.0  # 0: the bitstream said nothing
        facts = [known * facts[i % len(facts)] for i in range(planes - colours)]
        pictures.append(torch.cat([*shown, *(f.expand(1, SIDE, SIDE) for f in facts)]))
    return torch.stack(pictures)


def _picture(generator: torch.Generator) -> Tensor:
    """(SIDE, SIDE): not coded, from a little below black to a little above white."""

    def draw(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    twice = 2 * SIDE
    y, x = torch.meshgrid(*2 * [torch.arange(float(twice))], indexing="ij")
    picture = torch.full((twice, twice), draw(0, 1))
    for _ in range(LEAVES):
        # Radii fall with their cube, as where things lie at all distances.
        radius = 3 / math.sqrt(draw(0.002, 1))
        across = (x - draw(0, twice)) ** 2 + (y - draw(0, twice)) ** 2
        tone = draw(-0.05, 1.05)
        if draw(0, 1) < 0.25:  # stripes, the finest of two samples
            angle, period = draw(0, math.pi), draw(4, 24)
            wave = torch.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period)
            leaf = tone + draw(0.05, 0.6) * wave
        else:
            leaf = torch.full_like(x, tone)
        picture = torch.where(across < radius**2, leaf, picture)
    shade = draw(-0.3, 0.3) * (x / twice - 0.5) + draw(-0.3, 0.3) * (y / twice - 0.5)
    small = torch.nn.functional.avg_pool2d((picture + shade)[None], 2)[0]
    grain = draw(0, 0.04) * torch.randn(SIDE, SIDE, generator=generator)
    return (small + grain).clamp(-0.07, 1.09)


def _blocks(luma: Tensor, step: float) -> Tensor:
    """Through an 8x8 cosine transform whose coefficients are rounded to multiples of `step`."""
    k = torch.arange(8.0)
    basis = torch.cos((2 * k + 1) * k[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    cells = luma.view(SIDE // 8, 8, SIDE // 8, 8).transpose(1, 2)
    coded = (basis @ cells @ basis.T / step).round() * step
    return (basis.T @ coded @ basis).transpose(1, 2).reshape(SIDE, SIDE)
