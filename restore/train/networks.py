"""Networks as training sees them: the form that is trained, the form that ships, and what both predict."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from restore import planes
from restore.errors import ModelError, TrainError
from restore.nets import architectures
from restore.nets.files import load_model
from restore.nets.grow import grow, with_memory
from restore.nets.plain import PlainSR, RepPlainSR
from restore.nets.recurrent import Memory, Passage, RecurrentSR, given, taken
from restore.train.recipe import Network
from restore.warping import warp, warp_reference


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
    if isinstance(net, RepPlainSR | RecurrentSR):
        first = 3 if shape.plane == "RGB" else 1
        _deafen(net.head, slice(first, first + architectures.count_planes(shape.condition)))
    if init and shape.init is not None:
        _start_from(net, shape, shape.init)
    return net if shape.branches else architectures.deployed(net)


@torch.no_grad()
def _deafen(head: nn.Conv2d, conditions: slice) -> None:
    """The kernels of the conditions' planes become zero, as those of grown networks are. At random they cost 0.4 to 0.9 dB
    after 600 batches: planes that are large where the picture is smooth drown it."""
    head.weight[:, conditions] = 0


def _start_from(net: nn.Module, shape: Network, init: str) -> None:
    """Fills `net` with the weights that `init` names."""
    try:
        start, card = load_model(init)
    except ModelError as error:
        raise TrainError(f"[network]: init: {error}") from None
    grows = isinstance(net, RepPlainSR | RecurrentSR) and isinstance(start, PlainSR)
    fits = shape.scale == card.scale and (grows or shape.architecture == card.architecture)
    if not grows:
        keys = ("channels", "blocks", "condition")
        fits = fits and all(getattr(shape, key) == getattr(card, key) for key in keys)
    if not fits or card.plane != "Y" or shape.plane != "Y":
        most = "at most " if grows else ""
        raise TrainError(
            f"[network]: init: expected {shape.architecture} {most}{shape.channels} x {shape.blocks}, x{shape.scale}, "
            f"luma, got {card.name}: {card.architecture} {card.channels} x {card.blocks}, x{card.scale}, {card.plane}"
        )
    if not isinstance(start, PlainSR) or not isinstance(net, RepPlainSR | RecurrentSR):
        net.load_state_dict(start.state_dict())
        return
    try:
        grown = grow(start, shape.channels, shape.blocks, card.condition, shape.condition)
    except ModelError as error:
        raise TrainError(f"[network]: init: {card.name}: {error}") from None
    if isinstance(net, RepPlainSR):
        net.unfold(grown)
    else:
        net.load_state_dict(with_memory(grown).state_dict())


def ship(net: nn.Module) -> nn.Module:
    """The form that is saved and run, in eval mode; shares no memory with `net`."""
    return deepcopy(architectures.deployed(net)).eval()


def predict(
    net: nn.Module, shape: Network, low: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(base, residual), both (B, 1, scale*h, scale*w) float32: the input resampled by Lanczos (at scale 1 the input
    itself), and what is to be added to it to have the network's result. `low` (B, 1 + k, h, w): nominal luma, then the
    planes of the k conditions of the recipe's `shape`; `net`, of that shape, runs in `dtype`. 3 in place of 1: R, G, B.
    Of a recurrent network both are (B, T, 1, scale*h, scale*w), and `low` is as train.sequences has it."""

    def run(fed: Tensor) -> Tensor:
        # Blocked or not, oneDNN and cuDNN want the channels together: 1.1x in float32, 5x in bf16.
        image = fed.contiguous(memory_format=torch.channels_last)
        with torch.autocast(low.device.type, dtype, enabled=dtype is not torch.float32):
            out: Tensor = net(image)
        return out.float()

    base = enlarged(low, shape)
    if low.ndim == 5:
        return base, unrolled(run, low, shape)
    if shape.architecture == "plain":
        return base, run(low)  # the residual itself: added and taken away again it would be rounded
    picture = low[:, : base.shape[1]]
    return base, architectures.enlarge(run, shape.architecture, shape.scale, picture) - base


def enlarged(low: Tensor, shape: Network) -> Tensor:
    """The first of what `predict` returns: the picture in `low` as Lanczos makes it, at scale 1 as it is."""
    picture = low[..., : 3 if shape.plane == "RGB" else 1, :, :]
    if shape.scale == 1:
        return picture
    height, width = picture.shape[-2:]
    frames = picture.reshape(-1, *picture.shape[-3:])
    base = planes.resample(frames, (shape.scale * height, shape.scale * width))
    return base.view(*picture.shape[:-2], *base.shape[-2:])


def unrolled(run: Callable[[Tensor], Tensor], low: Tensor, shape: Network) -> Tensor:
    """(B, T, 1, scale*h, scale*w): the residuals of T frames, one after the other. Gradients pass through the memory, and
    through its warp, from the last frame to the first; `low` is as train.sequences has it."""
    known = 1 + architectures.count_planes(shape.condition)
    before: Memory | None = None
    residuals = []
    for frame in low.unbind(1):
        luma, condition = frame[:, :1], frame[:, 1:known]
        passage = Passage(frame[:, known : known + 2], frame[:, known + 2 :])
        out = run(given(luma, condition, before, passage, warp, _differentiable))
        residual, before = taken(out, luma, shape.scale)
        residuals.append(residual)
    return torch.stack(residuals, 1)


def _differentiable(planes: Tensor, flow: Tensor) -> Tensor:
    return warp_reference(planes, flow, "bilinear")
