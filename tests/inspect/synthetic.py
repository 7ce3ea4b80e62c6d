"""Small made-up film: texture, edges, motion, and the faults that detectors look for."""

from __future__ import annotations

from pathlib import Path

import cv2
import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rng = np.random.Generator


def still(rng: Rng, height: int, width: int) -> Floats:
    """(height, width) codes in 16..235: blotches of all sizes and a few hard edges, as pictures have."""
    picture = np.zeros((height, width), np.float32)
    size = 3
    while size < min(height, width):
        octave = rng.normal(0, 1, (size, size)).astype(np.float32)
        picture += cv2.resize(octave, (width, height), interpolation=cv2.INTER_CUBIC) / size**0.5
        size *= 2
    for _ in range(rng.integers(3, 8)):
        points = rng.integers(0, (width, height), (4, 2)).astype(np.int32)
        cv2.fillPoly(picture, [cv2.convexHull(points)], float(rng.normal(0, 1.5)))
    low, high = np.quantile(picture, (0.01, 0.99))
    scaled = (picture - low) / (high - low) * rng.uniform(140, 190) + rng.uniform(20, 40)
    return np.asarray(cv2.GaussianBlur(scaled, (0, 0), 0.6), np.float32).clip(16, 235)


def film(
    rng: Rng, frames: int = 8, height: int = 72, width: int = 96, speed: float = 1.5
) -> Floats:
    """(frames, height, width): a camera that pans over a still by up to `speed` samples a frame."""
    margin = int(speed * frames) + 4
    picture = still(rng, height + 2 * margin, width + 2 * margin)
    step = rng.uniform(-speed, speed, 2)
    made = []
    for n in range(frames):
        shift = np.float32([[1, 0, -margin - step[0] * n], [0, 1, -margin - step[1] * n]])
        made.append(cv2.warpAffine(picture, shift, (width, height), flags=cv2.INTER_CUBIC))
    return np.stack(made).astype(np.float32)


def grain(rng: Rng, clean: Floats, sigma: float) -> Floats:
    return clean + rng.normal(0, sigma, clean.shape).astype(np.float32)


def codes(picture: Floats) -> NDArray[np.uint8]:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def write_film(path: Path, luma: NDArray[np.uint8], **options: object) -> Path:
    """(T, H, W) of even sizes, 25 frames a second and neutral chroma, through FFmpeg's encoder."""
    _, height, width = luma.shape
    raw = b"".join(f.tobytes() + b"\x80" * (height * width // 2) for f in luma)
    source = ffmpeg.input("pipe:", f="rawvideo", pix_fmt="yuv420p", s=f"{width}x{height}", r=25)
    output = source.output(str(path), **options)
    output.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), input=raw, quiet=True)
    return path
