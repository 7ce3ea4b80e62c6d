"""Remove the block edges and ringing of a codec, as strongly as its quantiser asks for."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from restore.deblocking import deblock
from restore.errors import ModelError
from restore.grid import guess_step
from restore.nets.architectures import ARCHITECTURES
from restore.nets.backends import BackEnds
from restore.nets.condition import Conditions
from restore.nets.files import model_path
from restore.nets.luma import LumaNetwork, card_of, check_colours
from restore.planes import is_flat, quant_plane
from restore.stage import Stage
from restore.video import FrameBatch, Planes, VideoFormat

_CODES = 219.0
"""8-bit codes of one nominal unit of luma."""

_SURE = 32.0
"""Quantiser step, in 8-bit codes, over which the share of a network's correction rises by one: chosen on four clips, two of
which want 0.5 to 0.7 of it at steps of 4 to 8 codes, and nearly all of them the whole of it in RealVideo, above 16."""


class Deblock(Stage):
    """Where the codec exports its quantiser, that decides; else the block grid that the index found in the scene;
    where there is neither, the picture stays as it is."""

    strength: float = Field(0.35, ge=0, le=4)
    """Multiplier of what the quantiser asks for: 0 leaves the picture alone; a network that enlarges, and has learned blocks
    itself, gains 0.00 to 0.01 dB from 0.35 before it; 1 gains most where none follows."""
    model: str = "transform"
    """'transform' (attenuated 4x4 transforms), or a network of scale 1, by name or the path of a .safetensors file with
    its card: luma by it, whatever the strength, chroma by the transform. A network told the quantiser does less where that
    is small, and leaves frames whose quantiser is not known to the transform. Put no network that enlarges behind it: those have
    learned blocks."""

    _network: LumaNetwork | None = PrivateAttr(None)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"grid"})

    @property
    def reads_quantisers(self) -> bool:
        return True

    def output_format(self, source: VideoFormat) -> VideoFormat:
        if self.model != "transform":
            card = card_of(self.model)
            if card.scale != 1:
                raise ModelError(
                    f"model: expected a network of scale 1, got {self.model!r}, which enlarges {card.scale} times; "
                    "that is for the stage upscale"
                )
            recurrent = ARCHITECTURES[card.architecture].recurrent
            if recurrent or Conditions(card.condition).reach:
                raise ModelError(
                    f"model: expected a network of single frames, got {self.model!r}, which "
                    f"{'remembers' if recurrent else 'looks at their neighbours'}; that is for the stage upscale, at a factor of 1"
                )
            check_colours(self.model, card, source)
        return source

    def assets(self) -> tuple[Path, ...]:
        if self.model == "transform":
            return ()
        path = model_path(self.model)
        return path, path.with_suffix(".toml")

    def load(self, source: VideoFormat, backends: BackEnds) -> None:
        if self.model != "transform":
            self._network = LumaNetwork(self.model, source, backends)

    def process(self, clip: FrameBatch) -> Planes:
        planes = clip.planes
        if self.strength > 0:
            height = clip.original()[1].height
            first = 0 if self._network is None else 1
            done = (self._plane(clip, plane, height) for plane in planes[first:])
            planes = (*planes[:first], *done)
        return planes if self._network is None else (self._luma(clip, self._network), *planes[1:])

    def _luma(self, clip: FrameBatch, network: LumaNetwork) -> Tensor:
        """What the network makes of it. Of one told the quantiser so much of its correction as the step allows, since a
        picture that was hardly damaged has little to be taken back; and the transform's result for frames whose step is not
        known: what a grid lets guess misleads a network that believes what it is told."""
        if "quantiser" not in network.card.condition:
            return network(clip)
        luma, height = clip.planes[0], clip.original()[1].height
        known = [quant is not None for quant in clip.quant or (None,) * len(clip)]
        usual = luma if all(known) or self.strength == 0 else self._plane(clip, luma, height)
        if not any(known):
            return usual
        size = luma.shape[-2], luma.shape[-1]
        share = torch.cat(
            [
                _share(self._step(clip, i, size, height)).expand(1, 1, *size)
                if known[i]
                else torch.zeros(1, 1, *size)
                for i in range(len(clip))
            ]
        )
        made = torch.lerp(luma.float(), network(clip).float(), share.to(luma.device))
        told = torch.tensor(known, device=luma.device).view(-1, 1, 1, 1)
        return torch.where(told, made, usual.float()).to(luma.dtype)

    def _plane(self, clip: FrameBatch, plane: Tensor, source_height: int) -> Tensor:
        size = (plane.shape[-2], plane.shape[-1])
        steps = [
            self._step(clip, i, size, source_height).to(plane.device) for i in range(len(clip))
        ]
        scale = size[0] / source_height
        done = [
            p[None].float()
            if is_flat(p)
            else deblock(p[None].float() * _CODES, s, self.strength, _origin(clip, i, scale)).div_(
                _CODES
            )
            for i, (p, s) in enumerate(zip(plane, steps, strict=True))
        ]
        return torch.cat(done).to(plane.dtype)

    def _step(
        self, clip: FrameBatch, index: int, size: tuple[int, int], source_height: int
    ) -> Tensor:
        """Quantiser step of one frame in 8-bit codes: (1, 1, H, W) for a plane of `size`, or (1, 1, 1, 1)."""
        quant = clip.quant[index] if clip.quant else None
        if quant is None:
            facts = clip.facts.get(clip.frames[index].scene)
            return torch.full((1, 1, 1, 1), guess_step(facts.grid if facts else None))
        if bool((quant.steps == quant.steps[0, 0]).all()):
            return quant.steps[:1, :1].float()[None, None]
        return quant_plane(quant, size, source_height)


def _share(step: Tensor) -> Tensor:
    """Of a network's correction, by the quantiser step in 8-bit codes: none at 0 (unknown), half above it, all from 16 on.
    Training pairs are softer than films, whose finest detail looks like damage to a network: it takes too much of it."""
    return torch.where(step > 0, (0.5 + step / _SURE).clamp(max=1), 0)


def _origin(clip: FrameBatch, index: int, scale: float) -> tuple[int, int]:
    """Place of the first sample on the codec's grid, for a plane of `scale` samples per luma sample of the source."""
    quant = clip.quant[index] if clip.quant else None
    down, right = (0, 0) if quant is None else quant.origin
    return round(down * scale), round(right * scale)


STAGE = Deblock
