"""Which moments of a film to look at: one per scene, spread by how much there is to see."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import cv2
import numpy as np

from restore.video import FrameBatch

STRIDE = 12
"""Frames between two that are looked at: two a second of film."""
BLACK = 0.1
"""Share of the fullest frame's information below which a frame shows nothing worth a look."""
_SIDE = 160
"""Columns, about, of the small pictures that are measured."""


@dataclass
class Sampled:
    """Frames that were looked at on the way."""

    frames: list[int] = field(default_factory=list)
    """Rising."""
    information: list[float] = field(default_factory=list)
    """Of each, bits per sample: see `information`."""

    def watch(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """The batches as they are; every STRIDE-th frame that is whole is measured."""
        for batch in batches:
            for n, info in enumerate(batch.frames):
                if info.index % STRIDE == 0 and not info.damaged:
                    codes = batch.planes[0][n, 0].numpy()
                    shift = max(0, batch.format.depth - 8)
                    self.frames.append(info.index)
                    self.information.append(information((codes >> shift).astype(np.uint8)))
            yield batch


def information(luma: np.ndarray) -> float:
    """(H, W) 8-bit codes -> entropy in bits of the step from one sample to the next, of the picture made small: nothing for
    black, little for fog, much for a crowd, and noise counts little because making it small averages it away."""
    factor = max(1, luma.shape[1] // _SIDE)
    small = cv2.resize(
        luma,
        (max(2, luma.shape[1] // factor), max(2, luma.shape[0] // factor)),
        interpolation=cv2.INTER_AREA,
    ).astype(np.int16)
    steps = np.concatenate([np.diff(small, axis=0).ravel(), np.diff(small, axis=1).ravel()])
    share = np.bincount(steps + 255, minlength=511) / steps.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def choose(sampled: Sampled, cuts: Sequence[int], count: int) -> list[int]:
    """At most `count` of the sampled frames, rising. They lie at equal shares of the information that has passed, so
    that lively parts get more of them; of each scene one is taken, and more only where there are fewer scenes than
    wanted. `cuts`: frames that start a scene, the first included."""
    if not sampled.frames:
        return []
    least = BLACK * max(sampled.information)
    seen = [n for n, weight in enumerate(sampled.information) if weight >= least]
    frames = [sampled.frames[n] for n in seen]
    weights = [sampled.information[n] for n in seen]
    passed = list(accumulate(w + 1e-6 for w in weights))
    scenes = [bisect_right(cuts, f) - 1 for f in frames]
    chosen: set[int] = set()
    taken: set[int] = set()
    for number in range(min(count, len(frames))):
        wanted = (number + 0.5) / count * passed[-1]
        free = [n for n in range(len(frames)) if n not in chosen]
        fresh = [n for n in free if scenes[n] not in taken]
        # In the scene that lies there, or the nearest that was not seen yet, the frame that shows most.
        nearest = min(fresh or free, key=lambda n: abs(passed[n] - weights[n] / 2 - wanted))
        same = [n for n in fresh if scenes[n] == scenes[nearest]] or [nearest]
        best = max(same, key=lambda n: weights[n]) if len(set(scenes)) >= count else nearest
        chosen.add(best)
        taken.add(scenes[best])
    return sorted(frames[n] for n in chosen)
