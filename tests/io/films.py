"""Generated films whose every frame is known, and what television does to them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from media_clips import ffmpeg

from restore.video import FrameBatch

Film = npt.NDArray[np.uint8]
"""(frames, height, width) luma codes."""


def pan(frames: int, width: int = 160, height: int = 128, speed: int = 3, seed: int = 0) -> Film:
    """A textured picture that moves past, with a bright ball that moves the other way."""
    random = np.random.default_rng(seed)
    wide = random.normal(0, 1, (height, width + speed * frames)).astype(np.float32)
    wide = cv2.GaussianBlur(wide, (0, 0), 3)
    wide = np.clip(110 + 45 * wide / wide.std(), 20, 230)
    film = np.stack([wide[:, speed * n : speed * n + width] for n in range(frames)])
    for n, picture in enumerate(film):
        cv2.circle(picture, (width - 4 * n % width, height // 2), height // 6, (225.0,), -1)
    return film.round().astype(np.uint8)


def still(frames: int, width: int = 160, height: int = 128) -> Film:
    return np.repeat(pan(1, width, height), frames, axis=0)


def write_film(path: Path, film: Film, rate: str, *options: str) -> Path:
    """`film` through FFmpeg with `options`, its chroma neutral. It goes in as 4:2:0, or as grey where the options
    ask for grey: FFmpeg would change the range between the two."""
    _, height, width = film.shape
    grey = "format=gray" in " ".join(options)
    neutral = np.full(((height + 1) // 2) * ((width + 1) // 2) * 2, 128, np.uint8).tobytes()
    raw = path.with_suffix(".raw")
    raw.write_bytes(b"".join(f.tobytes() + (b"" if grey else neutral) for f in film))
    shape = ["-f", "rawvideo", "-s", f"{width}x{height}", "-r", rate]
    ffmpeg(
        "-v", "error", *shape, "-pix_fmt", "gray" if grey else "yuv420p", "-i", raw, *options, path
    )
    raw.unlink()
    return path


INTERLACED_MPEG2 = ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", "2", "-g", "12")
INTERLACED_X264 = ("-c:v", "libx264", "-crf", "8", "-x264-params")
LOSSLESS = ("-c:v", "ffv1")


def psnr(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic], peak: float = 255) -> float:
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return 99.0 if error == 0 else float(10 * np.log10(peak**2 / error))


def luma(batch: FrameBatch) -> npt.NDArray[np.generic]:
    """(frames, height, width)."""
    return batch.planes[0][:, 0].numpy()
