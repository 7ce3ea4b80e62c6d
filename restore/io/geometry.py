"""Crop and turn: where the samples of a decoded picture go."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
from av.sidedata.sidedata import Type
from torch import Tensor

from restore.color import Siting
from restore.io.side_data import side_data_of
from restore.planes import resample
from restore.video import Chroma, Planes, QuantMap, VideoFormat

Codes = npt.NDArray[Any]
"""(h, w) of one plane."""


@dataclass(frozen=True, slots=True)
class Crop:
    """Luma samples cut from each side of the decoded picture."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return any((self.left, self.top, self.right, self.bottom))

    def __add__(self, inner: Crop) -> Crop:
        """Both, `inner` cut from what this one leaves."""
        return Crop(
            self.left + inner.left,
            self.top + inner.top,
            self.right + inner.right,
            self.bottom + inner.bottom,
        )

    def __str__(self) -> str:
        return f"{self.left}:{self.top}:{self.right}:{self.bottom}"


@dataclass(frozen=True, slots=True)
class Turn:
    """One of the eight ways to lay down a picture: first mirrored left to right, then turned."""

    quarters: int = 0
    """Quarter turns clockwise, 0 to 3."""
    mirror: bool = False

    def __bool__(self) -> bool:
        return self.quarters != 0 or self.mirror

    def __str__(self) -> str:
        mirrored = "mirrored" if self.mirror else ""
        turned = f"turned by {90 * self.quarters} degrees" if self.quarters else ""
        return " and ".join(word for word in (mirrored, turned) if word)

    @property
    def swaps_axes(self) -> bool:
        return self.quarters % 2 == 1


