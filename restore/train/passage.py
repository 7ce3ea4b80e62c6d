"""Motion between the frames of packed sequences, found while they are packed, so that training costs no search.

A shard whose samples have the truth of all C frames holds, of each frame but the first (N samples, crop h x w):
  flow    (N, C - 1, 2, h, w)   float16   where it shows what it shows in the frame before it, in samples, x then y
  trust   (N, C - 1, h, w)      uint8     confidence in that, 255 = 1; 0 everywhere where a scene begins
as the motion service of `restore run` finds them on whole frames (restore.motion).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.flow import Estimator, Field, doubt
from restore.motion import MotionOptions, trust
from restore.scenes import CutMarker, SceneOptions
from restore.train.codecs import Codes


@dataclass(frozen=True)
class Passages:
    """From each frame of a sample to the one before it, of one shard."""

    flow: Tensor
    """(N, C - 1, 2, h, w) float16."""
    trust: Tensor
    """(N, C - 1, h, w) uint8."""

    def planes(self, index: int, step: int, window: tuple[slice, slice]) -> Tensor:
        """(3, p, p) float32 of sample `index`, from frame `step` + 1 to frame `step`: flow, and trust 0..1, which is 0
        where the way leaves the `window` (rows, columns) that the patch is cut from."""
        flow = self.flow[index, step, :, window[0], window[1]].float()
        known = self.trust[index, step, window[0], window[1]].float() / 255
        height, width = known.shape
        across = torch.arange(width, dtype=torch.float32) + flow[0]
        down = torch.arange(height, dtype=torch.float32)[:, None] + flow[1]
        inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
        return torch.cat([flow, (known * inside)[None]])


def find_passages(
    decoded: Codes, samples: Sequence[dict[str, Any]], crop: int, context: int
) -> list[dict[str, NDArray[Any]]]:
    """Flow and trust of each sample, cut from those of the whole frames of `decoded` (T, H, W)."""
    estimate = Estimator(MotionOptions().preset)
    marker = CutMarker(SceneOptions())
    cuts = {cut for frame in decoded for cut in marker.feed(frame)} | set(marker.finish())
    found: dict[int, tuple[Field, NDArray[np.uint8]]] = {}

    def passage(t: int) -> tuple[Field, NDArray[np.uint8]]:
        if t not in found:
            shape = decoded.shape[1:]
            if t in cuts:
                found[t] = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.uint8)
            else:
                forth = estimate(decoded[t], decoded[t - 1])
                missed = torch.from_numpy(doubt(forth, estimate(decoded[t - 1], decoded[t])))
                found[t] = forth, (trust(missed) * 255).round().to(torch.uint8).numpy()
        return found[t]

    made: list[dict[str, NDArray[Any]]] = []
    for sample in samples:
        first, y, x = sample["frame"] - context // 2, sample["y"], sample["x"]
        place = slice(y, y + crop), slice(x, x + crop)
        parts = [passage(t) for t in range(first + 1, first + context)]
        # Contiguous, or safetensors would write its memory as it lies.
        flow = np.stack([np.ascontiguousarray(f[place].transpose(2, 0, 1)) for f, _ in parts])
        made.append(
            {
                "flow": flow.astype(np.float16),
                "trust": np.stack([known[place] for _, known in parts]),
            }
        )
    return made


def read_passages(tensors: dict[str, Tensor]) -> Passages:
    """Those of a shard's tensors; KeyError where one is missing."""
    return Passages(tensors["flow"], tensors["trust"])
