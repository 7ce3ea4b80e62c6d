"""Enlarge the picture: luma by a network or Lanczos, chroma resampled where its samples lie."""

from __future__ import annotations

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor, nn

from restore.errors import ModelError
from restore.planes import chroma_shift, resample
from restore.stage import Stage
from restore.video import FrameBatch, Planes, VideoFormat


class Upscale(Stage):
    model: str = "lanczos"
    """'lanczos', the name of a network that comes with restore, or the path of a .safetensors file with its card."""
    factor: int = Field(2, ge=1, le=4)
    """Times as wide and as high; a network must have been made for it."""

    _net: nn.Module | None = PrivateAttr(None)

    def output_format(self, source: VideoFormat) -> VideoFormat:
        return source.scaled(self.factor)

    def load(self, source: VideoFormat, device: torch.device) -> None:
        if self.model == "lanczos":
            return
        from restore.nets.files import load_model

        net, card = load_model(self.model)
        if card.scale != self.factor:
            raise ModelError(
                f"upscale: factor: expected {card.scale}, the scale of model {self.model!r}, got {self.factor}"
            )
        self._net = net.to(device).eval()

    def process(self, clip: FrameBatch) -> Planes:
        shapes = self.output_format(clip.format).plane_shapes()
        luma = resample(clip.planes[0], shapes[0])
        if self._net is not None:
            luma = luma + self._net(clip.planes[0].float()).to(luma.dtype)
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
