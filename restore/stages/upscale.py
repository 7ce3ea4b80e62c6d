"""Enlarge the picture: luma by a network or Lanczos, chroma resampled where its samples lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr
from torch import Tensor

from restore.errors import ModelError
from restore.nets.architectures import ARCHITECTURES
from restore.nets.backends import BackEnds
from restore.nets.condition import Conditions
from restore.nets.files import ModelCard, model_path
from restore.nets.luma import LumaNetwork, card_of, check_colours
from restore.nets.recurrent import RUN_IN
from restore.nets.sequence import LumaSequence
from restore.planes import chroma_shift, resample
from restore.stage import Stage, Window
from restore.video import FrameBatch, Planes, VideoFormat


class Upscale(Stage):
    model: str = "lanczos"
    """'lanczos', the name of a network that comes with restore, or the path of a .safetensors file with its card."""
    factor: int = Field(2, ge=1, le=4)
    """Times as wide and as high; a network must have been made for it."""

    views: Literal[1, 2, 4, 8] = 1
    """Turned and mirrored views of each frame that a network is run on, and whose results are averaged: 8 gain about 0.1 dB, for 8
    times its work. Not for networks that remember."""

    _network: LumaNetwork | LumaSequence | None = PrivateAttr(None)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"grid"} if self.window.future else ())

    @property
    def reads_quantisers(self) -> bool:
        told = () if self.model == "lanczos" else self._read_card().condition
        return "quantiser" in told or "neighbours" in told

    @property
    def window(self) -> Window:
        if self.model == "lanczos":
            return Window()
        card = self._read_card()
        if ARCHITECTURES[card.architecture].recurrent:
            return Window(1)
        reach = Conditions(card.condition).reach
        return Window(reach, reach)

    @property
    def run_in(self) -> int:
        return RUN_IN if self._remembers else 0

    def reset(self) -> None:
        if self._network is not None:
            self._network.reset()

    def output_format(self, source: VideoFormat) -> VideoFormat:
        if self.model != "lanczos":
            card = self._read_card()
            if card.scale != self.factor:
                raise ModelError(
                    f"factor: expected {card.scale}, the scale of {self.model!r}, got {self.factor}"
                )
            check_colours(self.model, card, source)
            if self._remembers and self.views > 1:
                raise ModelError(
                    f"views: expected 1 with {self.model!r}, which remembers, got {self.views}"
                )
        return source.scaled(self.factor)

    def assets(self) -> tuple[Path, ...]:
        if self.model == "lanczos":
            return ()
        path = model_path(self.model)
        return path, path.with_suffix(".toml")

    def load(self, source: VideoFormat, backends: BackEnds) -> None:
        if self.model != "lanczos":
            self._network = (
                LumaSequence(self.model, source, backends)
                if self._remembers
                else LumaNetwork(self.model, source, backends, self.views)
            )

    def process(self, clip: FrameBatch) -> Planes:
        shapes = self.output_format(clip.format).plane_shapes()
        luma = self._network(clip) if self._network else resample(clip.planes[0], shapes[0])
        past, future = self.window
        clip = clip[past : len(clip) - future]
        return (
            luma,
            *(
                self._chroma(p, s, clip.format)
                for p, s in zip(clip.planes[1:], shapes[1:], strict=True)
            ),
        )

    @property
    def _remembers(self) -> bool:
        """Whether the network is a recurrent one."""
        return self.model != "lanczos" and ARCHITECTURES[self._read_card().architecture].recurrent

    def _read_card(self) -> ModelCard:
        return self._network.card if self._network else card_of(self.model)

    def _chroma(self, plane: Tensor, size: tuple[int, int], fmt: VideoFormat) -> Tensor:
        scale = (float(self.factor), float(self.factor))
        return resample(plane, size, scale=scale, shift=chroma_shift(fmt, scale))


STAGE = Upscale
