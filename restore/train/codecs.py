"""Real encodes and decodes, through the static FFmpeg that imageio-ffmpeg brings, driven by ffmpeg-python; JPEG through
the libjpeg in OpenCV, whose quality is the one that the literature means.

Luma goes in and comes out as limited-range codes; chroma is neutral. Frames have no sound and 25 frames/s:
what a codec does to a picture depends on bits per pixel, not on the clock.
"""

from __future__ import annotations

import errno
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import ffmpeg
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from restore.errors import TrainError
from restore.train.files import WriteError

Codes = NDArray[np.uint8]
"""Luma codes (T, H, W), limited range."""

CIF_PIXELS = 352 * 288
VCD_BUFFER_BITS = 327_680
"""The VCD decoder's 40 KiB video buffer (White Book)."""


@dataclass(frozen=True)
class Step:
    """One generation: a codec and its FFmpeg output options. Rates (b, maxrate, bufsize, in bits) are those of
    352x288 at 25 frames/s; `encode` scales them with the frame's pixels."""

    codec: str
    options: dict[str, str | float] = field(default_factory=dict)

    @property
    def container(self) -> str:
        return {
            "mpeg1video": "mpeg",
            "rv10": "rm",
            "rv20": "rm",
            "mpeg4": "avi",
            "libx264": "matroska",
            "ffv1": "matroska",
            "jpeg": "mjpeg",
        }[self.codec]

    @property
    def suffix(self) -> str:
        """Of a file name."""
        return {"mpeg": ".mpg", "matroska": ".mkv"}.get(self.container, f".{self.container}")

    def arguments(self, pixels: int) -> dict[str, str]:
        scaled = {}
        for key, value in self.options.items():
            is_rate = key in ("b:v", "maxrate", "bufsize")
            scaled[key] = (
                str(math.ceil(float(value) * pixels / CIF_PIXELS)) if is_rate else str(value)
            )
        return {"vcodec": self.codec, "f": self.container, **scaled}


@dataclass(frozen=True)
class Generation:
    """What a step did: for the record kept with every sequence."""

    codec: str
    argv: list[str]
    """FFmpeg's arguments after the program and before the file names."""
    bytes: int
    bits_per_pixel: float

    def record(self) -> dict[str, Any]:
        return {
            "codec": self.codec,
            "argv": self.argv,
            "bytes": self.bytes,
            "bits_per_pixel": round(self.bits_per_pixel, 5),
        }


def encode(luma: Codes, step: Step, target: Path, chroma: Codes | None = None) -> Generation:
    """Encodes (T, H, W) into the file `target`; H and W multiples of 16 suit every codec here. `chroma` (T, 2, H/2, W/2);
    None: neutral."""
    count, height, width = luma.shape
    source = ffmpeg.input("pipe:", f="rawvideo", pix_fmt="yuv420p", s=f"{width}x{height}", r=25)
    arguments = step.arguments(height * width)
    # Bit-exact: Matroska would otherwise carry a random number, and the same seed give other bytes.
    output = source.output(
        str(target), pix_fmt="yuv420p", threads=1, fflags="+bitexact", **arguments
    )
    _run(output.overwrite_output(), _raw(luma, chroma), f"encoding with {step.codec}")
    size = target.stat().st_size
    argv = [word for key, value in arguments.items() for word in (f"-{key}", value)]
    return Generation(step.codec, argv, size, size * 8 / (count * height * width))


def decode(path: Path, size: tuple[int, int]) -> Codes:
    """Every frame of a file of `size` (height, width), as (T, H, W) luma codes."""
    raw = _run(_as_luma(ffmpeg.input(str(path))), None, f"decoding {path.name}")
    return _luma(raw, size)


