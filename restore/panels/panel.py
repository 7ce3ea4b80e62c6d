"""Frames of any video as the codes of one panel: 8-bit Y, Cb, Cr 4:2:0, limited range, one size and colour matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from restore.color import LUMA_WEIGHTS, Matrix, Siting
from restore.conform import conform
from restore.planes import Kernel, to_codes, to_nominal
from restore.rgb import to_gbr, to_ycbcr
from restore.video import Chroma, FrameBatch, FrameInfo, Planes, VideoFormat

Codes = npt.NDArray[np.uint8]
Picture = tuple[Codes, Codes, Codes]
"""Y (h, w), Cb and Cr (h / 2, w / 2), limited range; h and w are even. May be views: never written to."""

BLACK, WHITE, NEUTRAL = 16, 235, 128

_SAME_SHAPE = Fraction(1, 50)
"""Shapes that differ by less are taken for one: sizes are rounded to whole macroblocks, aspects to tables."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a panel, in its luma samples."""

    x: int
    y: int
    width: int
    height: int

    def even(self) -> Region:
        """Where chroma samples begin and end: x and y down, width and height down, to 2 at least."""
        return Region(
            self.x // 2 * 2,
            self.y // 2 * 2,
            max(2, self.width // 2 * 2),
            max(2, self.height // 2 * 2),
        )

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"


def panel_format(a: VideoFormat, b: VideoFormat) -> VideoFormat:
    """Of the panels that show `a` and `b`: as the one with more samples, `b` where both have as many. An odd last line or
    column is left out."""
    larger = a if a.width * a.height > b.width * b.height else b
    matrix = larger.color.matrix
    if matrix not in LUMA_WEIGHTS:
        matrix = Matrix.BT709
    color = replace(
        larger.color, matrix=matrix, full_range=False, siting=larger.color.siting or Siting.LEFT
    )
    return replace(
        larger,
        width=max(2, larger.width // 2 * 2),
        height=max(2, larger.height // 2 * 2),
        chroma=Chroma.C420,
        depth=8,
        color=color,
        rgb_depth=None,
        hdr=None,
    )


class Projector:
    """Frames of one format as pictures of a panel: scaled to it, its shown shape kept, with black beside or above."""

    def __init__(self, source: VideoFormat, panel: VideoFormat, kernel: Kernel) -> None:
        self._source, self._panel, self._kernel = source, panel, kernel
        self._inner = _inner(source, panel)
        x, y, width, height = self._inner
        # An odd line or column more than the panel's is cut off, not squeezed in.
        odd = (source.width - width in (0, 1), source.height - height in (0, 1))
        self._target = replace(
            panel,
            width=source.width if all(odd) else width,
            height=source.height if all(odd) else height,
        )
        self.scaled = not all(odd)
        """Whether the frames are resampled."""
        self.width, self.height = width, height
        """Of the frames in the panel."""
        self.letterboxed = (x, y) != (0, 0)
        """Whether they have another shape than the panel."""
        own = (source.chroma, source.depth, bool(source.color.full_range), source.color.matrix)
        self._as_is = not self.scaled and own == (Chroma.C420, 8, False, panel.color.matrix)

    def __call__(self, batch: FrameBatch) -> Picture:
        """Of a batch of one frame, in integer codes; of G, B, R where the format's matrix is RGB."""
        planes = batch.planes if self._as_is else self._converted(batch)
        x, y, width, height = self._inner
        sizes = [(height, width)] + [(height // 2, width // 2)] * 2
        codes = [
            np.asarray(p[0, 0].numpy()[:h, :w], np.uint8)
            for p, (h, w) in zip(planes, sizes, strict=True)
        ]
        if (width, height) == (self._panel.width, self._panel.height):
            return codes[0], codes[1], codes[2]
        canvas = blank(self._panel.width, self._panel.height)
        paste(canvas, (codes[0], codes[1], codes[2]), x, y)
        return canvas

    def _converted(self, batch: FrameBatch) -> Planes:
        source = self._source
        depth, full = source.depth, bool(source.color.full_range)
        matrices = (source.color.matrix, self._target.color.matrix)
        rgb = matrices[0] is Matrix.RGB
        planes: Planes = tuple(
            to_nominal(codes, depth, full, chroma=i > 0 and not rgb)
            for i, codes in enumerate(batch.planes)
        )
        if rgb:
            planes = to_ycbcr(planes, matrices[1])
        if len(planes) == 3 and matrices[0] is not matrices[1] and matrices[0] in LUMA_WEIGHTS:
            whole = replace(source, chroma=Chroma.C444)
            planes = conform(planes, source, whole)
            planes, source = to_ycbcr(to_gbr(planes, matrices[0]), matrices[1]), whole
        source = replace(source, color=replace(source.color, matrix=matrices[1]))
        made = conform(planes, source, self._target, self._kernel)
        return tuple(to_codes(p, 8, False, i > 0) for i, p in enumerate(made))


def blank(width: int, height: int) -> Picture:
    """A black picture that may be written to."""
    half = (height // 2, width // 2)
    return (
        np.full((height, width), BLACK, np.uint8),
        np.full(half, NEUTRAL, np.uint8),
        np.full(half, NEUTRAL, np.uint8),
    )


def paste(canvas: Picture, picture: Picture, x: int, y: int) -> None:
    """Write `picture` into `canvas`, its top left sample at even (x, y)."""
    for number, (plane, codes) in enumerate(zip(canvas, picture, strict=True)):
        top, left = (y, x) if number == 0 else (y // 2, x // 2)
        plane[top : top + codes.shape[0], left : left + codes.shape[1]] = codes


def cut(picture: Picture, region: Region) -> Picture:
    """A view of the region, which must be even and lie inside."""
    luma = picture[0][region.y : region.y + region.height, region.x : region.x + region.width]
    x, y, width, height = (n // 2 for n in (region.x, region.y, region.width, region.height))
    return (
        luma,
        picture[1][y : y + height, x : x + width],
        picture[2][y : y + height, x : x + width],
    )


class Zoom:
    """A region of a panel, enlarged by a whole number."""

    def __init__(self, region: Region, panel: VideoFormat, kernel: Kernel) -> None:
        self.region = region.even()
        self.factor = max(
            1, min(panel.width // self.region.width, panel.height // self.region.height)
        )
        self._small = replace(panel, width=self.region.width, height=self.region.height)
        self._large = self._small.scaled(self.factor)
        self._kernel = kernel

    @property
    def format(self) -> VideoFormat:
        """Of what comes out."""
        return self._large

    def __call__(self, picture: Picture) -> Picture:
        part = cut(picture, self.region)
        if self.factor == 1:
            return part
        planes = tuple(
            to_nominal(torch.from_numpy(p.copy())[None, None], 8, False, i > 0)
            for i, p in enumerate(part)
        )
        made = conform(planes, self._small, self._large, self._kernel)
        y, cb, cr = (to_codes(p, 8, False, i > 0)[0, 0].numpy() for i, p in enumerate(made))
        return y, cb, cr


def batch_of(
    picture: Picture, info: FrameInfo, fmt: VideoFormat, encoded: VideoFormat
) -> FrameBatch:
    """One frame for an encoder that takes `encoded`; `fmt` is the picture's. Codes stay as they are where they can."""
    planes: Planes = tuple(torch.from_numpy(np.ascontiguousarray(p))[None, None] for p in picture)
    full, rgb = bool(encoded.color.full_range), encoded.color.matrix is Matrix.RGB
    if (encoded.chroma, encoded.depth, full, rgb) != (Chroma.C420, 8, False, False):
        nominal = tuple(to_nominal(p, 8, False, i > 0) for i, p in enumerate(planes))
        planes = tuple(
            to_codes(p, encoded.depth, full, i > 0 and not rgb)
            for i, p in enumerate(conform(nominal, fmt, encoded))
        )
    return FrameBatch(planes, (info,), encoded)


def rgb_of(picture: Picture, fmt: VideoFormat) -> npt.NDArray[Any]:
    """(H, W, 3) uint8 R, G, B of a panel of `fmt`, in square samples, for stills."""
    planes: Planes = tuple(
        to_nominal(torch.from_numpy(np.ascontiguousarray(p))[None, None], 8, False, i > 0)
        for i, p in enumerate(picture)
    )
    fmt = replace(fmt, width=picture[0].shape[1], height=picture[0].shape[0])
    whole = replace(fmt.squared(), chroma=Chroma.C444)
    matrix = fmt.color.matrix
    green, blue, red = to_gbr(conform(planes, fmt, whole), matrix)
    stacked = torch.cat([red, green, blue])[:, 0].permute(1, 2, 0)
    return np.asarray((stacked * 255).round().clamp(0, 255).to(torch.uint8).numpy())


def _inner(source: VideoFormat, panel: VideoFormat) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the part of the panel that shows `source`, all even."""
    shapes = [f.sample_aspect * f.width / f.height for f in (source, panel)]
    ratio = shapes[0] / shapes[1]
    if abs(ratio - 1) < _SAME_SHAPE:
        return 0, 0, panel.width, panel.height
    width, height = panel.width, panel.height
    if ratio > 1:
        height = max(2, round(height / ratio / 2) * 2)
    else:
        width = max(2, round(width * ratio / 2) * 2)
    return (panel.width - width) // 4 * 2, (panel.height - height) // 4 * 2, width, height
