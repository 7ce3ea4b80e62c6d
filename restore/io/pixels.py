"""Pixel formats: which planes FFmpeg's names stand for, and planes in and out of its frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.format import VideoFormat as AvFormat
from av.video.plane import VideoPlane

from restore.color import Matrix
from restore.io.captions import captioned_frame
from restore.rgb import inner_depth, ycbcr_codes
from restore.video import Chroma, VideoFormat

Codes = npt.NDArray[np.integer[Any]]
"""(h, w) codes of one plane."""

_CHROMA = {
    "yuv420p": Chroma.C420,
    "yuv422p": Chroma.C422,
    "yuv444p": Chroma.C444,
    "yuv440p": Chroma.C440,
    "yuv411p": Chroma.C411,
    "yuv410p": Chroma.C410,
    "gray": None,
}
_DEEP = {
    9: ("yuv420p", "yuv422p", "yuv444p", "gray"),
    10: ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "gray"),
    12: ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "gray"),
    14: ("yuv420p", "yuv422p", "yuv444p", "gray"),
    16: ("yuv420p", "yuv422p", "yuv444p", "gray"),
}
NATIVE: dict[str, tuple[Chroma | None, int]] = {
    **{name: (chroma, 8) for name, chroma in _CHROMA.items()},
    **{
        f"{name}{depth}le": (_CHROMA[name], depth)
        for depth, names in _DEEP.items()
        for name in names
    },
}
"""Formats whose planes are taken as they are: chroma and depth by FFmpeg's name."""

RGB: dict[str, int] = {
    "gbrp": 8,
    **{f"gbrp{depth}le": depth for depth in (9, 10, 12, 14, 16)},
    "bgr0": 8,
    "rgb24": 8,
}
"""R, G, B formats that are read (the planar ones) or written: bits per sample by FFmpeg's name."""

_PACKED_420 = {"p010le": 10}
"""Cb and Cr side by side, codes in the upper bits: the only deep format that NVENC takes."""

Layout = tuple[bool, Chroma | None, int]
"""(whether R, G, B; chroma sampling; bits per sample)."""

WRITTEN: dict[str, Layout] = {
    **{name: (False, chroma, depth) for name, (chroma, depth) in NATIVE.items()},
    **{name: (False, Chroma.C420, depth) for name, depth in _PACKED_420.items()},
    **{name: (True, Chroma.C444, depth) for name, depth in RGB.items()},
}
"""Every format that `from_planes` can fill."""


