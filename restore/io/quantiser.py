"""The quantiser a frame was coded with, as a step size that means the same for every codec."""

from __future__ import annotations

import av

from restore.video import QuantMap


def quant_map(codec: str, frame: av.VideoFrame) -> QuantMap | None:
    """Step sizes of a frame as decoded (before any filter); None where the codec exports none."""
    return None
