"""The measures by name: which way is better, what each needs.

All see luma in 8-bit codes, (T, 1, H, W); limited range, but for grey images, which keep their full range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restore.errors import EvaluateError
from restore.metrics.fidelity import psnr, psnr_b, ssim
from restore.metrics.niqe import CleanModel, niqe
from restore.metrics.temporal import steadiness
from restore.metrics.vmaf import has_vmaf, vmaf
from restore.nets.squeezenet import SqueezeFeatures, feature_distance
from restore.options import hint
from restore.planes import to_nominal

FRAME_STEP = 5
"""Of a clip, the slow measures look at every fifth frame."""


@dataclass(frozen=True)
class Sight:
    """One result beside its truth."""

    found: Tensor
    truth: Tensor
    border: int
    """Samples left out along each edge."""
    scale: int
    full_range: bool = False


@dataclass(frozen=True)
class Measure:
    title: str
    """As the head of a column."""
    higher_is_better: bool
    digits: int
    """After the point, in tables."""
    clips_only: bool = False
    """Whether it is of moving pictures."""


MEASURES: dict[str, Measure] = {
    "psnr": Measure("Y-PSNR dB", True, 2),
    "ssim": Measure("SSIM", True, 4),
    "psnr_b": Measure("PSNR-B dB", True, 2),
    "vmaf": Measure("VMAF", True, 2, clips_only=True),
    "vmaf_neg": Measure("VMAF-NEG", True, 2, clips_only=True),
    "ewarp": Measure("Ewarp", False, 5, clips_only=True),
    "tof": Measure("tOF", False, 3, clips_only=True),
    "flicker": Measure("flicker", False, 3, clips_only=True),
    "squeeze": Measure("squeeze distance", False, 4),
    "niqe": Measure("NIQE", False, 2),
}


@dataclass(frozen=True)
class Aids:
    """What some measures need beside the pictures."""

    clean: CleanModel | None = None
    """For NIQE."""
    backbone: SqueezeFeatures | None = None
    """For the squeeze distance."""

    def lacking(self, name: str) -> str | None:
        """What `name` needs and is not here; None: nothing."""
        if name == "niqe" and self.clean is None:
            return "needs a folder of clean images: --pristine DIR"
        if name == "squeeze" and self.backbone is None:
            return "needs SqueezeNet 1.1 weights: --backbone FILE"
        if name in ("vmaf", "vmaf_neg") and not has_vmaf():
            return (
                "needs an FFmpeg with libvmaf, which imageio-ffmpeg has none of here; leave it out"
            )
        return None


def pick_measures(names: Sequence[str], aids: Aids) -> list[str]:
    """Keys of MEASURES, Y-PSNR always among them and first; without `names` all whose needs are met.
    EvaluateError for unknown ones and for what is lacking."""
    problems = [
        f"--measure {name}: unknown{hint(name, MEASURES)}" for name in names if name not in MEASURES
    ]
    if not names:
        return [name for name in MEASURES if aids.lacking(name) is None]
    lacking = {name: aids.lacking(name) for name in names if name in MEASURES}
    problems += [f"--measure {name}: {what}" for name, what in lacking.items() if what]
    if problems:
        raise EvaluateError("\n".join(problems))
    return list(dict.fromkeys(["psnr", *names]))


def measure(sight: Sight, names: Sequence[str], aids: Aids, still: bool) -> dict[str, float]:
    """Those of `names` that apply, in their order; of a clip with one frame none that look at time."""
    found, truth, border = sight.found, sight.truth, sight.border
    values: dict[str, float] = {}
    wanted = set(names)
    if "psnr" in wanted:
        values["psnr"] = psnr(found, truth, border)
    if "ssim" in wanted:
        values["ssim"] = ssim(found, truth, border)
    if "psnr_b" in wanted:
        # The input's blocks of 8 are `scale` times as large in the output.
        values["psnr_b"] = psnr_b(found, truth, 8 * sight.scale, border)
    if not still and wanted & {"vmaf", "vmaf_neg"}:
        both = vmaf(found, truth, border)
        values |= {"vmaf": both.vmaf, "vmaf_neg": both.neg}
    if not still and len(truth) > 1 and wanted & {"ewarp", "tof", "flicker"}:
        steady = steadiness(found, truth, border)
        values["ewarp"], values["tof"] = steady.warping_error, steady.motion_error
        values["flicker"] = steady.flicker
    if "squeeze" in wanted and aids.backbone is not None:
        parts = [
            _squeeze(aids.backbone, found[n : n + 1], truth[n : n + 1], sight)
            for n in range(0, len(truth), FRAME_STEP)
        ]
        values["squeeze"] = sum(parts) / len(parts)
    if "niqe" in wanted and aids.clean is not None:
        inner = _inner(found[::FRAME_STEP], border)[:, 0].double().numpy()
        grey = inner if sight.full_range else as_grey(inner)
        values["niqe"] = float(np.mean([niqe(frame, aids.clean) for frame in grey]))
    return {name: values[name] for name in names if name in values}


def _squeeze(net: SqueezeFeatures, found: Tensor, truth: Tensor, sight: Sight) -> float:
    """Of one frame. Grey goes into the network as nominal values."""
    planes = (
        to_nominal(_inner(plane, sight.border), 8, sight.full_range, False)
        for plane in (found, truth)
    )
    with torch.no_grad():
        return float(feature_distance(net, *planes))


def _inner(plane: Tensor, border: int) -> Tensor:
    height, width = plane.shape[-2:]
    return plane[..., border : height - border, border : width - border]


def as_grey(
    luma: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Limited-range codes -> 0 (black) to 255 (white)."""
    return (luma - 16) * (255 / 219)