def readable_as(pixel_format: str) -> str:
    """The format of NATIVE or RGB in which frames of `pixel_format` are read: the same codes, in planes of
    their own. Nothing is lost but transparency; libswscale only moves codes about, it mixes none."""
    name = plain_name(pixel_format)
    if name in NATIVE or name in RGB:
        return name if name not in ("bgr0", "rgb24") else "gbrp"
    described = AvFormat(pixel_format)
    bits = max(c.bits for c in described.components)
    held = next((depth for depth in (8, 9, 10, 12, 14) if bits <= depth), 16)
    depth = "" if held == 8 else f"{held}le"
    if is_rgb(pixel_format):
        return f"gbrp{depth}"
    if len([c for c in described.components if not c.is_alpha]) < 3:
        return f"gray{depth}"
    # Asked of a size that every subsampling divides.
    grid = (16 // described.chroma_height(16), 16 // described.chroma_width(16))
    for base, chroma in _CHROMA.items():
        if chroma is not None and grid == (1 << chroma.value[0], 1 << chroma.value[1]):
            return f"{base}{depth}" if f"{base}{depth}" in NATIVE else f"yuv444p{depth}"
    return f"yuv444p{depth}"


def planes_of(read_as: str) -> tuple[Chroma | None, int, int | None]:
    """(chroma, depth, RGB depth or None) of the planes that `to_planes` makes of a format that
    `readable_as` gave. R, G, B become Y, Cb, Cr with so many more bits that the way back is exact."""
    if read_as in RGB:
        return Chroma.C444, inner_depth(RGB[read_as]), RGB[read_as]
    chroma, depth = NATIVE[read_as]
    return chroma, depth, None


def has_alpha(pixel_format: str) -> bool:
    """The format carries transparency, which is not read."""
    return any(c.is_alpha for c in AvFormat(pixel_format).components)


def is_rgb(pixel_format: str) -> bool:
    """RGB, XYZ or palette: a matrix must be chosen to make Y, Cb, Cr of it."""
    described = AvFormat(pixel_format)
    return described.is_rgb or described.has_palette or pixel_format.startswith("xyz")


def is_full_range(pixel_format: str) -> bool:
    """The name itself says full range (JPEG)."""
    return pixel_format.startswith("yuvj")


def pixel_format_of(fmt: VideoFormat, taken: Iterable[str] = WRITTEN) -> str | None:
    """FFmpeg's name of planes in `fmt`, the first of `taken` that fits; None where none does."""
    layout = (fmt.color.matrix is Matrix.RGB, fmt.chroma, fmt.depth)
    return next((name for name in taken if WRITTEN[name] == layout), None)


def rescaled(frame: av.VideoFrame, **wanted: Any) -> av.VideoFrame:
    """`frame.reformat` with `wanted`, on one thread: on several, libswscale's conversion of packed 10-bit chroma (P010, P210)
    writes over the first samples of another thread's rows, now and then."""
    return frame.reformat(threads=1, **wanted)


def to_planes(frame: av.VideoFrame, fmt: VideoFormat, read_as: str) -> list[Codes]:
    """The codes of a decoded frame, in the shapes of `fmt`: views, valid while `frame` lives, unless the
    frame is R, G, B."""
    if plain_name(frame.format.name) != read_as:
        frame = rescaled(frame, format=read_as)
    if read_as in RGB:
        shape = (fmt.height, fmt.width)
        green, blue, red = (_cut(plane, RGB[read_as], shape) for plane in frame.planes)
        return [
            plane.astype(np.uint16 if fmt.depth <= 16 else np.int32)
            for plane in ycbcr_codes((red, green, blue), RGB[read_as], fmt)
        ]
    shapes = fmt.plane_shapes()
    planes = zip(frame.planes, shapes, strict=False)
    return [_cut(plane, fmt.depth, shape) for plane, shape in planes]


def _cut(plane: VideoPlane, depth: int, shape: tuple[int, int]) -> Codes:
    return _rows(plane, depth)[: shape[0], : shape[1]]


def _rows(plane: VideoPlane, depth: int) -> Codes:
    """All that FFmpeg allocated for a plane, padding at the right and below included."""
    kind = np.dtype(np.uint8 if depth == 8 else np.uint16)
    flat: Codes = np.frombuffer(plane, kind)  # type: ignore[call-overload]
    stride = plane.line_size // flat.itemsize
    return flat[: flat.size // stride * stride].reshape(-1, stride)


def plain_name(pixel_format: str) -> str:
    """The name without what does not change the planes: range and transparency."""
    return pixel_format.replace("yuvj", "yuv").replace("yuva", "yuv").replace("gbrap", "gbrp")


def packed_planes(frame: av.VideoFrame) -> list[npt.NDArray[np.uint8]]:
    """The bytes of a frame without padding, plane by plane, (rows, bytes): what FFmpeg's rawvideo holds.
    ValueError for a format that this program does not write."""
    layout = WRITTEN.get(plain_name(frame.format.name))
    if layout is None or frame.format.name in _PACKED_420:
        raise ValueError(f"{frame.format.name} is not known")
    step = {"bgr0": 4, "rgb24": 3}.get(frame.format.name, 1 if layout[2] == 8 else 2)
    return [
        np.ascontiguousarray(_rows(plane, 8)[: plane.height, : plane.width * step], np.uint8)
        for plane in frame.planes
    ]


def from_planes(
    planes: Sequence[Codes], fmt: VideoFormat, pixel_format: str, captions: bytes = b""
) -> av.VideoFrame:
    """A frame for an encoder that holds copies of `planes` and says what colour they are; `pixel_format`
    is of WRITTEN. R, G, B come in the order G, B, R, as FFmpeg keeps them. It carries `captions`."""
    size = (fmt.width, fmt.height, pixel_format)
    frame = captioned_frame(*size, captions) if captions else av.VideoFrame(*size)
    frame.colorspace, frame.color_primaries = fmt.color.matrix, fmt.color.primaries
    frame.color_trc, frame.color_range = fmt.color.transfer, 2 if fmt.color.full_range else 1
    if pixel_format in ("bgr0", "rgb24"):
        order = (1, 0, 2) if pixel_format == "bgr0" else (2, 0, 1)
        step = 4 if pixel_format == "bgr0" else 3
        rows = _rows(frame.planes[0], 8)[: fmt.height]
        for place, number in enumerate(order):
            rows[:, place : step * fmt.width : step] = planes[number]
        if step == 4:
            rows[:, 3 : step * fmt.width : step] = 0
        return frame
    if pixel_format in _PACKED_420:
        shift = 16 - fmt.depth
        luma, chroma = (_rows(plane, fmt.depth) for plane in frame.planes)
        luma[: fmt.height, : fmt.width] = planes[0] << shift
        height, width = planes[1].shape
        chroma[:height, 0 : 2 * width : 2] = planes[1] << shift
        chroma[:height, 1 : 2 * width : 2] = planes[2] << shift
        return frame
    for plane, codes in zip(frame.planes, planes, strict=True):
        height, width = codes.shape
        _rows(plane, fmt.depth)[:height, :width] = codes
    return frame
