"""Scores on sources that were never trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from restore import planes
from restore.nets.architectures import ConditionName
from restore.train.batches import with_colours
from restore.train.colour import luma_of
from restore.train.networks import predict
from restore.train.plan import CATEGORIES
from restore.train.recipe import Network
from restore.train.shards import Shards

VALIDATION_SAMPLES = 300
BORDER = 8
"""High-resolution pixels left out of every score."""

PERFECT = 99.0
"""PSNR of equal pictures, dB."""


@dataclass(frozen=True)
class Scores:
    """What one validation found."""

    gains: dict[str, float]
    """Gain over Lanczos (at scale 1 over the input) in dB of Y-PSNR (8-bit limited-range codes): the mean per category,
    the mean of those, and the worst single sample. Samples that are right as they came are in `kept` only."""
    psnr: float
    """Mean Y-PSNR of the samples that gains are taken of, dB."""
    lanczos: float
    """The same of the resampled input."""
    kept: float | None = None
    """Mean Y-PSNR of what was made of input that equals its truth, dB, 99 where nothing changed; None: no such sample."""

    @property
    def mean(self) -> float:
        return self.gains["held-out mean"]

    def on_card(self) -> dict[str, float]:
        """As a model's card has them."""
        kept = {} if self.kept is None else {"undamaged input, PSNR left": round(self.kept, 1)}
        return self.gains | kept


@torch.no_grad()
def validate(net: nn.Module, held: Shards, shape: Network, device: torch.device) -> Scores:
    """Scores of `net` (the shipped form of the recipe's `shape`), in float32. Long validation sets are strided. Where it
    has conditions, 'held-out blind' is the mean without any."""
    net = net.to(device)
    gains: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    blind: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    reached, bases, kept = [], [], list[float]()
    stride = max(1, len(held) // VALIDATION_SAMPLES)
    number = 0
    for shard, samples in enumerate(held.samples):
        for index, sample in enumerate(samples):
            number += 1
            if number % stride:
                continue
            category = sample["sequence"]["category"]
            low = middle(held, shard, index, shape.condition).to(device)
            base, residual = predict(net, shape, low, torch.float32)
            truth = with_colours(held.hr[shard][index][None]).to(device)
            result = psnr(base + residual, truth)
            before = psnr(base, truth)
            if before == PERFECT:
                kept.append(result)
                continue
            bases.append(before)
            reached.append(result)
            gains[category].append(reached[-1] - bases[-1])
            if shape.condition:
                low[:, -len(shape.condition) :] = 0
                base, residual = predict(net, shape, low, torch.float32)
                blind[category].append(psnr(base + residual, truth) - bases[-1])
    found = {f"held-out {k}": round(float(np.mean(v)), 3) for k, v in gains.items() if v}
    found["held-out mean"] = round(float(np.mean(list(found.values()))), 3)
    if shape.condition:
        means = [float(np.mean(v)) for v in blind.values() if v]
        found["held-out blind"] = round(float(np.mean(means)), 3)
    found["held-out worst sample"] = round(min(min(v) for v in gains.values() if v), 3)
    untouched = float(np.mean(kept)) if kept else None
    return Scores(found, float(np.mean(reached)), float(np.mean(bases)), untouched)


def middle(
    pairs: Shards, shard: int, index: int, condition: Sequence[ConditionName] = ()
) -> Tensor:
    """The middle frame of a sample as nominal luma, (1, 1, h, w), or R, G, B; the planes of `condition` follow it."""
    codes = pairs.lr[shard][index]
    frame = with_colours(codes[len(codes) // 2][None])
    luma = planes.to_nominal(frame, 8, full_range=False, chroma=False)
    if not condition:
        return luma
    window = slice(0, luma.shape[-2]), slice(0, luma.shape[-1])
    return torch.cat([luma, pairs.maps[shard].planes(condition, index, window)[None]], 1)


def psnr(nominal: Tensor, truth: Tensor) -> float:
    """Y-PSNR in dB of nominal luma, or R, G, B, against uint8 limited-range codes of the same, border cropped; at most
    PERFECT."""
    codes = planes.to_codes(luma_of(nominal), 8, full_range=False, chroma=False).float()
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    mse = ((codes[inner] - luma_of(truth)[inner].float().round()) ** 2).mean().item()
    return PERFECT if mse == 0 else 10 * math.log10(255**2 / mse)
