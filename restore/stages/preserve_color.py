"""Keep brightness and colour: low frequencies of every plane follow the source."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from restore.planes import chroma_shift, gaussian_blur, is_flat, pool, resample, stretch
from restore.stage import Stage
from restore.video import FrameBatch, Planes


class PreserveColor(Stage):
    radius: float = Field(8.0, gt=0, le=64)
    """Sigma of the low-pass, in source samples: what is coarser follows the source."""
    strength: float = Field(1.0, ge=0, le=1)
    """0 leaves the picture alone, 1 makes the low frequencies those of the source."""

    def process(self, clip: FrameBatch) -> Planes:
        source, source_format = clip.original()
        if clip.source is None or self.strength == 0:
            return clip.planes
        scale = (clip.format.height / source_format.height, clip.format.width / source_format.width)
        shift = chroma_shift(source_format, scale)
        luma, *chroma = clip.planes
        return (
            lock(luma, source[0], self.radius, self.strength, scale),
            *(
                torch.zeros_like(p)  # what the rest comes to
                if is_flat(s) and not bool(s[0, 0, 0, 0])
                else neutral(lock(p, s, self.radius, self.strength, scale, shift), s)
                for p, s in zip(chroma, source[1:], strict=False)
            ),
        )


def lock(
    plane: Tensor,
    source: Tensor,
    radius: float,
    strength: float,
    scale: tuple[float, float],
    shift: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """(T, 1, H, W) with the low frequencies of `source` (T, 1, h, w), which shows the same picture, in place of its
    own (SCIENCE E13: out - LP(out) + LP(up(in))).

    The difference of the low-passes is found on a coarse grid of cells a third of `radius` wide, where blurring costs
    nothing. `scale` and `shift` (vertical, horizontal) are what `resample` made `plane` with: the chroma of odd sizes
    ends elsewhere, and chroma sited to one side does not lie where the edges of the planes say; a gradient moved by
    a part of a sample would be taken for a drift.
    """
    done = torch.empty_like(plane)
    for own, given, out in zip(
        torch.split(plane, 1), torch.split(source, 1), torch.split(done, 1), strict=True
    ):
        if is_flat(own) and is_flat(given):
            drift = own[..., :1, :1].float() - given[..., :1, :1].float()
        else:
            drift = _drift(own.float(), given.float(), radius, scale, shift)
        torch.sub(own.float(), drift, alpha=strength, out=out)
    return done


def _drift(
    plane: Tensor,
    source: Tensor,
    radius: float,
    scale: tuple[float, float],
    shift: tuple[float, float],
) -> Tensor:
    """Low frequencies of `plane` less those of `source`."""
    (height, width), (high, wide) = source.shape[-2:], plane.shape[-2:]
    cell = max(1, int(radius / 3))
    coarse = (max(1, round(height / cell)), max(1, round(width / cell)))
    wanted = pool(source, coarse)
    if shift != (0.0, 0.0):
        moved = (shift[0] * coarse[0] / height, shift[1] * coarse[1] / width)
        wanted = resample(wanted, coarse, kernel="bicubic", shift=moved)
    missing = (round(height * scale[0]) - high, round(width * scale[1]) - wide)
    if max(missing) > 0:
        plane = F.pad(plane, (0, max(0, missing[1]), 0, max(0, missing[0])), "replicate")
    drift = gaussian_blur(pool(plane, coarse) - wanted, radius * coarse[0] / height)
    return stretch(drift, (plane.shape[-2], plane.shape[-1]))[..., :high, :wide]


def neutral(plane: Tensor, source: Tensor) -> Tensor:
    """Frames whose source chroma is 0 all over become 0, exactly: no colour, not even by rounding."""
    coloured = source.ne(0).flatten(1).any(1)
    if bool(coloured.all()):
        return plane
    return plane * coloured.view(-1, 1, 1, 1)


STAGE = PreserveColor
