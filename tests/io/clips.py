"""Generated video for the tests of the media layer."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch

from restore.color import ColorInfo, Matrix, Primaries, Siting, Transfer
from restore.video import Chroma, FrameBatch, FrameInfo, VideoFormat

MS = Fraction(1, 1000)

PAL = ColorInfo(Matrix.BT470BG, Primaries.BT470BG, Transfer.SMPTE170M, False, Siting.CENTER)


def make_format(
    width: int = 64,
    height: int = 48,
    chroma: Chroma | None = Chroma.C420,
    depth: int = 8,
    time_base: Fraction = MS,
) -> VideoFormat:
    """A small picture with tags that no guess would give."""
    return VideoFormat(width, height, chroma, depth, time_base, PAL, Fraction(12, 11))


def make_batch(fmt: VideoFormat, pts: Sequence[int], first: int = 0) -> FrameBatch:
    """Smooth moving waves in legal codes, other ones in each plane and frame."""
    planes = []
    for p, (height, width) in enumerate(fmt.plane_shapes()):
        y, x = np.mgrid[0:height, 0:width]
        frames = [
            128 + 60 * np.sin(x / (5 + p) + 0.4 * (first + n)) * np.cos(y / 7 + p)
            for n in range(len(pts))
        ]
        codes = np.stack(frames)[:, None] * (1 << (fmt.depth - 8))
        kind = np.uint8 if fmt.depth == 8 else np.uint16
        planes.append(torch.from_numpy(codes.round().astype(kind)))
    ends = [*pts[1:], pts[-1] + 40]
    frames = tuple(
        FrameInfo(first + n, at, end - at)
        for n, (at, end) in enumerate(zip(pts, ends, strict=True))
    )
    return FrameBatch(tuple(planes), frames, fmt)


def ffmpeg(*arguments: str | Path) -> str:
    """Run the static FFmpeg, an oracle independent of PyAV; what it prints on stderr."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    text = done.stderr.decode("utf-8", "replace")
    if done.returncode:
        raise AssertionError(text)
    return text


def stream_lines(path: Path) -> list[str]:
    """'Stream #...' lines, with everything FFmpeg knows about each stream."""
    text = ffmpeg("-v", "verbose", "-i", path, "-c", "copy", "-f", "null", "-")
    head = text.split("Output #0")[0]
    return [line.strip() for line in head.splitlines() if "Stream #" in line]


def frame_times(path: Path) -> list[Fraction]:
    """Times of all video frames in seconds, as showinfo counts them: exact ticks of its time base."""
    import re

    text = ffmpeg(
        "-v", "info", "-copyts", "-i", path, "-map", "0:v:0", "-vf", "showinfo", "-f", "null", "-"
    )
    base = Fraction(*map(int, re.search(r"config in time_base: (\d+)/(\d+)", text).groups()))  # type: ignore[union-attr]
    return [int(t) * base for t in re.findall(r"\] n: *\d+ pts: *(-?\d+) ", text)]
