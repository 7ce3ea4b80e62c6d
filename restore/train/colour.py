"""R, G, B pairs: for networks that are compared with those for luma, not for the pipeline, whose chroma goes its own way.

R, G, B are limited-range codes like luma's (16 black, 235 white), so that one chain, one shard format and one conversion
to nominal serve both. Codecs see 4:2:0 of BT.601 (ITU-R BT.601-7, 2.5), chroma in the middle of its four samples as MPEG-1 has it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Codes = NDArray[np.uint8]

WEIGHTS = (0.299, 0.587, 0.114)
"""Of R, G, B in luma."""

BLUE, RED = (0.5 * (224 / 219) / (1 - WEIGHTS[k]) for k in (2, 0))
"""Codes of Cb and Cr per code of B - Y and R - Y."""


def to_420(rgb: Codes) -> tuple[Codes, Codes]:
    """(T, H, W, 3), H and W even -> luma (T, H, W), chroma (T, 2, H/2, W/2)."""
    codes = rgb.astype(np.float32)
    luma = codes @ np.array(WEIGHTS, np.float32)
    chroma = np.stack([(codes[..., 2] - luma) * BLUE, (codes[..., 0] - luma) * RED], 1) + 128
    t, _, height, width = chroma.shape
    halved = chroma.reshape(t, 2, height // 2, 2, width // 2, 2).mean((3, 5))
    return _round(luma), _round(halved)


def from_420(luma: Codes, chroma: Codes) -> Codes:
    """The way back, chroma by bilinear interpolation: (T, H, W, 3)."""
    size = luma.shape[2], luma.shape[1]
    full = [
        [cv2.resize(p.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) - 128 for p in pair]
        for pair in chroma
    ]
    y = luma.astype(np.float32)
    blue, red = (y + np.stack([pair[k] for pair in full]) / (BLUE, RED)[k] for k in (0, 1))
    green = (y - WEIGHTS[0] * red - WEIGHTS[2] * blue) / WEIGHTS[1]
    return _round(np.stack([red, green, blue], -1))


def luma_of(picture: Tensor) -> Tensor:
    """(B, 3, H, W) nominal R, G, B -> (B, 1, H, W); luma as it is."""
    if picture.shape[1] == 1:
        return picture
    weights = torch.tensor(WEIGHTS, device=picture.device).view(1, 3, 1, 1)
    return (picture.float() * weights).sum(1, keepdim=True)


def _round(codes: NDArray[np.float32]) -> Codes:
    return np.clip(np.rint(codes), 0, 255).astype(np.uint8)
