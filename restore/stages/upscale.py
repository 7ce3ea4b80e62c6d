"""Enlarge the picture: luma by a network or Lanczos, chroma resampled where its samples lie."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from restore.errors import ModelError
from restore.nets.engine import Engine, make_engine
from restore.nets.files import load_model, model_path, read_card
from restore.planes import chroma_shift, resample
from restore.stage import Stage
from restore.video import FrameBatch, Planes, VideoFormat


class Upscale(Stage):
    model: str = "lanczos"
    """'lanczos', the name of a network that comes with restore, or the path of a .safetensors file with its card."""
    factor: int = Field(2, ge=1, le=4)
    """Times as wide and as high; a network must have been made for it."""

    _engine: Engine | None = PrivateAttr(None)

    def output_format(self, source: VideoFormat) -> VideoFormat:
        if self.model != "lanczos":
            scale = read_card(model_path(self.model).with_suffix(".toml")).scale
            if scale != self.factor:
                raise ModelError(
                    f"factor: expected {scale}, the scale of {self.model!r}, got {self.factor}"
                )
        return source.scaled(self.factor)

    def assets(self) -> tuple[Path, ...]:
        return () if self.model == "lanczos" else (model_path(self.model),)

    def load(self, source: VideoFormat, device: torch.device, threads: int) -> None:
        if self.model != "lanczos":
            self._engine = make_engine(load_model(self.model)[0], device, threads)

    def process(self, clip: FrameBatch) -> Planes:
        shapes = self.output_format(clip.format).plane_shapes()
        luma = resample(clip.planes[0], shapes[0])
        if self._engine is not None:
            luma = luma + self._engine(clip.planes[0]).to(luma.dtype)
        return (
            luma,
            *(
                self._chroma(p, s, clip.format)
                for p, s in zip(clip.planes[1:], shapes[1:], strict=True)
            ),
        )

    def _chroma(self, plane: Tensor, size: tuple[int, int], fmt: VideoFormat) -> Tensor:
        scale = (float(self.factor), float(self.factor))
        return resample(plane, size, scale=scale, shift=chroma_shift(fmt, scale))


STAGE = Upscale
