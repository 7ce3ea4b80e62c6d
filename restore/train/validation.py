"""Scores on sources that were never trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from restore import planes
from restore.nets.architectures import ConditionName, condition_places
from restore.nets.files import UNDAMAGED
from restore.train.batches import with_colours
from restore.train.colour import luma_of
from restore.train.front import behind
from restore.train.networks import enlarged, predict
from restore.train.plan import CATEGORIES
from restore.train.recipe import Network
from restore.train.sequences import sequence
from restore.train.shards import Shards

VALIDATION_SAMPLES = 300
VALIDATION_SEQUENCES = 120
"""Each of which is several frames."""
BORDER = 8
"""High-resolution pixels left out of every score."""

PERFECT = 99.0
"""PSNR of equal pictures, dB."""


@dataclass(frozen=True)
class Scores:
    """What one validation found."""

    gains: dict[str, float]
    """Gain over Lanczos (at scale 1 over the input) in dB of Y-PSNR (8-bit limited-range codes): the mean per category,
    the mean of those, and the worst single sample. Samples that are right as they came are in `kept` only. Of a recurrent
    network: of the last frame of each sample; 'first frame' is the mean of those that nothing comes before."""
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
        kept = {} if self.kept is None else {UNDAMAGED: round(self.kept, 1)}
        return self.gains | kept


@torch.no_grad()
def validate(net: nn.Module, held: Shards, shape: Network, device: torch.device) -> Scores:
    """Scores of `net` (the shipped form of the recipe's `shape`), in float32. Long validation sets are strided. Where it
    has conditions, 'held-out blind' is the mean without any; where it has a front, 'held-out alone' that without the front."""
    net = net.to(device)
    gains: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    blind: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    alone: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    first: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    reached, bases, kept = [], [], list[float]()
    most = VALIDATION_SEQUENCES if shape.recurrent else VALIDATION_SAMPLES
    stride = max(1, len(held) // most)
    number = 0
    for shard, samples in enumerate(held.samples):
        for index, sample in enumerate(samples):
            number += 1
            if number % stride:
                continue
            category = sample["sequence"]["category"]
            low, truths = (part.to(device) for part in examined(held, shard, index, shape))
            pictures = frames_of(enlarged(low, shape))
            base, residual = predict(net, shape, behind(low, shape.condition), torch.float32)
            result = frames_of(base + residual)
            after, before = psnr(result[-1:], truths[-1:]), psnr(pictures[-1:], truths[-1:])
            if before == PERFECT:
                kept.append(after)
                continue
            bases.append(before)
            reached.append(after)
            gains[category].append(after - before)
            if shape.recurrent:
                first[category].append(
                    psnr(result[:1], truths[:1]) - psnr(pictures[:1], truths[:1])
                )
            front = [name for name in shape.condition if name in ("change", "neighbours")]
            for unknown, others in ((front, alone), (shape.condition, blind)):
                if unknown:
                    known = _without(low, shape.condition, unknown)
                    base, residual = predict(net, shape, known, torch.float32)
                    done = frames_of(base + residual)[-1:]
                    others[category].append(psnr(done, truths[-1:]) - before)
    found = {f"held-out {k}": round(float(np.mean(v)), 3) for k, v in gains.items() if v}
    found["held-out mean"] = round(float(np.mean(list(found.values()))), 3)
    for name, others in (("alone", alone), ("blind", blind), ("first frame", first)):
        means = [float(np.mean(v)) for v in others.values() if v]
        if means:
            found[f"held-out {name}"] = round(float(np.mean(means)), 3)
    found["held-out worst sample"] = round(min(min(v) for v in gains.values() if v), 3)
    untouched = float(np.mean(kept)) if kept else None
    return Scores(found, float(np.mean(reached)), float(np.mean(bases)), untouched)


def _without(
    low: Tensor, condition: Sequence[ConditionName], unknown: Sequence[ConditionName]
) -> Tensor:
    """`low`, luma and the planes of `condition`, with those of `unknown` set to 0."""
    known = low.clone()
    told, places = known[..., 1:, :, :], condition_places(condition)
    for name in unknown:
        told[..., places[name], :, :] = 0
    return known


def examined(pairs: Shards, shard: int, index: int, shape: Network) -> tuple[Tensor, Tensor]:
    """What `predict` takes of one sample (once `behind` a front, where there is one), a batch of one, and the truth of its frames: uint8 codes, (T, 1, s*h, s*w), of
    R, G, B (1, 3, s*h, s*w)."""
    truth = pairs.hr[shard][index]
    if shape.recurrent:
        return sequence(pairs, shard, index, shape.condition)[None], truth[:, None]
    return middle(pairs, shard, index, shape.condition), with_colours(truth[None])


def frames_of(pictures: Tensor) -> Tensor:
    """What `predict` returned for a batch of one -> (T, 1 or 3, s*h, s*w)."""
    return pictures[0] if pictures.ndim == 5 else pictures


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
    known = pairs.maps[shard].planes(condition, index, window)[None]
    return torch.cat([luma, known], 1)


def psnr(nominal: Tensor, truth: Tensor) -> float:
    """Y-PSNR in dB of nominal luma, or R, G, B, against uint8 limited-range codes of the same, border cropped; at most
    PERFECT."""
    codes = planes.to_codes(luma_of(nominal), 8, full_range=False, chroma=False).float()
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    mse = ((codes[inner] - luma_of(truth)[inner].float().round()) ** 2).mean().item()
    return PERFECT if mse == 0 else 10 * math.log10(255**2 / mse)
