"""The planes that the last stage gave, as the encoder takes them: its size, chroma sampling, R, G, B."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from restore.color import Matrix, Siting
from restore.planes import Kernel, chroma_shift, resample
from restore.rgb import to_gbr
from restore.video import Chroma, Planes, VideoFormat


def conform(
    planes: Planes, source: VideoFormat, target: VideoFormat, kernel: Kernel = "lanczos3"
) -> Planes:
    """Nominal planes of `source` as those of `target`: (Y), (Y, Cb, Cr), or (G, B, R) 0 to 1 where the target's
    matrix is RGB. Sizes are resampled by `kernel`, each sample staying where the siting says it lies. Grey
    gets neutral chroma, exactly 0; to grey, chroma is dropped."""
    if (source.width, source.height) != (target.width, target.height):
        planes, source = _resized(planes, source, target, kernel)
    planes = _convert_chroma(planes, source, target)
    if target.color.matrix is Matrix.RGB and source.color.matrix is not Matrix.RGB:
        return to_gbr(planes, source.color.matrix)
    return planes


def _resized(
    planes: Planes, source: VideoFormat, target: VideoFormat, kernel: Kernel
) -> tuple[Planes, VideoFormat]:
    resized = replace(source, width=target.width, height=target.height)
    scale = (target.height / source.height, target.width / source.width)
    shift = chroma_shift(source, scale)
    made = tuple(
        resample(plane, size, kernel=kernel, scale=scale, shift=shift if number else (0.0, 0.0))
        for number, (plane, size) in enumerate(zip(planes, resized.plane_shapes(), strict=True))
    )
    return made, resized


def _convert_chroma(planes: Planes, source: VideoFormat, target: VideoFormat) -> Planes:
    if source.chroma is target.chroma:
        return planes
    if target.chroma is None:
        return planes[:1]
    if source.chroma is None:
        blank = [
            torch.zeros(len(planes[0]), 1, h, w, device=planes[0].device)
            for h, w in target.plane_shapes()[1:]
        ]
        return (planes[0], *blank)
    return (planes[0], *(_resampled(p, source, target) for p in planes[1:]))


def _resampled(plane: Tensor, source: VideoFormat, target: VideoFormat) -> Tensor:
    """One chroma plane, each sample staying where the siting says it lies in the picture."""
    (scale_y, shift_y), (scale_x, shift_x) = (
        _move(_factor(source.chroma, axis), _factor(target.chroma, axis), source, axis)
        for axis in (0, 1)
    )
    return resample(
        plane,
        target.plane_shapes()[1],
        scale=(scale_y, scale_x),
        shift=(shift_y, shift_x),
    )


def _factor(chroma: Chroma | None, axis: int) -> int:
    return 1 if chroma is None else 1 << chroma.value[axis]


def _move(before: int, after: int, fmt: VideoFormat, axis: int) -> tuple[float, float]:
    """(scale, shift) for `resample` from one sample in `before` to one in `after` luma samples.
    Sample j lies at luma position j * factor + offset; Siting gives the offset for a factor of 2."""
    siting = (fmt.color.siting or Siting.LEFT).value[axis]
    offset_before, offset_after = siting * (before - 1), siting * (after - 1)
    scale = before / after
    return scale, (offset_after - offset_before) / before - 0.5 / scale + 0.5
