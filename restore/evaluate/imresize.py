"""Bicubic scaling as MATLAB's `imresize` does it, by which nearly all published super-resolution scores were made.

Other libraries' "bicubic" is another filter: OpenCV's does not anti-alias and has a = -0.75, FFmpeg's has a = -0.6,
and pairs made with them score up to some dB otherwise.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]


def imresize(image: Image, scale: Fraction | int) -> Image:
    """(H, W) or (H, W, C) -> ceil(scale * H) x ceil(scale * W): Keys' cubic with a = -0.5, widened by 1 / scale
    when it makes smaller, edges mirrored with the edge sample twice; in double precision, neither clipped nor
    rounded. Rows first, then columns. ValueError for a scale that is not positive."""
    scale = Fraction(scale)
    if scale <= 0:
        raise ValueError(f"expected a positive scale, got {scale}")
    rows = _matrix(image.shape[0], scale)
    columns = _matrix(image.shape[1], scale)
    done = np.tensordot(rows, image, axes=(1, 0))
    return np.moveaxis(np.tensordot(columns, done, axes=(1, 1)), 0, 1)


def to_uint8(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Clipped to 0..255, halves rounded up, as MATLAB's uint8()."""
    return np.clip(np.floor(image + 0.5), 0, 255).astype(np.uint8)


def luma(rgb: NDArray[np.uint8]) -> Image:
    """(H, W, 3) R, G, B codes -> (H, W) Y codes, 16 to 235, not rounded: rgb2ycbcr (BT.601)."""
    weights = np.array([65.481, 128.553, 24.966]) / 255
    return 16 + rgb.astype(np.float64) @ weights


def _matrix(size: int, scale: Fraction) -> Image:
    """(ceil(scale * size), size) weights; each row sums to 1."""
    reach = max(1.0, float(1 / scale))
    target = math.ceil(scale * size)
    # Sample centres aligned: output j (from 0) looks at (j + 1/2) / scale - 1/2.
    centre = (np.arange(target) + 0.5) / float(scale) - 0.5
    taps = math.ceil(4 * reach) + 2
    index = np.floor(centre - 2 * reach).astype(int)[:, None] + np.arange(taps)
    weight = _cubic((centre[:, None] - index) / reach)
    weight /= weight.sum(1, keepdims=True)
    mirrored = np.concatenate([np.arange(size), np.arange(size)[::-1]])
    matrix = np.zeros((target, size))
    np.add.at(matrix, (np.arange(target)[:, None], mirrored[index % (2 * size)]), weight)
    return matrix


def _cubic(x: Image) -> Image:
    """Keys 1981, a = -0.5."""
    a = np.abs(x)
    near = 1.5 * a**3 - 2.5 * a**2 + 1
    far = -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2
    return np.where(a <= 1, near, np.where(a < 2, far, 0.0))
