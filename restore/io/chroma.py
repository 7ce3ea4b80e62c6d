"""Code planes from one chroma sampling to another, for encoders that do not take them all."""

from __future__ import annotations

import torch
from torch import Tensor

from restore.color import Siting
from restore.planes import resample
from restore.video import Chroma, Planes, VideoFormat


def convert_chroma(planes: Planes, source: VideoFormat, target: VideoFormat) -> Planes:
    """Integer code planes of `source` as those of `target`, which differs in chroma alone.
    Grey gets neutral chroma (exactly the middle code); to grey, chroma is dropped."""
    if source.chroma is target.chroma:
        return planes
    if target.chroma is None:
        return planes[:1]
    if source.chroma is None:
        count = len(planes[0])
        neutral = 1 << (source.depth - 1)
        blank = [
            torch.full((count, 1, h, w), neutral, dtype=planes[0].dtype)
            for h, w in target.plane_shapes()[1:]
        ]
        return (planes[0], *blank)
    return (planes[0], *(_resampled(p, source, target) for p in planes[1:]))


def _resampled(codes: Tensor, source: VideoFormat, target: VideoFormat) -> Tensor:
    """One chroma plane, each sample staying where the siting says it lies in the picture."""
    (scale_y, shift_y), (scale_x, shift_x) = (
        _move(_factor(source.chroma, axis), _factor(target.chroma, axis), source, axis)
        for axis in (0, 1)
    )
    moved = resample(
        codes.float(),
        target.plane_shapes()[1],
        kernel="lanczos3",
        scale=(scale_y, scale_x),
        shift=(shift_y, shift_x),
    )
    return moved.round().clamp_(0, (1 << source.depth) - 1).to(codes.dtype)


def _factor(chroma: Chroma | None, axis: int) -> int:
    return 1 if chroma is None else 1 << chroma.value[axis]


def _move(before: int, after: int, fmt: VideoFormat, axis: int) -> tuple[float, float]:
    """(scale, shift) for `resample` from one sample in `before` to one in `after` luma samples.
    Sample j lies at luma position j * factor + offset; Siting gives the offset for a factor of 2."""
    siting = (fmt.color.siting or Siting.LEFT).value[axis]
    offset_before, offset_after = siting * (before - 1), siting * (after - 1)
    scale = before / after
    return scale, (offset_after - offset_before) / before - 0.5 / scale + 0.5
