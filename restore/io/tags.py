"""Colour tags: FFmpeg's names and numbers for restore.color's, and what a codec implies."""

from __future__ import annotations

import io
import re

import av
from av.stream import Stream

from restore.color import ColorInfo, Matrix, Primaries, Siting, Transfer

MATRIX = {
    "bt709": Matrix.BT709,
    "fcc": Matrix.FCC,
    "bt470bg": Matrix.BT470BG,
    "smpte170m": Matrix.SMPTE170M,
    "smpte240m": Matrix.SMPTE240M,
    "ycgco": Matrix.YCGCO,
    "bt2020nc": Matrix.BT2020_NCL,
    "bt2020c": Matrix.BT2020_CL,
}
PRIMARIES = {
    "bt709": Primaries.BT709,
    "bt470m": Primaries.BT470M,
    "bt470bg": Primaries.BT470BG,
    "smpte170m": Primaries.SMPTE170M,
    "smpte240m": Primaries.SMPTE240M,
    "film": Primaries.FILM,
    "bt2020": Primaries.BT2020,
    "smpte428": Primaries.SMPTE428,
    "smpte431": Primaries.SMPTE431,
    "smpte432": Primaries.SMPTE432,
    "ebu3213": Primaries.EBU3213,
}
TRANSFER = {
    "bt709": Transfer.BT709,
    "gamma22": Transfer.GAMMA22,
    "gamma28": Transfer.GAMMA28,
    "smpte170m": Transfer.SMPTE170M,
    "smpte240m": Transfer.SMPTE240M,
    "linear": Transfer.LINEAR,
    "log100": Transfer.LOG,
    "log316": Transfer.LOG_SQRT,
    "iec61966-2-4": Transfer.IEC61966_2_4,
    "bt1361e": Transfer.BT1361,
    "srgb": Transfer.SRGB,
    "bt2020-10": Transfer.BT2020_10,
    "bt2020-12": Transfer.BT2020_12,
    "pq": Transfer.PQ,
    "smpte428": Transfer.SMPTE428,
    "hlg": Transfer.HLG,
}
SITING = {
    "left": Siting.LEFT,
    "center": Siting.CENTER,
    "topleft": Siting.TOP_LEFT,
    "top": Siting.TOP,
    "bottomleft": Siting.BOTTOM_LEFT,
    "bottom": Siting.BOTTOM,
}

_JPEG = {"mjpeg", "mjpegb", "ljpeg"}
_H263 = {"h261", "h263", "h263p", "h263i", "flv1", "rv10", "rv20", "svq1"}
_CENTERED = {"mpeg1video", "theora", "vp3"} | _JPEG | _H263
"""MPEG-1, JPEG, H.261 and H.263 put chroma midway; RealVideo 1 and 2 and Sorenson Spark are H.263.
FFmpeg leaves those three unspecified."""


def codec_siting(codec: str) -> Siting:
    """Where `codec` (FFmpeg's name) puts chroma when nothing in the file says."""
    if codec in _CENTERED:
        return Siting.CENTER
    return Siting.TOP_LEFT if codec == "dvvideo" else Siting.LEFT


def frame_color(frame: av.VideoFrame, full_range: bool, siting: Siting | None) -> ColorInfo:
    """What a decoded frame says of itself; numbers H.273 does not know are unspecified.
    `full_range`: the pixel format says so."""
    matrix = frame.colorspace if frame.colorspace in set(Matrix) else Matrix.UNSPECIFIED
    primaries = (
        frame.color_primaries if frame.color_primaries in set(Primaries) else Primaries.UNSPECIFIED
    )
    transfer = frame.color_trc if frame.color_trc in set(Transfer) else Transfer.UNSPECIFIED
    # AVColorRange: 0 unspecified, 1 limited (MPEG), 2 full (JPEG).
    stated = {1: False, 2: True}.get(int(frame.color_range), True if full_range else None)
    return ColorInfo(Matrix(matrix), Primaries(primaries), Transfer(transfer), stated, siting)


_HALVES = {1: 0.0, 2: 0.5}


def stated_siting(stream: Stream) -> Siting | None:
    """Chroma siting as the decoder or the container states it; None where they do not.

    PyAV does not expose it, but FFmpeg's Matroska muxer writes it into its header (elements 0x55B7,
    horizontal, and 0x55B8, vertical), which is made in memory here."""
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="matroska") as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
    except (av.FFmpegError, ValueError):  # this codec does not go into Matroska
        return None
    found = re.search(rb"\x55\xb7\x81(.)\x55\xb8\x81(.)", header.getvalue(), re.DOTALL)
    if found is None:
        return None
    across, down = (_HALVES.get(group[0]) for group in found.groups())
    return next((s for s in Siting if s.value == (down, across)), None)


def name_of(
    table: dict[str, Matrix] | dict[str, Primaries] | dict[str, Transfer], value: int
) -> str:
    """The name a pipeline file would use."""
    return next((name for name, found in table.items() if found == value), str(value))


def siting_name(siting: Siting | None) -> str:
    return next((name for name, found in SITING.items() if found is siting), "unspecified")
