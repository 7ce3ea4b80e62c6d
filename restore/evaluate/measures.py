"""The measures by name: what each needs, and which way is better.

All see luma in 8-bit codes, (T, 1, H, W); limited range, but for grey images, which keep their full range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from restore.errors import EvaluateError
from restore.metrics.fidelity import psnr, psnr_b, ssim
from restore.options import hint


@dataclass(frozen=True)
class Sight:
    """One result beside its truth."""

    found: Tensor
    truth: Tensor
    border: int
    """Samples left out along each edge."""
    scale: int


@dataclass(frozen=True)
class Measure:
    title: str
    """As the head of a column."""
    higher_is_better: bool
    digits: int
    """After the point, in tables."""
    of: Callable[[Sight], float]


MEASURES: dict[str, Measure] = {
    "psnr": Measure("Y-PSNR dB", True, 2, lambda s: psnr(s.found, s.truth, s.border)),
    "ssim": Measure("SSIM", True, 4, lambda s: ssim(s.found, s.truth, s.border)),
    "psnr_b": Measure(
        "PSNR-B dB", True, 2, lambda s: psnr_b(s.found, s.truth, 8 * s.scale, s.border)
    ),
}
"""PSNR-B looks for the 8x8 blocks of the input, which the output shows `scale` times as large."""


def pick_measures(names: Sequence[str]) -> list[str]:
    """Keys of MEASURES, Y-PSNR always among them and first; without `names` all. EvaluateError for unknown ones."""
    unknown = [
        f"--measure {name}: unknown{hint(name, MEASURES)}" for name in names if name not in MEASURES
    ]
    if unknown:
        raise EvaluateError("\n".join(unknown))
    return list(dict.fromkeys(["psnr", *(names or MEASURES)]))
