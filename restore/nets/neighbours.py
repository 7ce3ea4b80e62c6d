"""The frames beside one, moved onto it, as input planes (condition `neighbours`).

Per neighbour two planes: how far it may be believed, from the way there and back and from the quantisers (a frame coded
finer counts for more), and, times that, what it shows less what this frame shows. Networks that learn to fuse what
they are given so (Kappeler et al. 2016, VSRnet, without weights of trust) need no rule for when frames agree: large
differences at a small quantiser are something else, small ones are what the codec lost.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restore.motion import trust
from restore.neighbours import neighbours, preference
from restore.nets.architectures import NEIGHBOUR_PLACES
from restore.video import FrameBatch
from restore.warping import refine, warp_refined

UNIT = 0.05
"""Difference of nominal luma that counts as 1."""

REACH = max(abs(place) for place in NEIGHBOUR_PLACES)
"""Frames looked at on each side."""


class Neighbours:
    """Makes the planes of one frame after the other; decoded luma is kept, refined, for as long as a frame may want it."""

    def __init__(self) -> None:
        self._fine: dict[int, Tensor] = {}
        """By FrameInfo.index."""

    def reset(self) -> None:
        """Forget: what comes is another scene or film."""
        self._fine.clear()

    def __call__(self, clip: FrameBatch, target: int) -> Tensor:
        """(2 * len(NEIGHBOUR_PLACES), h, w) float32 of frame number `target` of the clip, which has REACH frames on each
        side: the differences of all, in UNIT, then the trust in all. 0 where there is no such frame in the scene, no motion,
        or the picture has another size than it was decoded with."""
        here = clip.planes[0][target : target + 1].float()
        decoded = clip.original()[0][0]
        count = len(NEIGHBOUR_PLACES)
        found = here.new_zeros(2 * count, *here.shape[-2:])
        if clip.motion is None or decoded.shape != clip.planes[0].shape:
            return found
        frames, quant = clip.frames, clip.quant or (None,) * len(clip)
        first = frames[target - REACH].index
        for key in [key for key in self._fine if key < first]:
            del self._fine[key]
        size = (here.shape[-2], here.shape[-1])
        index = frames[target].index
        for k in neighbours([frame.index for frame in frames], target, REACH):
            other = frames[k].index
            if other not in self._fine:
                self._fine[other] = refine(decoded[k : k + 1].float())
            moved = warp_refined(self._fine[other], clip.motion.flow(index, other, size))
            believed = trust(clip.motion.doubt(index, other, size))
            believed = believed * preference(quant[target], quant[k])
            place = NEIGHBOUR_PLACES.index(k - target)
            found[place] = (believed * (moved - here) / UNIT)[0, 0]
            found[count + place] = believed[0, 0]
        return found


def nearer(planes: Tensor, change: Tensor) -> Tensor:
    """(..., 2 * n, h, w) planes made for luma as it was decoded, and (..., 1, h, w) what was taken from it since, in UNIT ->
    the planes for the luma that was left: every difference has grown by that."""
    differences, believed = planes.chunk(2, -3)
    return torch.cat([differences + believed * change, believed], -3)
