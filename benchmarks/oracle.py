"""What a media file holds, by the static FFmpeg alone: nothing here comes from restore.

The program decodes; its showinfo, ashowinfo and framehash lines are read. It may think differently from PyAV's
libraries, which is the point.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@dataclass(frozen=True)
class Picture:
    """The first moving picture of a file."""

    times: list[Fraction]
    """Seconds on the container's clock, in display order, as decoded."""
    size: str = ""
    sar: str = ""
    pixel_format: str = ""
    tags: str = ""
    """range/matrix/primaries/transfer/siting of the first frame."""
    types: str = ""


@dataclass(frozen=True)
class Sound:
    """One audio stream."""

    start: Fraction | None
    """Seconds of the first decoded sample."""
    samples: int
    rate: int


@dataclass(frozen=True)
class File:
    picture: Picture
    sounds: list[Sound]
    streams: list[str]
    """Kind and codec of each stream, in order: 'video h264', 'audio cook (eng)'."""
    chapters: int
    warnings: list[str] = field(default_factory=list)


def run(*arguments: str | Path, level: str = "info") -> str:
    """The program's standard error."""
    command = [FFMPEG, "-hide_banner", "-nostdin", "-v", level, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stderr.decode("utf-8", "replace")


def read(path: Path) -> File:
    """Everything about `path`; decodes it several times."""
    head = run("-i", path)
    streams = [
        f"{kind.lower()} {codec}{lang or ''}"
        for lang, kind, codec in re.findall(
            r"Stream #0:\d+(?:\[0x[0-9a-f]+\])?(\(\w+\))?: (\w+): (\w+)", head
        )
    ]
    sounds = sum(s.startswith("audio") for s in streams)
    return File(
        picture(path),
        [sound(path, n) for n in range(sounds)],
        streams,
        len(re.findall(r"Chapter #0:\d+", head)),
        warnings(path),
    )


def picture(path: Path) -> Picture:
    text = run(
        *("-copyts", "-i", path, "-map", "0:V:0", "-vf", "showinfo"),
        *("-fps_mode", "passthrough", "-f", "null", "-"),
    )
    base = re.search(r"config in time_base: (\d+)/(\d+)", text)
    lines = re.findall(r"\] n: *\d+ pts: *(-?\d+|NOPTS) .*", text)
    first = re.search(r"\] n: *0 pts:.* fmt:(\w+)(?: cl:(\w+))? sar:([\d/]+) s:(\d+x\d+)", text)
    if base is None or first is None:
        return Picture([])
    tick = Fraction(int(base[1]), int(base[2]))
    color = re.search(
        r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)", text
    )
    tags = "/".join([*(color.groups() if color else ()), first[2] or "-"])
    types = "".join(re.findall(r"\] n: *\d+ pts:.* type:(\S)", text))
    times = [Fraction(-1) if t == "NOPTS" else int(t) * tick for t in lines]
    return Picture(times, first[4], first[3], first[1], tags, types)


def sound(path: Path, number: int) -> Sound:
    text = run(
        "-copyts", "-i", path, "-map", f"0:a:{number}", "-af", "ashowinfo", "-f", "null", "-"
    )
    found = re.findall(r"\] n:\d+ pts:(-?\d+|NOPTS) .*? rate:(\d+) nb_samples:(\d+)", text)
    if not found:
        return Sound(None, 0, 1)
    rate = int(found[0][1])
    start = None if found[0][0] == "NOPTS" else Fraction(int(found[0][0]), rate)
    return Sound(start, sum(int(n) for _, _, n in found), rate)


def samples(path: Path, number: int, seconds: int = 30) -> npt.NDArray[np.float32]:
    """The first seconds of a sound, mixed to one channel, at its own rate."""
    command = [
        FFMPEG, "-v", "quiet", "-nostdin", "-i", str(path), "-map", f"0:a:{number}", "-t", str(seconds),
        "-ac", "1", "-f", "f32le", "-",
    ]  # fmt: skip
    return np.frombuffer(
        subprocess.run(command, capture_output=True, check=False).stdout, np.float32
    )


def lag(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], expected: int, reach: int) -> int:
    """By how many samples `b` holds the same sound later than `a`: the shift of the highest correlation, at most
    `reach` from `expected`; `expected` itself where nothing fits clearly better (silence, a steady tone)."""
    size = 1 << int(np.ceil(np.log2(len(a) + len(b))))
    product = np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size))
    correlation = np.fft.irfft(product, size)
    shifts = np.arange(expected - reach, expected + reach + 1)
    found = correlation[shifts % size]
    best = int(shifts[int(np.argmax(found))])
    clearly = found.max() - correlation[expected % size] > 1e-3 * abs(found.max())
    return best if clearly else expected


def warnings(path: Path) -> list[str]:
    """What the program complains of while it decodes every stream."""
    # In the stream's own ticks: at a nominal rate, frames of variable rate would fall together.
    keep = ("-fps_mode", "passthrough", "-enc_time_base:v", "demux")
    text = run(
        "-i", path, "-map", "0:V?", "-map", "0:a?", *keep, "-f", "null", "-", level="warning"
    )
    # Microsoft's record of a sound (WAVEFORMATEX) knows a number of channels only.
    known = "Guessed Channel Layout"
    return [line for line in text.splitlines() if line.strip() and known not in line]


def hashes(path: Path, pixel_format: str, filters: str = "null") -> list[str]:
    """MD5 of every decoded frame's samples in `pixel_format`. On one thread: what FFmpeg makes of a damaged RealVideo
    frame differs from run to run otherwise."""
    command = [
        FFMPEG, "-v", "quiet", "-nostdin", "-threads", "1", "-i", str(path), "-map", "0:V:0", "-vf", filters,
        "-pix_fmt", pixel_format, "-fps_mode", "passthrough", "-f", "framehash", "-hash", "md5", "-",
    ]  # fmt: skip
    text = subprocess.run(command, capture_output=True, check=False, text=True).stdout
    return [line.split(",")[-1].strip() for line in text.splitlines() if not line.startswith("#")]
