"""What a decoded frame carries along beside its samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import av
from av.sidedata.sidedata import SideData, Type

CAPTIONS = "closed captions (EIA-608, 708)"
AFD = "active format description (AFD)"
S12M = "time code of every frame (SMPTE 12M)"

HDR_CHANGE = "HDR metadata that begins or changes midway"

DYNAMIC_HDR = {
    Type.DYNAMIC_HDR_PLUS: "HDR10+",
    Type.DOVI_RPU_BUFFER: "Dolby Vision",
    Type.DOVI_METADATA: "Dolby Vision",
    Type.DYNAMIC_HDR_VIVID: "HDR Vivid",
}
"""Metadata that changes from frame to frame, by its kind of side data."""

_NAMES = {Type.A53_CC: CAPTIONS, Type.AFD: AFD, Type.S12M_TIMECODE: S12M, **DYNAMIC_HDR}


def side_data_of(frame: av.VideoFrame) -> list[SideData]:
    """What a decoded frame carries along; nothing where PyAV does not know a kind of it (18.1 raises at Exif)."""
    try:
        return list(cast(Iterable[SideData], frame.side_data))
    except ValueError:
        return []


def travelling(frame: av.VideoFrame) -> set[str]:
    """What of it a viewer may miss in an output, for people."""
    return {_NAMES[data.type] for data in side_data_of(frame) if data.type in _NAMES}
