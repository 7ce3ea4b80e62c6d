"""Weights tied so that a network does the same to a picture and to the picture turned or mirrored.

Each hidden layer's channels come in eights, one for each symmetry of the square; turning the input turns the feature maps
and permutes every eight (Cohen and Welling 2016, "Group equivariant convolutional networks"; for super-resolution Xie et
al. 2022). What ships is the same stack of 3x3 convolutions, of the same cost; only the weights are fewer that
can be chosen, an eighth. Short trainings gain most: each patch teaches what its eight views would.

The weights are stored in full. They start tied, and gradients averaged over the symmetries keep them so: momentum,
orthogonal steps and element-wise optimisers all map tied gradients to tied steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from restore.errors import TrainError
from restore.nets.plain import PlainSR

ORDER = 8
"""Symmetries of the square: four turns, each mirrored or not."""

TOLERANCE = 1e-4
"""How far from tied weights may be, relative to their layer's root mean square; rounding over a training stays well below."""

Kind = Literal["same", "eights", "phases"]
"""How channels answer a turn: not at all (luma, conditions); within eights; as the s x s places of a pixel shuffle do."""


def turned(x: Tensor, element: int) -> Tensor:
    """The symmetry `element`, 0 to 7 (0: none), applied to the last two dimensions, which are equal."""
    x = torch.rot90(x, element % 4, (-2, -1))
    return x.flip(-1) if element >= 4 else x


class Symmetry:
    """The ties of one network."""

    def __init__(self, net: PlainSR) -> None:
        """TrainError where the channels do not come in eights."""
        if net.channels % ORDER:
            raise TrainError(
                f"[network]: channels: expected a multiple of {ORDER} for symmetric = true, got {net.channels}"
            )
        layers = [net.head, *net.layers(), net.tail]
        hidden: list[Kind] = ["eights"] * (len(layers) - 1)
        kinds: list[Kind] = ["same", *hidden, "phases"]
        self._tied: list[tuple[Tensor, Tensor]] = []
        for layer, before, behind in zip(layers, kinds, kinds[1:], strict=False):
            if not isinstance(layer.bias, nn.Parameter):
                raise TypeError("this network's convolutions have biases")
            places = _kernel_orbit(layer.weight, before, behind, net.scale)
            self._tied.append((layer.weight, places.to(layer.weight.device)))
            places = torch.stack(
                [_permuted(behind, len(layer.bias), e, net.scale) for e in range(ORDER)]
            )
            self._tied.append((layer.bias, places.to(layer.bias.device)))

    @torch.no_grad()
    def impose(self) -> None:
        """Ties fresh weights, each layer's spread kept."""
        for weight, places in self._tied:
            spread = weight.std(correction=0)
            tied = _averaged(weight, places)
            left = tied.std(correction=0)
            weight.copy_(tied * (spread / left) if float(left) > 0 else tied)

    @torch.no_grad()
    def loose(self) -> float:
        """How far the weights are from tied: the largest difference, relative to the layer's root mean square."""
        worst = 0.0
        for weight, places in self._tied:
            size = weight.square().mean().sqrt().clamp_min(1e-12)
            worst = max(worst, float((_averaged(weight, places) - weight).abs().max() / size))
        return worst

    @torch.no_grad()
    def average_gradients(self) -> None:
        """Of all tied weights, in place."""
        for weight, places in self._tied:
            if weight.grad is not None:
                weight.grad.copy_(_averaged(weight.grad, places))


def _averaged(values: Tensor, places: Tensor) -> Tensor:
    """Mean over the symmetries; `places` (ORDER, n) says where each finds the n values."""
    total = torch.zeros_like(values).flatten()
    flat = values.flatten()
    for index in places:
        total += flat[index]
    return (total / len(places)).view_as(values)


def _kernel_orbit(weight: Tensor, before: Kind, behind: Kind, scale: int) -> Tensor:
    """(ORDER, numel): for each symmetry, where in the flat (out, in, 3, 3) kernel its image takes each value from."""
    out, into = weight.shape[:2]
    base = torch.arange(weight.numel()).view(weight.shape)
    return torch.stack(
        [
            turned(base, e)[_permuted(behind, out, e, scale)][:, _permuted(before, into, e, scale)].flatten()
            for e in range(ORDER)
        ]
    )  # fmt: skip


def _permuted(kind: Kind, channels: int, element: int, scale: int) -> Tensor:
    """Which channel each of `channels` is taken from under the symmetry `element`."""
    if kind == "same":
        return torch.arange(channels)
    if kind == "eights":
        within = torch.tensor([_PRODUCT[_INVERSE[element]][e] for e in range(ORDER)])
        return (torch.arange(0, channels, ORDER)[:, None] + within).flatten()
    phases = turned(torch.arange(scale * scale).view(scale, scale), element).flatten()
    return (torch.arange(0, channels, scale * scale)[:, None] + phases).flatten()


def _products() -> Sequence[Sequence[int]]:
    """[a][b]: which symmetry b and then a is."""
    grid = torch.arange(9).view(3, 3)
    seen = [turned(grid, e).flatten().tolist() for e in range(ORDER)]
    return [
        [seen.index(turned(turned(grid, b), a).flatten().tolist()) for b in range(ORDER)]
        for a in range(ORDER)
    ]


_PRODUCT = _products()
_INVERSE = [row.index(0) for row in _PRODUCT]
