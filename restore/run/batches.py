"""How many frames a run has in work at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from restore.video import VideoFormat

MOST = 16
"""Of a batch, at most."""

_SHARE = 0.5
"""Of a GPU's free memory that planes may take: the rest is for what networks make on the way."""

_SETS = 4
"""Of a stage's planes that there may be at a time: one batch held back, one in work, and what the work is done with."""


def batch_frames(device: torch.device, threads: int, formats: Sequence[VideoFormat]) -> int:
    """Of a batch. `formats`: of the source and after each stage. On a CPU networks run a frame per thread: more at a time are no faster,
    and every stage holds one or two batches. On a GPU as many as its free memory is sure to hold."""
    if device.type == "cpu":
        return min(threads, MOST)
    free, _ = torch.cuda.mem_get_info(device)
    each = _SETS * sum(4 * height * width for f in formats for height, width in f.plane_shapes())
    return max(1, min(MOST, int(_SHARE * free) // each))
