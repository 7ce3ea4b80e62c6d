"""HDR metadata: read from frames, handed to the encoders that carry it."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
from av.sidedata.sidedata import Type

from restore.color import HdrMetadata, MasteringDisplay
from restore.io.side_data import DYNAMIC_HDR, side_data_of

CARRIERS = ("libx265", "libx264", "libsvtav1")
"""Encoders that write static metadata into the bitstream."""


def hdr_of(frame: av.VideoFrame) -> HdrMetadata | None:
    """What a decoded frame carries; None where there is nothing."""
    mastering, light, dynamic = None, None, dict[str, None]()
    for data in side_data_of(frame):
        if data.type is Type.MASTERING_DISPLAY_METADATA:
            mastering = _mastering(bytes(data))
        elif data.type is Type.CONTENT_LIGHT_LEVEL:
            light = struct.unpack_from("=II", bytes(data))
        elif data.type in DYNAMIC_HDR:
            dynamic[DYNAMIC_HDR[data.type]] = None
    if mastering is None and light is None and not dynamic:
        return None
    return HdrMetadata(mastering, light, tuple(dynamic))


def _mastering(data: bytes) -> MasteringDisplay | None:
    """AVMasteringDisplayMetadata: ten AVRational, then whether primaries and luminance are set."""
    numbers = struct.unpack_from("=20i2i", data)
    if not (numbers[20] and numbers[21]):
        return None
    rationals = [Fraction(n, d or 1) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    red, green, blue, white = ((rationals[k], rationals[k + 1]) for k in (0, 2, 4, 6))
    return MasteringDisplay((red, green, blue), white, (rationals[8], rationals[9]))


def hdr_names(hdr: HdrMetadata) -> list[str]:
    """For people."""
    names = []
    if hdr.mastering is not None:
        names.append(f"mastering display up to {float(hdr.mastering.luminance[1]):g} cd/m2")
    if hdr.light is not None:
        names.append(f"content light level {hdr.light[0]}, {hdr.light[1]}")
    return [*names, *hdr.dynamic]


def lost_hdr(codec: str, hdr: HdrMetadata | None) -> list[str]:
    """What of `hdr` an encoder cannot carry, for people. Dynamic metadata describes the frames it was made for
    and would be wrong about restored ones."""
    if hdr is None:
        return []
    return list(hdr.dynamic) if codec in CARRIERS else hdr_names(hdr)


def hdr_options(codec: str, hdr: HdrMetadata | None) -> dict[str, str]:
    """Options, by name, that make an encoder of CARRIERS write `hdr` (to be joined to others by colons)."""
    if hdr is None or codec not in CARRIERS:
        return {}
    display, light, option = {
        "libx265": ("master-display", "max-cll", "x265-params"),
        "libx264": ("mastering-display", "cll", "x264-params"),
        "libsvtav1": ("mastering-display", "content-light", "svtav1-params"),
    }[codec]
    params = []
    if hdr.mastering is not None:
        params.append(f"{display}={_display(hdr.mastering, plain=codec == 'libsvtav1')}")
    if hdr.light is not None:
        params.append(f"{light}={hdr.light[0]},{hdr.light[1]}")
    return {option: ":".join(params)} if params else {}


def _display(display: MasteringDisplay, plain: bool) -> str:
    """x264 and x265 count in 0.00002 and 0.0001 cd/m2 (H.265 D.3.28); SVT-AV1 takes plain numbers."""

    def number(value: Fraction, unit: int) -> str:
        return f"{float(value):.6f}" if plain else str(round(value * unit))

    red, green, blue = display.primaries
    points = zip(["G", "B", "R", "WP"], (green, blue, red, display.white), strict=True)
    text = "".join(f"{n}({number(x, 50000)},{number(y, 50000)})" for n, (x, y) in points)
    least, greatest = display.luminance
    return f"{text}L({number(greatest, 10000)},{number(least, 10000)})"
