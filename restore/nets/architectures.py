"""Every network by the name of its architecture: how to build it, what goes in, what comes out.

`build` makes one, `enlarge` runs one on nominal planes whatever it takes and returns. docs/networks.md compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from restore import planes
from restore.errors import ModelError
from restore.nets.edsr import EDSR
from restore.nets.enhancenet import EnhanceNet
from restore.nets.plain import PlainSR, RepPlainSR
from restore.nets.recurrent import RecurrentSR
from restore.nets.srcnn import SRCNN
from restore.nets.srgan import SRResNet
from restore.nets.transform import TransformNet
from restore.nets.vdsr import VDSR

ArchitectureName = Literal[
    "plain",
    "recurrent",
    "srcnn_915",
    "srcnn_955",
    "vdsr",
    "edsr",
    "srresnet",
    "enhancenet",
    "transform",
]
PlaneName = Literal["Y", "RGB"]
ConditionName = Literal["quantiser", "picture_type", "change", "neighbours"]

NEIGHBOUR_PLACES = (-2, -1, 1, 2)
"""Frames that the condition `neighbours` is about, relative to the one that is made."""

PLANES: dict[ConditionName, int] = {
    "quantiser": 1, "picture_type": 1, "change": 1, "neighbours": 2 * len(NEIGHBOUR_PLACES),
}  # fmt: skip
"""Input planes of each condition."""


def count_planes(condition: Sequence[ConditionName]) -> int:
    """Of all of them together."""
    return sum(PLANES[name] for name in condition)


def condition_places(condition: Sequence[ConditionName]) -> dict[ConditionName, slice]:
    """Which of their planes are whose."""
    found: dict[ConditionName, slice] = {}
    for name in condition:
        start = count_planes(list(found))
        found[name] = slice(start, start + PLANES[name])
    return found


@dataclass(frozen=True)
class Shape:
    """The numbers a network is built from."""

    channels: int
    blocks: int
    scale: int
    planes: int = 1
    """1: luma; 3: R, G, B."""
    conditions: int = 0
    """Input planes beside the picture's."""


@dataclass(frozen=True)
class Architecture:
    """What a caller must know of a network."""

    make: Callable[[Shape], nn.Module]
    channels: int
    """As published; for `plain` the fast model's."""
    blocks: int
    feed: Literal["low", "enlarged"]
    """What goes in: the picture as it is, or resampled to the result's size by `kernel`."""
    residual: bool
    """True: the output is to be added to the input resampled by `kernel`; False: it is the picture."""
    kernel: planes.Kernel = "bicubic"
    units: Literal["nominal", "codes"] = "codes"
    """Of luma: nominal, or limited-range 8-bit codes / 255, as the papers' MATLAB gives it. R, G, B are 0..1."""
    colours: tuple[PlaneName, ...] = ("Y", "RGB")
    scales: tuple[int, ...] = (1, 2, 3, 4)
    any_blocks: bool = True
    """False: only the published number."""
    conditions: bool = False
    """Whether it takes more input planes (see nets.condition)."""
    recurrent: bool = False
    """Whether a frame needs what the one before it left (see nets.recurrent, nets.sequence)."""
    make_trainable: Callable[[Shape], nn.Module] | None = None
    """A training form that `deployed` folds; None: `make`'s."""


def build(
    name: ArchitectureName,
    channels: int,
    blocks: int,
    scale: int,
    plane: PlaneName = "Y",
    condition: Sequence[ConditionName] = (),
    *,
    training: bool = False,
) -> nn.Module:
    """A network with fresh weights (`training`: in the form it is trained in). ModelError names every argument that the
    architecture cannot take."""
    kind = ARCHITECTURES[name]
    problems = []
    if plane not in kind.colours:
        problems.append(f"plane: expected {' or '.join(kind.colours)}, got {plane}")
    if scale not in kind.scales:
        problems.append(f"scale: expected one of {', '.join(map(str, kind.scales))}, got {scale}")
    if not kind.any_blocks and blocks != kind.blocks:
        problems.append(f"blocks: expected {kind.blocks}, got {blocks}")
    if condition and not kind.conditions:
        problems.append(f"condition: expected none, got {', '.join(condition)}")
    if kind.recurrent and "neighbours" in condition:
        problems.append("condition: expected no neighbours, as it has a memory, got neighbours")
    if problems:
        raise ModelError("\n".join(f"architecture {name}: {problem}" for problem in problems))
    shape = Shape(channels, blocks, scale, 3 if plane == "RGB" else 1, count_planes(condition))
    make = kind.make_trainable if training and kind.make_trainable else kind.make
    return make(shape)


