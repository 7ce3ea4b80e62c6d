"""Deblocking by an average over shifted transforms (Nosratinia 2001: "re-application of JPEG"; FFmpeg's spp).

Every 8x8 block of the picture, at 16 positions of the block grid, is transformed, its small coefficients are
removed, and all the overlapping results are averaged. What is small is said by the quantiser of the place.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8
STRIDE = 2


def deblock(plane: Tensor, step: Tensor) -> Tensor:
    """(T, 1, H, W) -> the same shape and dtype, any H, W >= 1.

    `step`: (T, 1, H, W) or broadcastable, float32, the quantiser step in the units of `plane` times any strength;
    0 leaves the picture as it is. Constants stay constant to float rounding.
    """
    t, _, height, width = plane.shape
    forward, inverse = _bases(plane.device)
    # Each sample must lie in the same number of blocks: pad to an even size, and a block less a stride around.
    margin = BLOCK - STRIDE
    pad = (margin, margin + width % 2, margin, margin + height % 2)
    x = F.pad(plane.float(), pad, "replicate")
    coefficients = F.conv2d(x, forward, stride=STRIDE)
    theta = F.pad(step.expand(t, 1, height, width).float(), pad, "replicate")
    theta = theta[:, :, BLOCK // 2 :: STRIDE, BLOCK // 2 :: STRIDE]
    theta = theta[:, :, : coefficients.shape[2], : coefficients.shape[3]]
    kept = coefficients * (coefficients.abs() > theta)
    kept[:, :1] = coefficients[:, :1]  # the mean of a block is never small
    out = F.pixel_shuffle(F.conv2d(kept, inverse), STRIDE)
    return out[:, :, :height, :width].to(plane.dtype)


@lru_cache(maxsize=8)
def _bases(device: torch.device) -> tuple[Tensor, Tensor]:
    """(64, 1, 8, 8) orthonormal DCT-II analysis kernels, and the (4, 64, 4, 4) kernels that put the coefficients of
    all blocks over a 2x2 cell of samples back and average them (a transposed convolution, as a plain one)."""
    n = torch.arange(BLOCK, dtype=torch.float64)
    dct = torch.cos(math.pi / BLOCK * (n + 0.5) * n[:, None]) * math.sqrt(2 / BLOCK)
    dct[0] /= math.sqrt(2)
    basis = torch.einsum("uy,vx->uvyx", dct, dct).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK)
    blocks = BLOCK // STRIDE
    # Sample 2c + p lies at 2(c - b) + ... of block b: the kernel runs backwards over the blocks.
    cells = basis.reshape(-1, blocks, STRIDE, blocks, STRIDE).flip(1, 3)
    inverse = cells.permute(2, 4, 0, 1, 3).reshape(STRIDE**2, BLOCK * BLOCK, blocks, blocks)
    inverse = inverse / blocks**2
    return basis.float().to(device), inverse.float().contiguous().to(device)
