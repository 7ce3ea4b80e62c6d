"""A network as a stage runs it: from the frames of a clip to the luma it makes of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from restore.color import LUMA_WEIGHTS, Matrix
from restore.conform import conform
from restore.errors import ModelError
from restore.nets.architectures import ARCHITECTURES, enlarge
from restore.nets.backends import BackEnds
from restore.nets.condition import Conditions
from restore.nets.files import ModelCard, as_network, load_model, model_path, read_card
from restore.planes import turned, turned_back
from restore.video import Chroma, FrameBatch, VideoFormat

VIEWS = (0, 3, 1, 2, 4, 7, 5, 6)
"""Symmetries of the square, as `planes.turned` has them, in the order in which they are added: none, half a turn, mirrored, and the
same transposed."""


class LumaNetwork:
    """Weights on a device, ready to run."""

    def __init__(self, model: str, source: VideoFormat, backends: BackEnds, views: int = 1) -> None:
        """A shipped model's name or a path, for pictures of `source`; ModelError as `load_model`, DeviceError as
        `BackEnds.engine`. `views`: of each frame so many turned and mirrored views are run, and their results, turned back,
        averaged (Timofte et al. 2016, "Seven ways to improve example-based single image super resolution")."""
        self._views = VIEWS[:views]
        net, card = load_model(model)
        self.card, kind = card, ARCHITECTURES[card.architecture]
        times = card.scale if kind.feed == "enlarged" else 1
        network = as_network(net, card)
        self._engine = backends.engine(network, source.height * times, source.width * times)
        self._conditions = Conditions(card.condition)

    @property
    def reach(self) -> int:
        """Frames it looks at on each side of one."""
        return self._conditions.reach

    def reset(self) -> None:
        """What comes is another scene."""
        self._conditions.reset()

    def __call__(self, clip: FrameBatch) -> Tensor:
        """Nominal luma (T - 2 * reach, 1, scale*h, scale*w) of the inner frames. Of a network for R, G, B too: the little
        chroma of 4:2:0 is not what it learned on."""
        card = self.card
        condition = self._conditions(clip) if card.condition else None
        clip = clip[self.reach : len(clip) - self.reach]
        if card.plane == "Y":
            return self._enlarged(clip.planes[0], condition)
        fmt = clip.format
        full = replace(fmt, chroma=Chroma.C444, color=replace(fmt.color, matrix=Matrix.RGB))
        green, blue, red = conform(clip.planes, fmt, full)
        rgb = torch.cat([red, green, blue], 1)
        done = self._enlarged(rgb, condition)
        k_r, k_b = LUMA_WEIGHTS[fmt.color.matrix]
        weights = torch.tensor([k_r, 1 - k_r - k_b, k_b], device=done.device)
        return (done * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)

    def _enlarged(self, picture: Tensor, condition: Tensor | None) -> Tensor:
        """The mean over the views."""
        first, *others = self._views
        total = self._view(picture, condition, first)
        for view in others:
            total = total + self._view(picture, condition, view)
        return total / len(self._views) if others else total

    def _view(self, picture: Tensor, condition: Tensor | None, view: int) -> Tensor:
        """What the network makes of one view, turned back."""
        told = None if condition is None else turned(condition, view)
        card = self.card
        made = enlarge(self._engine, card.architecture, card.scale, turned(picture, view), told)
        return turned_back(made, view)


def card_of(model: str) -> ModelCard:
    """The card of a shipped model's name or a path, without its weights. ModelError if there is none."""
    return read_card(model_path(model).with_suffix(".toml"))


def check_colours(model: str, card: ModelCard, source: VideoFormat) -> None:
    """ModelError where the network wants R, G, B and the source's matrix has none."""
    if card.plane == "RGB" and source.color.matrix not in LUMA_WEIGHTS:
        raise ModelError(
            f"model: {model!r} works on R, G, B, and {source.color.matrix.name} has none; "
            "take a model for Y"
        )
