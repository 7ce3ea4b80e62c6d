"""Networks as training sees them: the form that is trained, the form that ships, and what both predict."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from restore import planes
from restore.errors import ModelError, TrainError
from restore.nets import architectures
from restore.nets.files import load_model
from restore.nets.plain import PlainSR, RepPlainSR
from restore.train.recipe import Network


def build(shape: Network, *, init: bool = True) -> nn.Module:
    """Fresh weights in their training form, or those that `init` in the recipe names. Draws from torch's generator.
    TrainError if the architecture has no such shape, or the weights another."""
    try:
        net = architectures.build(
            shape.architecture, shape.channels, shape.blocks, shape.scale, training=True
        )
    except ModelError as error:
        raise TrainError(f"[network]: {error}") from None
    if init and shape.init is not None:
        start, card = load_model(shape.init)
        keys = ("architecture", "channels", "blocks", "scale")
        wanted, got = ([getattr(x, key) for key in keys] for x in (shape, card))
        if wanted != got or card.plane != "Y" or card.condition:
            raise TrainError(
                f"[network]: init: expected {shape.architecture} {shape.channels} x {shape.blocks}, x{shape.scale}, luma, "
                f"got {card.name}: {card.architecture} {card.channels} x {card.blocks}, x{card.scale}, {card.plane}"
            )
        if isinstance(net, RepPlainSR) and isinstance(start, PlainSR):
            net.unfold(start)
        else:
            net.load_state_dict(start.state_dict())
    return net


def ship(net: nn.Module) -> nn.Module:
    """The form that is saved and run, in eval mode; shares no memory with `net`."""
    return deepcopy(architectures.deployed(net)).eval()


def predict(
    net: nn.Module, shape: Network, low: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(base, residual), both (B, 1, scale*h, scale*w) float32: the input resampled by Lanczos (at scale 1 the input
    itself), and what is to be added to it to have the network's result. `low` (B, 1, h, w) nominal luma; `net`, of the recipe's `shape`, runs in
    `dtype`."""

    def run(fed: Tensor) -> Tensor:
        # Blocked or not, oneDNN and cuDNN want the channels together: 1.1x in float32, 5x in bf16.
        image = fed.contiguous(memory_format=torch.channels_last)
        with torch.autocast(low.device.type, dtype, enabled=dtype is not torch.float32):
            out: Tensor = net(image)
        return out.float()

    base = low
    if shape.scale > 1:
        base = planes.resample(low, (shape.scale * low.shape[-2], shape.scale * low.shape[-1]))
    if shape.architecture == "plain":
        return base, run(low)  # the residual itself: added and taken away again it would be rounded
    return base, architectures.enlarge(run, shape.architecture, shape.scale, low) - base
