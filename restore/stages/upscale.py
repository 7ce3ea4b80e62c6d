"""Enlarge the picture: luma by a network or Lanczos, chroma resampled where its samples lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from restore.color import LUMA_WEIGHTS, Matrix
from restore.conform import conform
from restore.errors import ModelError
from restore.nets.architectures import ARCHITECTURES, enlarge
from restore.nets.condition import condition_planes
from restore.nets.engine import Engine, make_engine
from restore.nets.files import ModelCard, load_model, model_path, read_card
from restore.planes import chroma_shift, resample
from restore.stage import Stage
from restore.video import Chroma, FrameBatch, Planes, VideoFormat


class Upscale(Stage):
    model: str = "lanczos"
    """'lanczos', the name of a network that comes with restore, or the path of a .safetensors file with its card."""
    factor: int = Field(2, ge=1, le=4)
    """Times as wide and as high; a network must have been made for it."""

    _engine: Engine | None = PrivateAttr(None)
    _card: ModelCard | None = PrivateAttr(None)

    @property
    def reads_quantisers(self) -> bool:
        return self.model != "lanczos" and "quantiser" in self._read_card().condition

    def output_format(self, source: VideoFormat) -> VideoFormat:
        if self.model != "lanczos":
            card = self._read_card()
            if card.scale != self.factor:
                raise ModelError(
                    f"factor: expected {card.scale}, the scale of {self.model!r}, got {self.factor}"
                )
            if card.plane == "RGB" and source.color.matrix not in LUMA_WEIGHTS:
                raise ModelError(
                    f"model: {self.model!r} works on R, G, B, and {source.color.matrix.name} has none; "
                    "take a model for Y"
                )
        return source.scaled(self.factor)

    def assets(self) -> tuple[Path, ...]:
        if self.model == "lanczos":
            return ()
        path = model_path(self.model)
        return path, path.with_suffix(".toml")

    def load(self, source: VideoFormat, device: torch.device, threads: int) -> None:
        if self.model != "lanczos":
            net, self._card = load_model(self.model)
            residual = ARCHITECTURES[self._card.architecture].residual
            self._engine = make_engine(net, device, threads, residual=residual)

    def process(self, clip: FrameBatch) -> Planes:
        shapes = self.output_format(clip.format).plane_shapes()
        if self._engine is None or self._card is None:
            luma = resample(clip.planes[0], shapes[0])
        else:
            luma = _by_network(self._engine, self._card, clip)
        return (
            luma,
            *(
                self._chroma(p, s, clip.format)
                for p, s in zip(clip.planes[1:], shapes[1:], strict=True)
            ),
        )

    def _read_card(self) -> ModelCard:
        return self._card or read_card(model_path(self.model).with_suffix(".toml"))

    def _chroma(self, plane: Tensor, size: tuple[int, int], fmt: VideoFormat) -> Tensor:
        scale = (float(self.factor), float(self.factor))
        return resample(plane, size, scale=scale, shift=chroma_shift(fmt, scale))


def _by_network(engine: Engine, card: ModelCard, clip: FrameBatch) -> Tensor:
    """(T, 1, H, W) luma. Of a network for R, G, B too: the little chroma of 4:2:0 is not what it learned on."""
    condition = condition_planes(card.condition, clip) if card.condition else None
    if card.plane == "Y":
        return enlarge(engine, card.architecture, card.scale, clip.planes[0], condition)
    fmt = clip.format
    full = replace(fmt, chroma=Chroma.C444, color=replace(fmt.color, matrix=Matrix.RGB))
    green, blue, red = conform(clip.planes, fmt, full)
    rgb = torch.cat([red, green, blue], 1)
    done = enlarge(engine, card.architecture, card.scale, rgb, condition)
    k_r, k_b = LUMA_WEIGHTS[fmt.color.matrix]
    weights = torch.tensor([k_r, 1 - k_r - k_b, k_b], device=done.device)
    return (done * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)


STAGE = Upscale