def stated_turn(frame: av.VideoFrame, losses: list[str]) -> Turn:
    """What the file asks players to do with the picture; a loss where that cannot be done."""
    matrices = [d for d in side_data_of(frame) if d.type is Type.DISPLAYMATRIX]
    if not matrices:
        return Turn(-int(frame.rotation) // 90 % 4)
    turn = turn_of_matrix(bytes(matrices[0]))
    if turn is None:
        losses.append(
            "the file asks players to turn the picture by no multiple of 90 degrees: not done"
        )
    return turn or Turn()


def turn_of_matrix(data: bytes) -> Turn | None:
    """The turn that a display matrix stands for (nine int32 of 16.16 and 2.30 fixed point, as in MP4: a point
    (x, y) of the picture is shown at (a x + c y, b x + d y)); None where it is none of the eight."""
    if len(data) < 36:
        return None
    a, b, _, c, d = struct.unpack("=9i", data[:36])[:5]
    size = max(abs(v) for v in (a, b, c, d))
    if size == 0:
        return None
    # Each row and column of a turn by quarters holds one +1 or -1; a degree is 0.017.
    unit = tuple(round(v / size) for v in (a, b, c, d))
    if any(abs(v / size - u) > 0.01 for v, u in zip((a, b, c, d), unit, strict=True)):
        return None
    for quarters, mirror in ((q, m) for q in range(4) for m in (False, True)):
        x, y = _QUARTERS[quarters]
        across = (-x, -y) if mirror else (x, y)
        if unit == (*across, -y, x):
            return Turn(quarters, mirror)
    return None


_QUARTERS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Where the picture's rightward axis points after so many quarter turns clockwise, y downward."""


def cropped(plane: Codes, crop: Crop, chroma: tuple[int, int]) -> Codes:
    """(h, w) -> a view without the borders; `chroma` = (vertical, horizontal) log2 subsampling."""
    down, across = chroma
    height, width = plane.shape
    return plane[
        crop.top >> down : height - (crop.bottom >> down),
        crop.left >> across : width - (crop.right >> across),
    ]


def turned(plane: Codes, turn: Turn) -> Codes:
    """(h, w) -> a view, (w, h) for odd quarter turns."""
    if turn.mirror:
        plane = plane[:, ::-1]
    return np.rot90(plane, -turn.quarters)


def place(fmt: VideoFormat, crop: Crop, turn: Turn) -> VideoFormat:
    """The format of pictures of `fmt` when cropped and turned. Chroma sampling must have a turned
    counterpart (4:1:1 has none); chroma must be moved by `chroma_error` where that is not 0."""
    fmt = cut(fmt, crop)
    if turn and fmt.color.siting is not None:
        fmt = replace(fmt, color=replace(fmt.color, siting=Siting(_turned_siting(fmt, turn)[0])))
    if not turn.swaps_axes:
        return fmt
    return replace(
        fmt,
        width=fmt.height,
        height=fmt.width,
        chroma=None if fmt.chroma is None else Chroma(fmt.chroma.value[::-1]),
        sample_aspect=1 / fmt.sample_aspect,
    )


def chroma_error(fmt: VideoFormat, crop: Crop, turn: Turn) -> tuple[float, float]:
    """(down, right) chroma samples by which the chroma of a picture of `fmt`, cropped and turned, lies
    beyond where the siting of `place` says: H.273 has no siting at the right, for one."""
    return _turned_siting(cut(fmt, crop), turn)[1]


def shift_chroma(planes: Planes, fmt: VideoFormat, error: tuple[float, float]) -> Planes:
    """Integer code planes of `fmt`, the chroma moved from `error` = (down, right) chroma samples beyond where
    its siting says to that place."""
    if error == (0.0, 0.0):
        return planes
    return (planes[0], *(_shifted(p, fmt.depth, error) for p in planes[1:]))


def _shifted(codes: Tensor, depth: int, error: tuple[float, float]) -> Tensor:
    size = (codes.shape[-2], codes.shape[-1])
    moved = resample(codes.float(), size, scale=(1.0, 1.0), shift=(-error[0], -error[1]))
    return moved.round().clamp_(0, (1 << depth) - 1).to(codes.dtype)


def cut(fmt: VideoFormat, crop: Crop) -> VideoFormat:
    """The format of pictures of `fmt` without `crop`."""
    return replace(
        fmt,
        width=fmt.width - crop.left - crop.right,
        height=fmt.height - crop.top - crop.bottom,
    )


def _turned_siting(fmt: VideoFormat, turn: Turn) -> tuple[tuple[float, float], tuple[float, float]]:
    """(siting to tag, error in chroma samples), both (down, right)."""
    siting = (fmt.color.siting or Siting.LEFT).value
    if fmt.chroma is None:
        return siting, (0.0, 0.0)
    factors = [1 << shift for shift in fmt.chroma.value]
    shapes = fmt.plane_shapes()
    # Luma position of the first chroma sample, from this edge of the picture and from the opposite one.
    near = [s * (f - 1) for s, f in zip(siting, factors, strict=True)]
    far = [
        size - 1 - (count - 1) * f - n
        for size, count, f, n in zip(shapes[0], shapes[1], factors, near, strict=True)
    ]
    (down, up), (right, left) = zip(near, far, strict=True)
    if turn.mirror:
        right, left = left, right
    for _ in range(turn.quarters):
        down, right, up, left = right, up, left, down
        factors.reverse()
    tags, errors = [], []
    for at, f, known in zip((down, right), factors, ((0.0, 0.5, 1.0), (0.0, 0.5)), strict=True):
        tag = min(known, key=lambda s: abs(at - s * (f - 1))) if f > 1 else None
        tags.append(tag)
        errors.append(0.0 if tag is None else (at - tag * (f - 1)) / f)
    # An axis that is not subsampled says nothing; its tag only has to make a siting with the other's.
    vertical, horizontal = tags
    return (
        (0.5 if vertical is None else vertical, 0.0 if horizontal is None else horizontal),
        (errors[0], errors[1]),
    )


def place_map(quant: QuantMap, size: tuple[int, int], crop: Crop, turn: Turn) -> QuantMap:
    """The map of a decoded picture of `size` = (height, width), for the cropped and turned one."""
    if not crop and not turn:
        return quant
    rows, columns = (n * quant.cell for n in quant.steps.shape)
    top, left = quant.origin[0] + crop.top, quant.origin[1] + crop.left
    # Cells reach beyond the picture: what lies behind its far edges comes first when it is turned.
    bottom = rows - quant.origin[0] - size[0] + crop.bottom
    right = columns - quant.origin[1] - size[1] + crop.right
    steps = quant.steps
    if turn.mirror:
        steps, (left, right) = steps.flip(1), (right, left)
    for _ in range(turn.quarters):
        steps = torch.rot90(steps, -1)
        top, right, bottom, left = left, top, right, bottom
    return QuantMap(steps.contiguous(), quant.cell, (top, left))


def place_planes(planes: Sequence[Codes], fmt: VideoFormat, crop: Crop, turn: Turn) -> list[Codes]:
    """Views of the planes of one picture of `fmt` (before), cropped and turned."""
    chroma = (0, 0) if fmt.chroma is None else fmt.chroma.value
    shifts = [(0, 0), chroma, chroma]
    return [
        turned(cropped(plane, crop, shift), turn)
        for plane, shift in zip(planes, shifts, strict=False)
    ]
