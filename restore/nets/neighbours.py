"""The frames beside one, moved onto it, as input planes (condition `neighbours`).

Per neighbour two planes: how much it is to count (restore.neighbours, twice as tolerant as `align` alone: what is not there
cannot be used, what should not be there the network can leave), and, times that, what it shows less what this frame
shows. So a network can do what `align` does in one step, and learn to do better (VSRnet, Kappeler et al. 2016, is given moved
frames without weights). Differences ungated were tried: around things that move fast the network took them for detail.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restore.neighbours import Surroundings
from restore.nets.architectures import NEIGHBOUR_PLACES
from restore.video import FrameBatch

UNIT = 0.05
"""Difference of nominal luma that counts as 1."""

REACH = max(abs(place) for place in NEIGHBOUR_PLACES)
"""Frames looked at on each side."""

STRENGTH = 2.0
"""Multiplier of the difference that two frames may show."""


class Neighbours:
    """Makes the planes of one frame after the other."""

    def __init__(self) -> None:
        self._around = Surroundings(REACH, STRENGTH)

    def reset(self) -> None:
        """Forget: what comes is another scene or film."""
        self._around.reset()

    def __call__(self, clip: FrameBatch, target: int, out: Tensor | None = None) -> Tensor:
        """(2 * len(NEIGHBOUR_PLACES), h, w) float32 of frame number `target` of the clip, which has REACH frames on each
        side, written into `out`: the differences of all, in UNIT, then the weights of all. 0 where there is no such frame in the scene, no motion,
        or the picture has another size than it was decoded with. What is moved, and weighed, is luma as decoded."""
        here = clip.planes[0][target : target + 1].float()
        decoded = clip.original()[0][0]
        count = len(NEIGHBOUR_PLACES)
        found = here.new_empty(2 * count, *here.shape[-2:]) if out is None else out
        missing = set(range(count))
        if clip.motion is None or decoded.shape != clip.planes[0].shape:
            return found.zero_()
        for other in self._around(clip, target, clip.motion, decoded):
            place = NEIGHBOUR_PLACES.index(other.place)
            torch.sub(other.moved[0, 0], here[0, 0], out=found[place])
            found[place].mul_(other.weight[0, 0]).div_(UNIT)
            found[count + place] = other.weight[0, 0]
            missing.remove(place)
        for place in missing:
            found[place].zero_()
            found[count + place].zero_()
        return found


def nearer(planes: Tensor, change: Tensor) -> Tensor:
    """(..., 2 * n, h, w) planes made for luma as it was decoded, and (..., 1, h, w) what was taken from it since, in UNIT ->
    the planes for the luma that was left: every difference has grown by that."""
    differences, weights = planes.chunk(2, -3)
    return torch.cat([differences + weights * change, weights], -3)
