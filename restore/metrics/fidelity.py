"""Full-reference measures on luma: PSNR, SSIM, PSNR-B.

All take (T, 1, H, W) planes in 8-bit limited-range codes (black 16, white 235; float or integer), leave a border
out and average over frames. Peak is 255 on limited-range codes, the field's usage: full-range codes of the same
picture would read 20 log10(255 / 219) = 1.32 dB less.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

PEAK = 255.0
BORDER = 8
"""Samples left out along each edge: what a filter does there is not what is judged."""


def psnr(found: Tensor, truth: Tensor, border: int = BORDER) -> float:
    """Mean of the frames' PSNR in dB; a frame without error counts as 100 dB. ValueError for unequal shapes."""
    a, b = _pair(found, truth, border)
    error = (a - b).square().mean((1, 2, 3))
    decibels = 10 * torch.log10(PEAK**2 / error.clamp_min(PEAK**2 * 1e-10))
    return float(decibels.mean())


def ssim(found: Tensor, truth: Tensor, border: int = BORDER) -> float:
    """Mean structural similarity (Wang et al. 2004): 11x11 Gaussian of sigma 1.5, K1 = 0.01, K2 = 0.03,
    valid windows only."""
    a, b = _pair(found, truth, border)
    if min(a.shape[-2:]) < 11:
        raise ValueError(f"SSIM needs 11x11 samples inside the border, got {tuple(a.shape[-2:])}")
    return sum(_ssim(a[i : i + 1], b[i : i + 1]) for i in range(len(a))) / len(a)


def _ssim(a: Tensor, b: Tensor) -> float:
    """Of one frame."""
    x = torch.arange(11, dtype=torch.float64) - 5
    taps = torch.exp(-(x**2) / (2 * 1.5**2))
    taps = taps / taps.sum()

    def mean(plane: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(plane, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    score = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(score.mean())


def psnr_b(found: Tensor, truth: Tensor, block: int = 8, border: int = BORDER) -> float:
    """PSNR less a penalty for visible blocks (Yim & Bovik 2011): the mean squared step across block edges that
    exceeds the one elsewhere is added to the error. The grid starts at the top left sample of the whole plane."""
    a, b = _pair(found, truth, border)
    height, width = a.shape[-2:]
    eta = math.log2(block) / math.log2(min(height, width))
    total = []
    for frame, error in zip(a, (a - b).square().mean((1, 2, 3)), strict=True):
        excess = 0.0
        on_edge, inside, edges, others = 0.0, 0.0, 0, 0
        for axis in (-1, -2):
            step = frame.diff(dim=axis).square()
            at = (torch.arange(step.shape[axis]) + 1 + border) % block == 0
            edge = step.index_select(axis, at.nonzero().flatten())
            rest = step.index_select(axis, (~at).nonzero().flatten())
            on_edge, edges = on_edge + float(edge.sum()), edges + edge.numel()
            inside, others = inside + float(rest.sum()), others + rest.numel()
        if edges and others:
            excess = max(0.0, eta * (on_edge / edges - inside / others))
        total.append(10 * math.log10(PEAK**2 / max(float(error) + excess, PEAK**2 * 1e-10)))
    return sum(total) / len(total)


def _pair(found: Tensor, truth: Tensor, border: int) -> tuple[Tensor, Tensor]:
    if found.shape != truth.shape:
        raise ValueError(f"planes have shapes {tuple(found.shape)} and {tuple(truth.shape)}")
    height, width = truth.shape[-2:]
    inner = (..., slice(border, height - border), slice(border, width - border))
    return found[inner].double(), truth[inner].double()
