"""How steady a film is: warping error, error of its motion, flicker.

All take (T, 1, H, W) luma in 8-bit limited-range codes, and the truth beside it, whose motion (dense inverse search) is
what neighbours are compared along. Less is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.warping import warp

ALPHA = 50.0
"""How fast a place that cannot be followed loses its weight (Lai et al. 2018)."""


@dataclass(frozen=True)
class Steadiness:
    warping_error: float
    """Ewarp (Lai et al. 2018): mean squared difference, in nominal units, between a frame and the one before it moved
    along the truth's motion, where the truth itself can be followed. A truth with noise has one of its own."""
    motion_error: float
    """tOF (Chu et al. 2020): mean distance in samples (sum over x and y) between the motion in what was found and
    in the truth."""
    flicker: float
    """Deviation over time, in codes, of a frame's mean error in brightness: 0 where all frames are off alike."""


def steadiness(found: Tensor, truth: Tensor, border: int = 0) -> Steadiness:
    """Of at least two frames, of one scene. ValueError for fewer, or unequal shapes."""
    if found.shape != truth.shape:
        raise ValueError(f"planes have shapes {tuple(found.shape)} and {tuple(truth.shape)}")
    if len(truth) < 2:
        raise ValueError(f"expected two frames or more, got {len(truth)}")
    height, width = truth.shape[-2:]
    inner = (..., slice(border, height - border), slice(border, width - border))
    warping, motion = [], []
    for now in range(1, len(truth)):
        flow = _flow(truth[now], truth[now - 1])
        other = _flow(found[now], found[now - 1])
        motion.append(float((other - flow).abs().sum(1)[inner].mean()))
        visible = torch.exp(-ALPHA * _difference(truth, now, flow)[inner])
        error = _difference(found, now, flow)[inner]
        warping.append(float((visible * error).sum() / visible.sum()))
    means = (found[inner].double() - truth[inner].double()).mean((1, 2, 3))
    return Steadiness(
        sum(warping) / len(warping), sum(motion) / len(motion), float(means.std(correction=0))
    )


def _difference(film: Tensor, now: int, flow: Tensor) -> Tensor:
    """(1, 1, H, W): squared, nominal units, of frame `now` and the one before, moved along `flow`."""
    before, after = ((film[n : n + 1].float() - 16) / 219 for n in (now - 1, now))
    return (after - warp(before, flow, "bilinear")) ** 2


def _flow(target: Tensor, reference: Tensor) -> Tensor:
    """(1, H, W) codes each -> (1, 2, H, W): where each sample of `target` lies in `reference`."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    planes: list[NDArray[np.uint8]] = [p[0].to(torch.uint8).numpy() for p in (target, reference)]
    field = np.asarray(dis.calc(planes[0], planes[1], None), np.float32)  # type: ignore[call-overload]
    return torch.from_numpy(field).permute(2, 0, 1)[None].contiguous()