def deployed(net: nn.Module) -> nn.Module:
    """The network to save and run, of one built for training: folded where it has branches, else itself."""
    return net.fold() if isinstance(net, RepPlainSR) else net


def enlarge(
    run: Callable[[Tensor], Tensor],
    name: ArchitectureName,
    scale: int,
    picture: Tensor,
    condition: Tensor | None = None,
) -> Tensor:
    """The result of a network without memory: `picture` (T, 1, h, w) nominal luma or (T, 3, h, w) R, G, B 0..1 ->
    (T, 1 or 3, scale*h, scale*w) of the same kind, in its dtype. `run` is the network or an engine; gradients pass.
    `condition` (T, k, h, w): see nets.condition; None: all unknown.
    """
    kind = ARCHITECTURES[name]
    height, width = picture.shape[-2:]

    def resampled() -> Tensor:
        size = (scale * height, scale * width)
        return picture if scale == 1 else planes.resample(picture, size, kernel=kind.kernel)

    base = resampled() if kind.feed == "enlarged" else None
    fed = picture if base is None else base
    # R, G, B have no foot-room: nothing to convert.
    codes = kind.units == "codes" and picture.shape[1] == 1
    offset, step = planes.code_scale(8, full_range=False, chroma=False)
    if codes:
        fed = (fed * step + offset) / 255
    if condition is not None:
        fed = torch.cat([fed, condition.to(fed.dtype)], 1)
    out = run(fed)
    if codes:
        out = out * (255 / step) if kind.residual else (out * 255 - offset) / step
    out = out.to(picture.dtype)
    if not kind.residual:
        return out
    if base is not None or scale == 1:
        return (picture if base is None else base) + out
    # No sooner than it is needed, since planes of the result are what a run's memory goes into; for this sum alone, so it may hold it.
    return resampled().add_(out)


ARCHITECTURES: dict[ArchitectureName, Architecture] = {
    "plain": Architecture(
        lambda s: PlainSR(s.channels, s.blocks, s.scale, s.planes + s.conditions, s.planes),
        32, 8, "low", True, "lanczos3", "nominal", conditions=True,
        make_trainable=lambda s: RepPlainSR(
            s.channels, s.blocks, s.scale, s.planes + s.conditions, s.planes
        ),
    ),
    "recurrent": Architecture(
        lambda s: RecurrentSR(s.channels, s.blocks, s.scale, s.conditions),
        32, 8, "low", True, "lanczos3", "nominal", colours=("Y",), conditions=True, recurrent=True,
    ),
    "srcnn_915": Architecture(
        lambda s: SRCNN(1, s.channels, s.planes), 64, 1, "enlarged", False, any_blocks=False
    ),
    "srcnn_955": Architecture(
        lambda s: SRCNN(5, s.channels, s.planes), 64, 1, "enlarged", False, any_blocks=False
    ),
    "vdsr": Architecture(
        lambda s: VDSR(s.channels, s.blocks), 64, 18, "enlarged", True, colours=("Y",)
    ),
    "edsr": Architecture(
        lambda s: EDSR(s.channels, s.blocks, s.scale, s.planes), 64, 16, "low", False
    ),
    "srresnet": Architecture(
        lambda s: SRResNet(s.channels, s.blocks, s.scale, s.planes), 64, 16, "low", False
    ),
    "enhancenet": Architecture(
        lambda s: EnhanceNet(s.channels, s.blocks, s.scale, s.planes), 64, 10, "low", True
    ),
    "transform": Architecture(
        lambda s: TransformNet(s.channels, s.blocks, s.scale, s.planes),
        64, 4, "low", False, scales=(1, 2, 4),
    ),
}  # fmt: skip
