"""A recurrent network as a stage runs it: frame after frame, each with what the one before it left."""

from __future__ import annotations

import torch
from torch import Tensor

from restore.motion import trust
from restore.nets.architectures import ARCHITECTURES
from restore.nets.backends import BackEnds
from restore.nets.condition import Conditions
from restore.nets.engine import Network
from restore.nets.files import load_model
from restore.nets.recurrent import Memory, Passage, RecurrentSR, given, taken
from restore.planes import resample
from restore.video import FrameBatch, VideoFormat
from restore.warping import warp


class LumaSequence:
    """Weights on a device, ready to run, and what they remember of the frame made last."""

    def __init__(self, model: str, source: VideoFormat, backends: BackEnds) -> None:
        """A shipped model's name or a path, for pictures of `source`; ModelError as `load_model`, DeviceError as
        `BackEnds.engine`. TypeError for a network without memory."""
        net, self.card = load_model(model)
        if not isinstance(net, RecurrentSR):
            raise TypeError(f"expected a recurrent network, got {type(net).__name__}")
        network = Network(
            net, self.card.name, self.card.sha256, planes=net.in_planes, sequential=True
        )
        self._engine = backends.engine(network, source.height, source.width)
        self.reset()

    def reset(self) -> None:
        """Forget: the next frame is the first of its scene."""
        self._memory: Memory | None = None

    def __call__(self, clip: FrameBatch) -> Tensor:
        """Nominal luma (T - 1, 1, scale*h, scale*w) of all frames but the first, which was made last: motion leads to it.
        Without motion nothing is remembered."""
        names, scale = self.card.condition, self.card.scale
        condition = Conditions(names)(clip) if names else None
        luma = clip.planes[0]
        size = (luma.shape[-2], luma.shape[-1])
        kernel = ARCHITECTURES[self.card.architecture].kernel
        done = []
        for t in range(1, len(clip)):
            here, told = luma[t : t + 1], None if condition is None else condition[t : t + 1]
            passage = self._passage(clip, t, size)
            planes = given(here, told, self._memory, passage, warp, _bilinear)
            residual, self._memory = taken(self._engine(planes), here, scale)
            base = (
                here
                if scale == 1
                else resample(here, (scale * size[0], scale * size[1]), kernel=kernel)
            )
            done.append(base + residual.to(base.dtype))
        return torch.cat(done)

    def _passage(self, clip: FrameBatch, t: int, size: tuple[int, int]) -> Passage | None:
        if clip.motion is None or self._memory is None:
            return None
        here, before = clip.frames[t].index, clip.frames[t - 1].index
        doubt = clip.motion.doubt(here, before, size)
        return Passage(clip.motion.flow(here, before, size), trust(doubt))


def _bilinear(planes: Tensor, flow: Tensor) -> Tensor:
    return warp(planes, flow, "bilinear")