def decode_colour(path: Path, size: tuple[int, int]) -> tuple[Codes, Codes]:
    """Every frame of a file of `size` (height, width): (T, H, W) luma codes, (T, 2, H/2, W/2) chroma codes."""
    raw = _run(_as_luma(ffmpeg.input(str(path))), None, f"decoding {path.name}")
    height, width = size
    chroma = np.frombuffer(raw, np.uint8).reshape(-1, height * 3 // 2 * width)[:, height * width :]
    return _luma(raw, size), chroma.reshape(-1, 2, height // 2, width // 2)


def through_jpeg(grey: Codes, quality: int) -> tuple[Codes, list[bytes]]:
    """(each of (T, H, W) as a grey JPEG of `quality` shows it, the files). Codes 0 (black) to 255 (white)."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    files = [cv2.imencode(".jpg", frame, settings)[1] for frame in grey]
    shown = [cv2.imdecode(file, cv2.IMREAD_GRAYSCALE) for file in files]
    return np.array(shown, np.uint8), [file.tobytes() for file in files]


def jpeg(luma: Codes, step: Step) -> tuple[Codes, bytes, Generation]:
    """Limited-range luma (T, H, W) as JPEGs: (decoded, the files one after another, the record). A JPEG holds the full
    range, so codes are stretched before and rounded back after it."""
    quality = int(step.options["quality"])
    grey = np.clip(np.rint((luma.astype(np.float32) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
    shown, files = through_jpeg(grey, quality)
    decoded = np.rint(shown * np.float32(219 / 255) + 16).astype(np.uint8)
    stream = b"".join(files)
    bits = 8 * len(stream) / luma.size
    return decoded, stream, Generation("jpeg", ["-quality", str(quality)], len(stream), bits)


def denoise(luma: Codes, strength: float) -> Codes:
    """(T, H, W) through FFmpeg's hqdn3d; `strength` is its luma_spatial, 4 its default."""
    _, height, width = luma.shape
    source = ffmpeg.input("pipe:", f="rawvideo", pix_fmt="yuv420p", s=f"{width}x{height}", r=25)
    stream = source.filter("hqdn3d", luma_spatial=strength)
    return _luma(_run(_as_luma(stream), _raw(luma), "hqdn3d"), (height, width))


def read_clip(path: Path, scale: float, frames: int | None = None) -> Codes:
    """A clip's luma, limited range, scaled by `scale` (bicubic, anti-aliased) to an even size, (T, H, W); the first
    `frames` frames or all. TrainError if FFmpeg finds no video in it."""
    height, width = _size(path)
    size = 2 * round(height * scale / 2), 2 * round(width * scale / 2)
    stream = ffmpeg.input(str(path)).video
    if size != (height, width):
        stream = stream.filter(
            "scale", size[1], size[0], flags="bicubic+accurate_rnd+full_chroma_int"
        )
    limit = {} if frames is None else {"frames:v": frames}
    return _luma(_run(_as_luma(stream, **limit), None, f"reading {path.name}"), size)


def _raw(luma: Codes, chroma: Codes | None = None) -> bytes:
    """yuv420p; without `chroma` it is neutral."""
    neutral = b"\x80" * (luma.shape[1] * luma.shape[2] // 2)
    if chroma is None:
        return b"".join(frame.tobytes() + neutral for frame in luma)
    return b"".join(y.tobytes() + c.tobytes() for y, c in zip(luma, chroma, strict=True))


def _as_luma(stream: Any, **options: int) -> Any:
    # yuv420p, not gray: FFmpeg takes gray for full range and would stretch the codes.
    return stream.output(
        "pipe:", f="rawvideo", pix_fmt="yuv420p", fps_mode="passthrough", threads=1, **options
    )


def _size(path: Path) -> tuple[int, int]:
    """(height, width) of the first frame, turned as the file says: from the header of one frame as Y4M."""
    first = ffmpeg.input(str(path)).video.output(
        "pipe:", f="yuv4mpegpipe", pix_fmt="yuv420p", strict=-1, **{"frames:v": 1}
    )
    found = re.match(rb"YUV4MPEG2 W(\d+) H(\d+)", _run(first, None, f"{path}: looking for video"))
    if found is None:
        raise TrainError(f"{path}: expected a video that FFmpeg can read, found no frame in it")
    return int(found[2]), int(found[1])


def _luma(raw: bytes, size: tuple[int, int]) -> Codes:
    height, width = size
    frames = np.frombuffer(raw, np.uint8).reshape(-1, height * 3 // 2 * width)
    return frames[:, : height * width].reshape(-1, height, width)


def _run(output: Any, stdin: bytes | None, doing: str) -> bytes:
    program = imageio_ffmpeg.get_ffmpeg_exe()
    try:
        out, _ = output.global_args("-v", "error", "-nostdin").run(
            cmd=program, input=stdin, capture_stdout=True, capture_stderr=True
        )
    except ffmpeg.Error as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()[:3]
        # '[in#0 @ 0x5559faaecf00] ...': an address tells a user nothing.
        said = [re.sub(r"^\[[^]]* @ 0x[0-9a-f]+\] ", "", line) for line in lines]
        full = any(os.strerror(errno.ENOSPC) in line for line in said)
        kind = WriteError if full else TrainError
        why = " | ".join(said) or "it was stopped and said nothing"
        raise kind(f"{doing}: FFmpeg failed: {why}") from None
    return bytes(out)
