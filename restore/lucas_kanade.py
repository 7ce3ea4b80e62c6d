"""Motion between two pictures by dense Lucas-Kanade, in PyTorch, on the device that has them.

From coarse to fine, every sample solves for the displacement that explains its neighbourhood best (Lucas and Kanade 1981;
Bouguet 2001), here in a Gaussian window around every sample at once, so that each step is a few blurs of whole pictures. A
window's mean brightness counts nothing, as in dense inverse search. Where a neighbourhood says little its neighbours'
answer is taken, by a blur weighted with what each knows; where motion changes, a neighbour's answer is taken as it is if
it explains the place better. What moves further than it is wide is looked for as in restore.flow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.flow import BETTER, FLOOR, SHARE, far_peaks, reduction
from restore.planes import gaussian_blur
from restore.warping import warp

SMALLEST = 16
"""Samples a side below which pictures are not halved again."""
_STEPS, _FIRST_STEPS = 2, 4
"""Steps on each size, and on the smallest."""
_SOFTEN = 0.6
"""Deviation of the Gaussian, in samples, before a picture is halved."""
_WINDOW = 3.0
"""Deviation of the window, in samples."""
_SMOOTH = 3.0
"""Deviation of the blur that spreads answers."""
_EMPTY = 2.0
"""What a window is taken to know without texture: squared codes for each sample."""
_NOISE = 8.0
"""A difference in squared codes that says nothing against an answer."""
_LONGEST = 1.5
"""Samples that one step may lead."""
_REACH = 4
"""Samples from which a neighbour's answer is tried."""
_AROUND = 1.5
"""Deviation of the neighbourhood that answers are compared in."""
_LESS, _LESS_BY = 0.85, 1.0
"""A neighbour's answer must leave this share of the squared error, and less by so much, in squared codes."""
_LIGHT = 6.0
"""Deviation of the neighbourhood whose mean brightness counts nothing while answers are compared."""
_FINER = 3
"""Sizes that a known start is refined on."""


def estimate(target: Tensor, reference: Tensor) -> Tensor:
    """(N, 1, H, W) float32 luma in 8-bit codes -> (N, 2, H, W): where each sample of `target` lies in `reference`,
    relative to its own place, in samples, x then y. What is found for a pair does not depend on the others."""
    flow = _searched(target, reference, None)
    ratio = reduction(target.shape[-1])
    if min(target.shape[-2:]) // ratio >= SMALLEST:
        small = [F.avg_pool2d(p, ratio)[:, 0].cpu().numpy() for p in (target, reference)]
        for n in range(len(flow)):
            one = slice(n, n + 1)
            for shift in far_peaks(small[0][n], small[1][n], ratio):
                flow[one] = _shifted(target[one], reference[one], flow[one], shift)
    # What stands still before a moving scene is smoothed along with it.
    lit = _lit(target, reference, flow)
    return _better(lit, reference, flow, [torch.zeros_like(flow)], BETTER, FLOOR)


def _searched(target: Tensor, reference: Tensor, start: Tensor | None) -> Tensor:
    """From coarse to fine; from `start` only over the finer sizes."""
    sizes = list(zip(_pyramid(target), _pyramid(reference), strict=True))
    if start is not None:
        sizes = sizes[:_FINER]
    coarse = sizes[-1][0]
    shape = (len(coarse), 2, *coarse.shape[-2:])
    if start is None:
        flow = coarse.new_zeros(shape)
    else:
        flow = (start / 2 ** (len(sizes) - 1)).expand(shape)
    for level, (now, other) in enumerate(reversed(sizes)):
        if level:
            flow = _up(flow, now)
        for _ in range(_STEPS if level else _FIRST_STEPS):
            flow = _step(now, other, flow)
        beside = [_from(flow, right, down) for right, down in _BESIDE]
        flow = _better(_lit(now, other, flow), other, flow, beside, _LESS, _LESS_BY)
    return flow


