"""VMAF and VMAF-NEG (Netflix's libvmaf, model v0.6.1), by the static FFmpeg that imageio-ffmpeg brings.

VMAF learnt from viewers how they judge video at a distance of three screen heights. It rewards sharpening; NEG does not,
and is the one to compare restoration by.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
from torch import Tensor

MODELS = "version=vmaf_v0.6.1:name=vmaf|version=vmaf_v0.6.1neg:name=vmaf_neg"


@dataclass(frozen=True)
class Vmaf:
    """0 to 100, means over frames."""

    vmaf: float
    neg: float


@cache
def has_vmaf() -> bool:
    """Whether there is an FFmpeg with libvmaf."""
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
        _measure(np.full((1, 2 * 64, 64), 128, np.uint8), program)
    except (RuntimeError, ffmpeg.Error):
        return False
    return True


def vmaf(found: Tensor, truth: Tensor, border: int = 0) -> Vmaf:
    """Of (T, 1, H, W) luma in 8-bit limited-range codes; `border` samples along each edge are left out, chroma is
    neutral. ValueError for unequal shapes; RuntimeError where FFmpeg has no libvmaf (see has_vmaf)."""
    if found.shape != truth.shape:
        raise ValueError(f"planes have shapes {tuple(found.shape)} and {tuple(truth.shape)}")
    height, width = truth.shape[-2:]
    inner = (..., slice(border, height - border), slice(border, width - border))
    pair = [plane[inner][:, 0].cpu().numpy().astype(np.uint8) for plane in (found, truth)]
    try:
        return _measure(np.concatenate(pair, 1), imageio_ffmpeg.get_ffmpeg_exe())
    except ffmpeg.Error as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()[-2:]
        raise RuntimeError(f"VMAF: FFmpeg failed: {' | '.join(said)}") from None


def _measure(stacked: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], program: str) -> Vmaf:
    """(T, 2 H, W): what was found above the truth, so that one pipe carries both."""
    _, both, width = stacked.shape
    height = both // 2
    # 4:4:4 takes odd sizes; as grey, FFmpeg would take the codes for full range and stretch them.
    neutral = b"\x80" * (2 * both * width)
    raw = b"".join(frame.tobytes() + neutral for frame in stacked)
    source = ffmpeg.input("pipe:", f="rawvideo", pix_fmt="yuv444p", s=f"{width}x{both}", r=25)
    halves = source.video.filter_multi_output("split")
    upper = halves[0].filter("crop", width, height, 0, 0)
    lower = halves[1].filter("crop", width, height, 0, height)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.json"
        options = {"model": MODELS, "log_fmt": "json", "log_path": str(log), "n_threads": 1}
        output = ffmpeg.filter([upper, lower], "libvmaf", **options).output("pipe:", f="null")
        output.run(cmd=program, input=raw, capture_stdout=True, capture_stderr=True)
        pooled = json.loads(log.read_text())["pooled_metrics"]
    return Vmaf(float(pooled["vmaf"]["mean"]), float(pooled["vmaf_neg"]["mean"]))
