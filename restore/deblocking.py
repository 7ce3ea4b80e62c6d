"""Deblocking by an average over shifted transforms, with an attenuation fitted on real encodes.

The picture less its low frequencies is cut into 4x4 blocks, at every second sample; each is transformed, each
coefficient attenuated by c^2 / (c^2 + T^2), and all the overlapping results are averaged (Nosratinia 2001; Wiener
attenuation in place of a hard threshold, which costs PSNR on film). T grows with the quantiser step of the place and
shrinks where the block is busy: texture hides blocks, and is what a viewer wants.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.planes import gaussian_blur, mean_steps

BLOCK = 4
STRIDE = 2

LOW_PASS = 2.0
"""Sigma, in samples, of what is taken off first and put back untouched: gradients. Blocks at every second sample
alone would turn a gradient into stairs of two samples."""

_THRESHOLD = (
    (0.0, -3.15, -2.79, -1.99),
    (-3.15, -2.45, -2.51, -2.04),
    (-2.79, -2.51, -2.75, -2.25),
    (-1.99, -2.04, -2.25, -2.01),
)
"""Logarithm of T / step by vertical and horizontal frequency; the mean of a block (0, 0) is never touched. This and
the next three were fitted by gradient descent on the PSNR of the picture enlarged by Lanczos, over MPEG-1, RV20,
MPEG-4 and H.264 encodes of clips on which no score is taken."""
_ACTIVITY = (-0.454, 0.0286)
"""Change of log T with a and a^2, a = log of the block's AC power per coefficient over step^2."""
_STEP = (-0.810, -0.425)
"""... with s and s^2, s = log(step / 10 codes)."""
_EDGES = (0.005, 0.220)
"""... with b and b^2, b = excess of the step across 8x8 block edges over the step, -0.1 to 0.6."""


def deblock(
    codes: Tensor, step: Tensor, strength: float = 1.0, origin: tuple[int, int] = (0, 0)
) -> Tensor:
    """(T, 1, H, W) float32 in 8-bit codes -> the same, any H, W >= 1. Constants stay constant to float rounding.

    `step`: (T, 1, H, W), or (T, 1, 1, 1) where a frame has one quantiser: step size in 8-bit codes; where it is 0 the
    picture stays as it is. `strength` multiplies all thresholds. `origin`: (down, right) place of the first sample on
    the codec's grid of blocks.
    """
    # One frame at a time: its 16 planes of coefficients stay in the caches.
    return torch.cat(
        [_deblock(c[None], s[None], strength, origin) for c, s in zip(codes, step, strict=True)]
    )


def _deblock(codes: Tensor, step: Tensor, strength: float, origin: tuple[int, int]) -> Tensor:
    height, width = codes.shape[-2:]
    forward, inverse, shape = _bases(codes.device)
    # Each sample must lie in the same number of blocks: pad to an even size, and a block less a stride around.
    margin = BLOCK - STRIDE
    pad = (margin, margin + width % 2, margin, margin + height % 2)
    low = gaussian_blur(codes, LOW_PASS)
    c = F.conv2d(F.pad(codes - low, pad, "replicate"), forward, stride=STRIDE)
    q = step.clamp_min(1e-3)
    if q.numel() > 1:
        # The first sample of a block's second half is its centre; the last blocks reach outside.
        q = F.pad(q, (0, 2, 0, 2), "replicate")[:, :, ::STRIDE, ::STRIDE]
        q = q[:, :, : c.shape[2], : c.shape[3]].contiguous()
    ac = c[:, 1:]
    power = ac.square()
    activity = power.mean(1, keepdim=True).div_(q.square()).add_(1e-3).log_()
    edges = (block_edges(codes, origin).view(-1, 1, 1, 1) / q).clamp_(-0.1, 0.6)
    change = _quadratic(_STEP, torch.log(q / 10)) + _quadratic(_EDGES, edges)
    change = _quadratic(_ACTIVITY, activity).add_(change)
    # Never 0, so that a coefficient of 0 in a picture without quantiser is divided by something.
    threshold = change.mul_(2).exp_().mul_((strength * q).square()).add_(1e-9)
    ac.mul_(power.div_(torch.addcmul(power, threshold, shape)))
    out = _overlap((inverse @ c[0].flatten(1)).view(BLOCK, BLOCK, *c.shape[2:]))
    out = low.add_(out[:height, :width])
    return out if bool((step > 0).all()) else torch.where(step > 0, out, codes)


def _overlap(blocks: Tensor) -> Tensor:
    """(4, 4, h, w), by row and column in the block, of blocks two samples apart -> (2h - 2, 2w - 2): the sums of the
    four blocks over each sample, where there are four."""
    rows = blocks[:STRIDE, :, 1:] + blocks[STRIDE:, :, :-1]
    cells = rows[:, :STRIDE, :, 1:] + rows[:, STRIDE:, :, :-1]
    _, _, h, w = cells.shape
    return cells.permute(2, 0, 3, 1).reshape(STRIDE * h, STRIDE * w)


def _quadratic(weights: tuple[float, float], x: Tensor) -> Tensor:
    return x * (weights[0] + weights[1] * x)


def block_edges(codes: Tensor, origin: tuple[int, int] = (0, 0)) -> Tensor:
    """(T, 1, H, W) -> (T,): by how much the step across edges of the 8x8 grid exceeds the steps beside it, less the
    same elsewhere; 8-bit codes, mean of both directions; 0 for pictures under 16 samples a side. `origin`: (down,
    right) place of the first sample on the grid."""
    total = torch.zeros(len(codes), device=codes.device)
    if min(codes.shape[-2:]) < 16:
        return total
    for along, first in ((3, origin[1]), (2, origin[0])):
        # The excess is linear in the steps: their mean along the edge comes first.
        step = mean_steps(codes, along)
        profile = step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2
        on = profile[:, (-2 - first) % 8 :: 8]
        off = (profile.sum(1) - on.sum(1)) / (profile.shape[1] - on.shape[1])
        total += (on.mean(1) - off) / 2
    return total


@lru_cache(maxsize=8)
def _bases(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(16, 1, 4, 4) orthonormal DCT-II analysis kernels; the (16, 16) matrix that makes samples of coefficients, a
    quarter of them, since four blocks lie over each sample; and the (1, 15, 1, 1) squares of _THRESHOLD but the mean's."""
    n = torch.arange(BLOCK, dtype=torch.float64)
    dct = torch.cos(math.pi / BLOCK * (n + 0.5) * n[:, None]) * math.sqrt(2 / BLOCK)
    dct[0] /= math.sqrt(2)
    basis = torch.einsum("uy,vx->uvyx", dct, dct).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK)
    inverse = basis.flatten(1).T / (BLOCK // STRIDE) ** 2
    shape = torch.tensor(_THRESHOLD).mul(2).exp().view(1, -1, 1, 1)[:, 1:]
    return basis.float().to(device), inverse.float().contiguous().to(device), shape.to(device)
