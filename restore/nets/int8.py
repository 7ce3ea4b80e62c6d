"""A plain network in whole numbers: weights of 7 bits, activations of 8.

The layers between head and tail are nearly all of the arithmetic; head and tail stay in floating point, and so does
the skip, which is outside the network. Nothing is trained: weights are rounded per output channel (Krishnamoorthi
2018, section 3), activations per layer, in ranges measured on pictures that come with the program. Rounding errors
of a residual of some codes are a small part of what is wrong with the picture anyway; docs/performance.md has the loss.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from restore.nets.calibration import drawn_pictures
from restore.nets.engine import Engine, Network
from restore.nets.plain import PlainSR, centred

MOST_WEIGHT = 63
"""Not 127: CPUs without VNNI add two products of an activation and a weight in 16 bits, and 2 * 255 * 127 is more than
that holds."""

MOST_ACTIVATION = 255

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6)
"""Of the largest activation seen: what is above is rare enough to be cut off if that makes the rest finer."""

WORST_LOSS = 0.05
"""dB of Y-PSNR that whole numbers may cost, as `loss` has it."""


def whole_weights(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(out, in, 3, 3) float -> int8 of -MOST_WEIGHT..MOST_WEIGHT, and the steps (out, 1, 1, 1) float32 they count."""
    largest = weight.detach().float().abs().amax((1, 2, 3), keepdim=True)
    steps = largest.clamp(min=torch.finfo(torch.float32).tiny * 1e6) / MOST_WEIGHT
    return (weight.detach() / steps).round().to(torch.int8), steps


def plain(network: Network) -> PlainSR:
    """Its module; TypeError if that is of another kind."""
    if not isinstance(network.net, PlainSR):
        raise TypeError(f"expected a plain network, got {type(network.net).__name__}")
    return network.net


@torch.inference_mode()
def measured_ranges(net: PlainSR) -> list[float]:
    """Per layer of the body, and of the tail: where its input, which begins at 0, is best cut off to be counted in
    MOST_ACTIVATION steps, on the calibration pictures. On machines of a class always the same; a tenth to a quarter of a second for a
    shipped network, and so kept nowhere: what is not stored cannot be exchanged."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that the last bit does not depend on how many there are
    try:
        pictures = drawn_pictures(net.in_planes, net.colours)
        x = torch.relu(net.head(centred(pictures, net.in_planes, net.colours)))
        tops = []
        for conv in net.layers():
            tops.append(_best_top(x))
            x = torch.relu(conv(x))
        return [*tops, _best_top(x)]
    finally:
        torch.set_num_threads(threads)


def _best_top(x: Tensor) -> float:
    """The largest of `x`, or a share of it, whichever gives the smaller squared error on a part of its values."""
    some, largest = x.flatten()[::7], float(x.max())
    if largest <= 0:
        return 1.0  # a layer that nothing reaches

    def error(top: float) -> float:
        step = top / MOST_ACTIVATION
        whole = (some / step).round_().clamp_(max=MOST_ACTIVATION)
        return float((whole.mul_(step) - some).square_().mean())

    return min((error(share * largest), share * largest) for share in SHARES)[1]


@torch.inference_mode()
def loss(network: Network, engine: Engine) -> float:
    """About how many dB of Y-PSNR `engine` costs a network that returns a residual, on pictures that no range was
    measured on.

    A residual that takes `gain` dB off the error of the resampled picture is what the two errors differ by: with r its
    mean square and e that of what stays wrong, (r + e) / e = 10^(gain / 10). Rounding, which knows nothing of the
    picture, adds its own mean square q to e."""
    pictures = drawn_pictures(network.planes, plain(network).colours, seed=1)
    wanted = network.net(pictures)
    share = (engine(pictures) - wanted).square().mean() / wanted.square().mean()
    return 10 * math.log10(1 + float(share) * (10 ** (network.gain / 10) - 1))
