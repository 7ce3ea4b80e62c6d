"""Pixel formats: which planes FFmpeg's names stand for, and planes in and out of its frames."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
import numpy.typing as npt
from av.video.format import VideoFormat as AvFormat
from av.video.plane import VideoPlane

from restore.color import Matrix
from restore.video import Chroma, VideoFormat

Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
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
NATIVE: dict[str, tuple[Chroma | None, int]] = {
    **{name: (chroma, 8) for name, chroma in _CHROMA.items()},
    **{
        f"{name}{depth}le": (_CHROMA[name], depth)
        for name in ("yuv420p", "yuv422p", "yuv444p", "yuv440p", "gray")
        for depth in (10, 12)
    },
}
"""Formats whose planes are taken as they are: chroma and depth by FFmpeg's name."""


def readable_as(pixel_format: str) -> str:
    """The format of NATIVE in which frames of `pixel_format` are read. Planes are taken as they are
    where that loses nothing but transparency; anything else libswscale converts."""
    name = _plain(pixel_format)
    if name in NATIVE:
        return name
    described = AvFormat(pixel_format)
    bits = max(c.bits for c in described.components)
    depth = "" if bits <= 8 else "10le" if bits <= 10 else "12le"
    if is_rgb(pixel_format):
        return f"yuv444p{depth}"
    if len(described.components) < 3:
        return f"gray{depth}"
    # Asked of a size that every subsampling divides.
    grid = (16 // described.chroma_height(16), 16 // described.chroma_width(16))
    for base, chroma in _CHROMA.items():
        if chroma is not None and grid == (1 << chroma.value[0], 1 << chroma.value[1]):
            return f"{base}{depth}" if f"{base}{depth}" in NATIVE else f"yuv444p{depth}"
    return f"yuv444p{depth}"


def is_rgb(pixel_format: str) -> bool:
    """RGB, XYZ or palette: a matrix must be chosen to make Y, Cb, Cr of it."""
    described = AvFormat(pixel_format)
    return described.is_rgb or described.has_palette or pixel_format.startswith("xyz")


def is_full_range(pixel_format: str) -> bool:
    """The name itself says full range (JPEG)."""
    return pixel_format.startswith("yuvj")


def pixel_format_of(fmt: VideoFormat) -> str | None:
    """FFmpeg's name of planes in `fmt`; None where it has none."""
    for name, found in NATIVE.items():
        if found == (fmt.chroma, fmt.depth):
            return name
    return None


def to_planes(frame: av.VideoFrame, fmt: VideoFormat, read_as: str) -> list[Codes]:
    """Views of the codes of a decoded frame, in the shapes of `fmt`; valid while `frame` lives."""
    if _plain(frame.format.name) != read_as:
        frame = _converted(frame, fmt, read_as)
    shapes = fmt.plane_shapes()
    return [
        _rows(plane, fmt.depth)[:height, :width]
        for plane, (height, width) in zip(frame.planes, shapes, strict=False)
    ]


def _rows(plane: VideoPlane, depth: int) -> Codes:
    """All that FFmpeg allocated for a plane, padding at the right and below included."""
    dtype: type[np.uint8] | type[np.uint16] = np.uint8 if depth == 8 else np.uint16
    flat: Codes = np.frombuffer(plane, dtype)  # type: ignore[call-overload]
    stride = plane.line_size // flat.itemsize
    return flat[: flat.size // stride * stride].reshape(-1, stride)


def _plain(pixel_format: str) -> str:
    """The name without what does not change the planes: range and transparency."""
    return pixel_format.replace("yuvj", "yuv").replace("yuva", "yuv")


def _converted(frame: av.VideoFrame, fmt: VideoFormat, read_as: str) -> av.VideoFrame:
    matrix = "ITU709" if fmt.color.matrix is Matrix.BT709 else "ITU601"
    return frame.reformat(
        format=read_as,
        dst_colorspace=matrix,
        dst_color_range="JPEG" if fmt.color.full_range else "MPEG",
        interpolation="BICUBIC",
    )


def from_planes(planes: Sequence[Codes], fmt: VideoFormat, pixel_format: str) -> av.VideoFrame:
    """A frame for an encoder that holds copies of `planes`; `pixel_format` is of NATIVE."""
    frame = av.VideoFrame(fmt.width, fmt.height, pixel_format)
    for plane, codes in zip(frame.planes, planes, strict=True):
        height, width = codes.shape
        _rows(plane, fmt.depth)[:height, :width] = codes
    return frame
