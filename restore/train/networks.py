"""Networks as training sees them: the form that is trained, the form that ships, and what both predict."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from restore import planes
from restore.errors import ModelError, TrainError
from restore.nets import architectures
from restore.nets.files import load_model
from restore.nets.grow import grow
from restore.nets.plain import PlainSR, RepPlainSR
from restore.train.recipe import Network


def build(shape: Network, *, init: bool = True) -> nn.Module:
    """Fresh weights in their training form, or those that `init` in the recipe names, grown if need be. Draws from
    torch's generator. TrainError if the architecture has no such shape, or the weights cannot become it."""
    try:
        net = architectures.build(
            shape.architecture, shape.channels, shape.blocks, shape.scale,
            shape.plane, shape.condition, training=True,
        )  # fmt: skip
    except ModelError as error:
        raise TrainError(f"[network]: {error}") from None
    if init and shape.init is not None:
        _start_from(net, shape, shape.init)
    return net if shape.branches else architectures.deployed(net)


def _start_from(net: nn.Module, shape: Network, init: str) -> None:
    """Fills `net` with the weights that `init` names."""
    try:
        start, card = load_model(init)
    except ModelError as error:
        raise TrainError(f"[network]: init: {error}") from None
    keys = ("architecture", "scale")
    fits = [getattr(shape, key) for key in keys] == [getattr(card, key) for key in keys]
    is_plain = isinstance(net, RepPlainSR) and isinstance(start, PlainSR)
    if not is_plain:
        fits = fits and (shape.channels, shape.blocks) == (card.channels, card.blocks)
    if not fits or card.plane != "Y" or shape.plane != "Y":
        most = "at most " if is_plain else ""
        raise TrainError(
            f"[network]: init: expected {shape.architecture} {most}{shape.channels} x {shape.blocks}, x{shape.scale}, "
            f"luma, got {card.name}: {card.architecture} {card.channels} x {card.blocks}, x{card.scale}, {card.plane}"
        )
    if not (isinstance(net, RepPlainSR) and isinstance(start, PlainSR)):
        net.load_state_dict(start.state_dict())
        return
    try:
        grown = grow(start, shape.channels, shape.blocks, card.condition, shape.condition)
    except ModelError as error:
        raise TrainError(f"[network]: init: {card.name}: {error}") from None
    net.unfold(grown)


def ship(net: nn.Module) -> nn.Module:
    """The form that is saved and run, in eval mode; shares no memory with `net`."""
    return deepcopy(architectures.deployed(net)).eval()


def predict(
    net: nn.Module, shape: Network, low: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(base, residual), both (B, 1, scale*h, scale*w) float32: the input resampled by Lanczos (at scale 1 the input
    itself), and what is to be added to it to have the network's result. `low` (B, 1 + k, h, w): nominal luma, then the
    planes of the k conditions of the recipe's `shape`; `net`, of that shape, runs in `dtype`. 3 in place of 1: R, G, B."""

    def run(fed: Tensor) -> Tensor:
        # Blocked or not, oneDNN and cuDNN want the channels together: 1.1x in float32, 5x in bf16.
        image = fed.contiguous(memory_format=torch.channels_last)
        with torch.autocast(low.device.type, dtype, enabled=dtype is not torch.float32):
            out: Tensor = net(image)
        return out.float()

    picture = base = low[:, : 3 if shape.plane == "RGB" else 1]
    if shape.scale > 1:
        base = planes.resample(picture, (shape.scale * low.shape[-2], shape.scale * low.shape[-1]))
    if shape.architecture == "plain":
        return base, run(low)  # the residual itself: added and taken away again it would be rounded
    return base, architectures.enlarge(run, shape.architecture, shape.scale, picture) - base
