"""Generated video for the tests of the media layer."""

from __future__ import annotations

import re
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


def ffmpeg(*arguments: str | Path | bytes) -> str:
    """Run the static FFmpeg, an oracle independent of PyAV; what it prints on stderr."""
    return _run(*arguments).stderr.decode("utf-8", "replace")


def ffmpeg_bytes(*arguments: str | Path) -> bytes:
    """What the static FFmpeg writes to its standard output."""
    return _run("-v", "error", *arguments, "-").stdout


def _run(*arguments: str | Path | bytes) -> subprocess.CompletedProcess[bytes]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y"]
    plain = [a if isinstance(a, bytes) else str(a) for a in arguments]
    done = subprocess.run([*command, *plain], capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.decode("utf-8", "replace"))
    return done


def make_clip(
    path: Path, *encoder: str | Path | bytes, size: str = "64x48", seconds: float = 1
) -> Path:
    """FFmpeg's test picture at 25 frames a second; `encoder` are its output options."""
    picture = f"testsrc2=size={size}:rate=25:duration={seconds}"
    ffmpeg("-v", "error", "-f", "lavfi", "-i", picture, *encoder, path)
    return path


def make_sounding_clip(
    path: Path, *encoder: str | Path, size: str = "64x48", seconds: float = 1
) -> Path:
    """The same with a sweep as sound, which begins 0.2 s later."""
    picture = f"testsrc2=size={size}:rate=25:duration={seconds}"
    sound = f"aevalsrc=0.4*sin(2000*t*t)|0.4*cos(1000*t):s=44100:d={seconds - 0.2}"
    inputs = ["-f", "lavfi", "-i", picture, "-itsoffset", "0.2", "-f", "lavfi", "-i", sound]
    ffmpeg("-v", "error", *inputs, *encoder, path)
    return path


def make_part(
    path: Path, number: int, *encoder: str, sound: float = 1.0, late: float = 0.0
) -> Path:
    """A second of moving picture at 25 frames/s, other in each part, and `sound` seconds of a tone that
    begins `late` seconds after it."""
    picture = f"testsrc2=size=64x48:rate=25:duration=1,hue=h={90 * number}"
    tone = f"sine=frequency={300 + 200 * number}:sample_rate=44100:duration={sound}"
    inputs = ["-f", "lavfi", "-i", picture, "-itsoffset", str(late), "-f", "lavfi", "-i", tone]
    ffmpeg("-v", "error", *inputs, *encoder, path)
    return path


_MPEG = ("-c:v", "mpeg1video", "-qscale:v", "4", "-bf", "2", "-c:a", "mp2")

PARTS = {
    "mpg": _MPEG,
    "dat": (*_MPEG, "-f", "vcd"),
    "ts": (*_MPEG, "-f", "mpegts"),
    "avi": ("-c:v", "mpeg4", "-qscale:v", "4", "-c:a", "libmp3lame"),
    "rm": ("-c:v", "rv10", "-qscale:v", "4", "-c:a", "ac3"),
    "mkv": ("-c:v", "libx264", "-c:a", "flac"),
}
"""Encoder options of the kinds of files that old films come in several of, by suffix."""


# Drops frames unevenly, so that the rate varies.
VFR = ("-vf", "select=not(eq(mod(n\\,7)\\,3)+eq(mod(n\\,11)\\,5))", "-fps_mode", "passthrough")


def stream_lines(path: Path) -> list[str]:
    """'Stream #...' lines, with everything FFmpeg knows about each stream."""
    text = ffmpeg("-v", "verbose", "-i", path, "-c", "copy", "-f", "null", "-")
    head = text.split("Output #0")[0]
    return [line.strip() for line in head.splitlines() if "Stream #" in line]


def frame_times(path: Path) -> list[Fraction]:
    """Times of all video frames in seconds, as showinfo counts them: exact ticks of its time base."""
    arguments = ["-i", path, "-map", "0:v:0", "-vf", "showinfo", "-fps_mode", "passthrough"]
    text = ffmpeg("-v", "info", "-copyts", *arguments, "-f", "null", "-")
    base = re.search(r"config in time_base: (\d+)/(\d+)", text)
    assert base is not None
    tick = Fraction(int(base[1]), int(base[2]))
    return [int(t) * tick for t in re.findall(r"\] n: *\d+ pts: *(-?\d+) ", text)]


def flip_bytes(source: Path, target: Path, first: int = 1000, every: int = 701) -> Path:
    """A copy with one byte in `every` inverted, from byte `first` on."""
    data = bytearray(source.read_bytes())
    for at in range(first, len(data), every):
        data[at] ^= 0xFF
    target.write_bytes(data)
    return target
