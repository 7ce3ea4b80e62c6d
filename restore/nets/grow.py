"""A larger network that computes what a smaller plain one does, to go on training from (Net2Net, Chen et al. 2016).

Wider: a channel becomes several equal ones, whose outgoing weights add up to the one's. They are not shared out evenly
but with a random difference that adds up to nothing, so that the copies learn different things and yet, together,
compute at first what the one did. Deeper: layers that pass on what they get; as they follow a ReLU, their own changes
nothing. More conditions, or a memory: planes whose weights are zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from restore.errors import ModelError
from restore.nets.architectures import ConditionName, condition_places, count_planes
from restore.nets.plain import PlainSR
from restore.nets.recurrent import RecurrentSR

UNEVENNESS = 0.5
"""Standard deviation of the random part of a copied channel's outgoing weights, relative to that of its layer."""

CARRIED = 10.0
"""Memory starts with planes that carry the residual, times this: of the size that other planes are of."""


@torch.no_grad()
def grow(
    small: PlainSR,
    channels: int,
    blocks: int,
    known: Sequence[ConditionName] = (),
    wanted: Sequence[ConditionName] = (),
) -> PlainSR:
    """The network of `channels` x `blocks` with `wanted` conditions that computes what `small`, with the conditions
    `known`, does, up to rounding. Draws from torch's generator. ModelError names what would have to shrink."""
    problems = [
        f"{name}: expected at most {most}, got {got}"
        for name, most, got in (
            ("channels", channels, small.channels),
            ("blocks", blocks, small.blocks),
        )
        if got > most
    ]
    missing = [name for name in known if name not in wanted]
    if missing:
        problems.append(f"condition: expected {', '.join(missing)} among them, as it has")
    if problems:
        raise ModelError("\n".join(problems))
    big = PlainSR(channels, blocks, small.scale, 1 + count_planes(wanted))
    copied = torch.arange(channels) % small.channels
    big.head.weight.zero_()
    planes = torch.arange(1, big.in_planes)
    told = condition_places(wanted)
    places = torch.cat([torch.tensor([0]), *(planes[told[name]] for name in known)])
    big.head.weight[:, places] = small.head.weight[copied]
    _set_bias(big.head, small.head, copied)
    # Block k of the small one becomes the last of the layers that lie before its successor.
    at = [(k + 1) * blocks // small.blocks - 1 for k in range(small.blocks)]
    for layer in big.layers():
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    for number, layer in zip(at, small.layers(), strict=True):
        target = big.layers()[number]
        target.weight.copy_(_shared_out(layer.weight, copied)[copied])
        _redraw(target.weight, copied)
        _set_bias(target, layer, copied)
    big.tail.weight.copy_(_shared_out(small.tail.weight, copied))
    _redraw(big.tail.weight, copied)
    _set_bias(big.tail, small.tail, torch.arange(small.scale**2))
    return big


@torch.no_grad()
def with_memory(plain: PlainSR) -> RecurrentSR:
    """The recurrent network that computes at first what `plain` does: what it knows of the past weighs nothing. It carries
    the residual's phases, as far as there is room, and random mixtures of the last layer. Draws from torch's generator."""
    net = RecurrentSR(plain.channels, plain.blocks, plain.scale, plain.in_planes - 1)
    net.head.weight.zero_()
    net.head.weight[:, : plain.in_planes] = plain.head.weight
    _set_bias(net.head, plain.head, torch.arange(plain.channels))
    for target, layer in zip(net.layers(), plain.layers(), strict=True):
        target.load_state_dict(layer.state_dict())
    phases = plain.scale**2
    carried = CARRIED * plain.tail.weight
    memory = torch.randn_like(net.tail.weight[phases:]) * carried.std()
    memory[:phases] = carried[: len(memory)]
    net.tail.weight.copy_(torch.cat([plain.tail.weight, memory]))
    if net.tail.bias is None or plain.tail.bias is None:
        raise TypeError("this network's convolutions have biases")
    net.tail.bias.zero_()
    net.tail.bias[:phases] = plain.tail.bias
    return net


def _shared_out(weight: Tensor, copied: Tensor) -> Tensor:
    """(O, c, 3, 3) -> (O, len(copied), 3, 3): for every copy of an input channel its share of the weight."""
    counts = torch.bincount(copied)[copied]
    return weight[:, copied] / counts.view(1, -1, 1, 1)


def _redraw(weight: Tensor, copied: Tensor) -> None:
    """Random differences between the copies of an input channel that add up to zero, in place."""
    noise = torch.randn_like(weight) * (UNEVENNESS * weight.std())
    counts = torch.bincount(copied)
    sums = torch.zeros_like(noise[:, : len(counts)]).index_add_(1, copied, noise)
    weight += noise - (sums / counts.view(1, -1, 1, 1))[:, copied]


def _set_bias(target: nn.Conv2d, source: nn.Conv2d, copied: Tensor) -> None:
    if target.bias is None or source.bias is None:
        raise TypeError("this network's convolutions have biases")
    target.bias.copy_(source.bias[copied])
