"""What a decoded frame carries along beside its samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import av
from av.sidedata.sidedata import SideData


def side_data_of(frame: av.VideoFrame) -> list[SideData]:
    """What a decoded frame carries along; nothing where PyAV does not know a kind of it (18.1 raises at Exif)."""
    try:
        return list(cast(Iterable[SideData], frame.side_data))
    except ValueError:
        return []