def _shifted(target: Tensor, reference: Tensor, flow: Tensor, shift: tuple[float, float]) -> Tensor:
    """`flow` of one pair, and what is found from a start at `shift` where that explains the picture better."""
    start = flow.new_tensor(shift).view(1, 2, 1, 1)
    wrong = _error(target, reference, flow)
    right = _error(target, reference, start.expand_as(flow)) < BETTER * wrong - FLOOR
    if float(right.float().mean()) < SHARE:
        return flow
    other = _searched(target, reference, start)
    return _better(target, reference, flow, [other], BETTER, FLOOR)


_BESIDE = ((_REACH, 0), (-_REACH, 0), (0, _REACH), (0, -_REACH))


def _pyramid(picture: Tensor) -> list[Tensor]:
    """The picture and its halves: sample i of one lies between 2 i and 2 i + 1 of the one before."""
    sizes = [picture]
    while min(sizes[-1].shape[-2:]) >= 2 * SMALLEST:
        height, width = sizes[-1].shape[-2:]
        even = F.pad(gaussian_blur(sizes[-1], _SOFTEN), (0, width % 2, 0, height % 2), "replicate")
        sizes.append(F.avg_pool2d(even, 2))
    return sizes


def _up(flow: Tensor, finer: Tensor) -> Tensor:
    doubled = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False)
    return doubled[..., : finer.shape[-2], : finer.shape[-1]]


def _step(target: Tensor, reference: Tensor, flow: Tensor) -> Tensor:
    """One Gauss-Newton step of every window, and what is known spread to where nothing is."""
    moved = warp(reference, flow, "bilinear")
    # Gradients half-way between the two pictures: exact to the second order.
    x, y = _gradients((target + moved) / 2)
    missed = moved - target
    parts = (x * x, x * y, y * y, x * missed, y * missed, missed * missed, x, y, missed)
    xx, xy, yy, xm, ym, mm, mean_x, mean_y, mean = gaussian_blur(torch.cat(parts), _WINDOW).chunk(9)
    xx, xy, yy = xx - mean_x**2 + _EMPTY, xy - mean_x * mean_y, yy - mean_y**2 + _EMPTY
    xm, ym, mm = xm - mean_x * mean, ym - mean_y * mean, mm - mean**2
    determinant = xx * yy - xy * xy
    step = torch.cat(((xy * ym - yy * xm) / determinant, (xy * xm - xx * ym) / determinant), 1)
    flow = flow + step.clamp(-_LONGEST, _LONGEST)
    known = (xx + yy) / (mm + _NOISE)
    spread = gaussian_blur(torch.cat((flow * known, known), 1), _SMOOTH)
    return spread[:, :2] / spread[:, 2:]


def _gradients(picture: Tensor) -> tuple[Tensor, Tensor]:
    p = F.pad(picture, (1, 1, 1, 1), "replicate")
    x = (p[..., 1:-1, 2:] - p[..., 1:-1, :-2]) / 2
    return x, (p[..., 2:, 1:-1] - p[..., :-2, 1:-1]) / 2


def _from(flow: Tensor, right: int, down: int) -> Tensor:
    """The flow of the sample so far to the right and down; edges repeat."""
    height, width = flow.shape[-2:]
    p = F.pad(flow, (_REACH, _REACH, _REACH, _REACH), "replicate")
    return p[..., _REACH + down :, _REACH + right :][..., :height, :width]


def _better(
    target: Tensor,
    reference: Tensor,
    flow: Tensor,
    others: Sequence[Tensor],
    share: float,
    floor: float,
) -> Tensor:
    """`flow`, and each of `others` in turn where it leaves less than the `share` of the error, and less by `floor`."""
    least = _error(target, reference, flow)
    for other in others:
        error = _error(target, reference, other)
        take = error < share * least - floor
        flow, least = torch.where(take, other, flow), torch.where(take, error, least)
    return flow


def _lit(target: Tensor, reference: Tensor, flow: Tensor) -> Tensor:
    """`target` as bright, over a wide neighbourhood, as what `flow` leads to."""
    return target - gaussian_blur(target - warp(reference, flow, "bilinear"), _LIGHT)


def _error(target: Tensor, reference: Tensor, flow: Tensor) -> Tensor:
    return gaussian_blur((target - warp(reference, flow, "bilinear")) ** 2, _AROUND)
