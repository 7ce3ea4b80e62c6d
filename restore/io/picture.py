"""A decoded frame on its way to a batch, in the pixel format it is read in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from restore.io.pixels import plain_name, rescaled
from restore.video import FrameInfo, QuantMap

Codes = npt.NDArray[Any]
"""(h, w) of one plane, as the pixel format has them: also of R, G, B."""


@dataclass(frozen=True, slots=True)
class Picture:
    frame: av.VideoFrame
    """Its own pts means nothing here: `info` has the true one."""
    info: FrameInfo
    quant: QuantMap | None = None
    """As decoded: not yet cropped or turned."""


def in_format(frame: av.VideoFrame, name: str) -> av.VideoFrame:
    """The frame in the planar pixel format `name`, in which it is readable: the same codes, no range converted."""
    if frame.format.name == name:
        return frame
    if plain_name(frame.format.name) == name:
        # A name that differs by range or transparency alone; libswscale would convert the range.
        return frame_of(planes_in(frame), frame.width, frame.height, name)
    return rescaled(frame, format=name)


def planes_in(frame: av.VideoFrame) -> list[Codes]:
    """Views of all planes of a planar frame, valid while it lives."""
    return [_codes(plane, frame.format.components[0].bits) for plane in frame.planes]


def frame_of(planes: Sequence[Codes], width: int, height: int, name: str) -> av.VideoFrame:
    """A frame in the planar pixel format `name` that holds copies of as many of `planes` as it has."""
    frame = av.VideoFrame(width, height, name)
    for target, codes in zip(planes_in(frame), planes, strict=False):
        target[:] = codes
    return frame


def _codes(plane: Any, bits: int) -> Codes:
    flat: Codes = np.frombuffer(plane, np.uint8 if bits == 8 else np.uint16)
    stride = plane.line_size // flat.itemsize
    rows = flat[: flat.size // stride * stride].reshape(-1, stride)
    return rows[: plane.height, : plane.width]


def luma_codes(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """(H, W) luma in 8-bit codes, whatever the pixel format; may be a view, valid while `frame` lives."""
    name = frame.format.name
    if not name.startswith(("yuv4", "yuvj4", "yuva4", "gray", "nv12")) or name.endswith("be"):
        frame = rescaled(frame, format="gray")
    bits = frame.format.components[0].bits
    rows = _codes(frame.planes[0], bits)
    luma: npt.NDArray[np.uint8] = rows if bits == 8 else (rows >> (bits - 8)).astype(np.uint8)
    return luma
