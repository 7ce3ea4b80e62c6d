"""Take out flicker: brightness, and how it is spread over the picture, that jumps from frame to frame where the scene does not."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, PrivateAttr
from torch import Tensor

from restore import flicker
from restore.stage import Stage
from restore.video import Curve, FrameBatch, Planes

_BLACKEST = 8.0
"""Codes above black from which on all of an offset is taken away; or twice the offset, so that no order of codes turns."""


class Deflicker(Stage):
    """Put it first: everything that compares frames works better behind it."""

    strength: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = "auto"
    """Share of the flicker that is taken out; 'auto': all of it where the scene flickers by more than films do that do not, and
    nothing, bit by bit, where it does not. Ramps of exposure, single flashes and lamps switched on stay; quick fades and lightning of several
    frames stay in a scene that does not flicker, and are changed in one that does."""

    _seen: tuple[Curve, torch.Tensor] | None = PrivateAttr(None)
    """A stretch of a scene, and what its frames are to lose."""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"flicker"} if self.strength != 0 else ())

    @property
    def curve_reach(self) -> int:
        return flicker.REACH

    @property
    def repairs(self) -> bool:
        return True

    def reset(self) -> None:
        self._seen = None

    def process(self, clip: FrameBatch) -> Planes:
        facts = clip.facts.get(clip.frames[0].scene)
        curve = facts.curves.get("flicker") if facts else None
        if curve is None or self.strength == 0:
            return clip.planes
        excess = self._excess(curve)
        frames = [excess[f.index - curve.first] for f in clip.frames]
        if not any(bool(e.any()) for e in frames):
            return clip.planes
        # Fitted to 8-bit codes above 16, whatever the range of the video.
        full = bool(clip.format.color.full_range)
        unit, black = (255.0, flicker.BLACK / 255.0) if full else (219.0, 0.0)
        made = []
        for number, plane in enumerate(clip.planes):
            size = (plane.shape[-2], plane.shape[-1])
            done = [
                _lessened(p, e, *((unit, black) if number == 0 else (math.inf, 0.0)), size)
                if bool(e.any())
                else p
                for p, e in zip(plane, frames, strict=True)
            ]
            made.append(torch.stack(done))
        return tuple(made)

    def _excess(self, curve: Curve) -> Tensor:
        """(n, WIDTH) of the frames of the curve."""
        if self._seen is None or self._seen[0] is not curve:
            found = flicker.flickers(curve.values.numpy().astype(np.float64))
            excess = found.excess * (
                found.certainty[:, None] if self.strength == "auto" else self.strength
            )
            self._seen = curve, torch.from_numpy(excess.astype(np.float32))
        return self._seen[1]


def _lessened(
    plane: Tensor, excess: Tensor, unit: float, black: float, size: tuple[int, int]
) -> Tensor:
    """(1, h, w) nominal without the gains and the offset of `excess`, (WIDTH,): gains about `black`, codes of `unit`."""
    field = torch.zeros(size)
    for number, (down, across) in enumerate(flicker.WAVES):
        wave = _half_waves(size[0], down)[:, None] * _half_waves(size[1], across)[None]
        field.addcmul_(wave, -excess[number])
    gain = field.exp_().to(plane.device)
    light = plane.float() - black
    if math.isfinite(unit):
        # What is black is no part of the film: its border, a matte.
        offset = float(excess[flicker.OFFSET])
        rise = max(_BLACKEST, 2 * abs(offset))
        light = light - offset / unit * (light * (unit / rise)).clamp(0, 1)
    return (light * gain + black).to(plane.dtype)


def _half_waves(count: int, number: int) -> Tensor:
    """(count,) of a cosine of so many half waves."""
    places = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.cos(math.pi * number * places).float()


STAGE = Deflicker
