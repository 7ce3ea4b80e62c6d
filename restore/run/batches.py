"""How many frames a run has in work at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from restore.video import VideoFormat

MOST = 16
"""Of a batch, at most."""

_SHARE = 0.25
"""Of a GPU's memory that planes may take: the rest is for what networks make on the way, and for other programs."""

_SETS = 4
"""Of a stage's planes that there may be at a time: one batch held back, one in work, and what the work is done with."""


def batch_frames(device: torch.device, threads: int, formats: Sequence[VideoFormat]) -> int:
    """Of a batch. `formats`: of the source and after each stage. On a CPU networks run a frame per thread, and no bit depends on how many
    frames come together. On a GPU last bits may, so it is as many as the card is made for, not as many as other programs left room for."""
    if device.type == "cpu":
        return min(threads, MOST)
    room = _SHARE * torch.cuda.get_device_properties(device).total_memory
    each = _SETS * sum(4 * height * width for f in formats for height, width in f.plane_shapes())
    return max(1, min(MOST, int(room // each)))
