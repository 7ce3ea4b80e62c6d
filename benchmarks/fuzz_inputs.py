"""Damaged files, reproducible from a seed: whole short clips, and mutations of them.

A clip is the head of a real file, or a picture and a tone that the static FFmpeg encodes. Mutations are what
storage, copies and attackers do: flipped bits, overwritten, zeroed, lost, repeated and exchanged stretches, cut
ends, wrong header fields, and the tail of another file. They are mild enough that most results still hold a picture.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

HEAD = 300_000
"""Bytes taken of a real file."""
SUFFIXES = frozenset(
    {".rm", ".rmvb", ".avi", ".mpg", ".mpeg", ".dat", ".vob", ".ts", ".flv", ".wmv", ".mkv", ".mp4", ".mov"}
)  # fmt: skip

_QUIET = ("-c:a", "pcm_s16le")
GENERATED: dict[str, Sequence[str]] = {
    "mpeg1.mpg": ("-c:v", "mpeg1video", "-c:a", "mp2"),
    "vcd.dat": ("-c:v", "mpeg1video", "-c:a", "mp2", "-f", "vcd"),
    "mpeg2.vob": ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-c:a", "ac3"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"),
    "msmpeg4.avi": ("-c:v", "msmpeg4", *_QUIET),
    "mjpeg.avi": ("-c:v", "mjpeg", *_QUIET),
    "huffyuv.avi": ("-c:v", "huffyuv", *_QUIET),
    "cinepak.avi": ("-c:v", "cinepak", *_QUIET),
    "rv10.rm": ("-c:v", "rv10", "-c:a", "ac3"),
    "rv20.rm": ("-c:v", "rv20", "-c:a", "real_144", "-ar", "8000", "-ac", "1"),
    "h264.mkv": ("-c:v", "libx264", "-c:a", "aac"),
    "ffv1.mkv": ("-c:v", "ffv1", "-level", "3", "-c:a", "flac"),
    "hevc.mp4": ("-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "aac"),
    "mpeg4.mp4": ("-c:v", "mpeg4", "-c:a", "aac", "-movflags", "+faststart"),
    "prores.mov": ("-c:v", "prores", *_QUIET, "-movflags", "+faststart"),
    "svq1.mov": ("-c:v", "svq1", *_QUIET, "-movflags", "+faststart"),
    "qtrle.mov": ("-c:v", "qtrle", *_QUIET),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "h264.ts": ("-c:v", "libx264", "-c:a", "aac"),
    "flv1.flv": ("-c:v", "flv", "-c:a", "libmp3lame"),
    "wmv2.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "theora.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"),
    "h263.3gp": ("-c:v", "h263", "-s", "128x96", "-c:a", "aac"),
    "jpeg.mjpeg": ("-c:v", "mjpeg", "-an"),
    "mpeg4.nut": ("-c:v", "mpeg4", "-c:a", "mp2"),
    "mpeg2.mxf": ("-c:v", "mpeg2video", *_QUIET, "-ar", "48000"),
    "dv.dv": ("-c:v", "dvvideo", "-s", "720x576", "-pix_fmt", "yuv420p", "-t", "0.12", "-ar", "48000", "-ac", "2"),
    "plain.y4m": ("-pix_fmt", "yuv420p", "-frames:v", "6", "-an"),
    "palette.gif": ("-an",),
    "animated.apng": ("-an", "-frames:v", "6"),
    "annexb.h264": ("-c:v", "libx264", "-an"),
    "screen.swf": ("-c:v", "flv", "-c:a", "libmp3lame", "-ar", "44100"),
}  # fmt: skip
"""Name to encoder options."""


@dataclass(frozen=True, slots=True)
class Clip:
    """An undamaged beginning."""

    name: str
    data: bytes

    @property
    def container(self) -> str:
        """As files of its kind are called, without the dot."""
        return Path(self.name).suffix.removeprefix(".")


def clips(folders: Sequence[Path], work: Path) -> list[Clip]:
    """All generated clips and the head of every video in `folders`, sorted by name; `work` holds them."""
    work.mkdir(parents=True, exist_ok=True)
    found = [_generated(work / name, options) for name, options in GENERATED.items()]
    for path in sorted(p for folder in folders for p in folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            found.append(Clip(path.name, _head(path, work)))
    return sorted(found, key=lambda clip: clip.name)


def _generated(path: Path, options: Sequence[str]) -> Clip:
    if not path.exists():
        sources = (
            *("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=0.6"),
            *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=0.6"),
        )
        _ffmpeg(*sources, "-g", "6", "-threads", "1", "-fflags", "+bitexact", *options, path)
    return Clip(path.name, path.read_bytes())


def _head(path: Path, work: Path) -> bytes:
    """The first bytes as they are; of MP4, whose index may lie at the end, the first frames."""
    if path.suffix.lower() not in (".mp4", ".mov"):
        with path.open("rb") as file:
            return file.read(HEAD)
    short = work / f"head-{path.name}"
    if not short.exists():
        _ffmpeg("-i", path, "-t", "1", "-c", "copy", "-movflags", "+faststart", short)
    return short.read_bytes()


def _ffmpeg(*arguments: str | Path) -> None:
    """The last argument is the file to make: it appears only when it is whole."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]
    target = Path(arguments[-1])
    part = target.with_name(f"part-{target.name}")
    subprocess.run([*command, *map(str, arguments[:-1]), str(part)], check=True)
    part.rename(target)


def mutated(all_clips: Sequence[Clip], seed: int, number: int) -> tuple[Clip, str, bytes]:
    """Input `number` of the series `seed`: (its clip, the mutations' names, the damaged bytes)."""
    rng = random.Random(f"{seed}:{number}")
    clip = all_clips[number % len(all_clips)]
    data, names = clip.data, []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        mutation = rng.choices(MUTATIONS, _WEIGHTS)[0]
        names.append(mutation.__name__)
        data = mutation(data, rng, rng.choice(all_clips).data) or data
    return clip, "+".join(names), data


def _stretch(size: int, rng: random.Random, most: int) -> tuple[int, int]:
    """(first, end) of a part of at most `most` bytes; all lengths' magnitudes are equally frequent."""
    length = min(size, int(2 ** rng.uniform(0, most.bit_length() - 1)))
    first = rng.randrange(size - length + 1)
    return first, first + length


def flip(data: bytes, rng: random.Random, _: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(int(2 ** rng.uniform(0, 6))):
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def overwrite(data: bytes, rng: random.Random, _: bytes) -> bytes:
    first, end = _stretch(len(data), rng, 1024)
    return data[:first] + rng.randbytes(end - first) + data[end:]


def zero(data: bytes, rng: random.Random, _: bytes) -> bytes:
    first, end = _stretch(len(data), rng, 8192)
    return data[:first] + bytes(end - first) + data[end:]


def truncate(data: bytes, rng: random.Random, _: bytes) -> bytes:
    return data[: rng.randrange(len(data) // 8, len(data)) + 1]


def repeat(data: bytes, rng: random.Random, _: bytes) -> bytes:
    first, end = _stretch(len(data), rng, 16384)
    return data[:end] + data[first:]


def remove(data: bytes, rng: random.Random, _: bytes) -> bytes:
    first, end = _stretch(len(data), rng, 16384)
    return data[:first] + data[end:]


def exchange(data: bytes, rng: random.Random, _: bytes) -> bytes:
    length = min(len(data) // 2, int(2 ** rng.uniform(0, 12)))
    a = rng.randrange(len(data) - 2 * length + 1)
    b = rng.randrange(a + length, len(data) - length + 1)
    return data[:a] + data[b : b + length] + data[a + length : b] + data[a : a + length] + data[b + length :]  # fmt: skip


_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def header_field(data: bytes, rng: random.Random, _: bytes) -> bytes:
    """A number near the start becomes one at which arithmetic breaks."""
    width = rng.choice((1, 2, 4, 4, 8))
    at = rng.randrange(min(len(data), int(2 ** rng.uniform(6, 12))))
    number = rng.choice((*_EXTREMES, rng.getrandbits(8 * width))) & ((1 << 8 * width) - 1)
    return data[:at] + number.to_bytes(width, rng.choice(("big", "little"))) + data[at + width :]


def splice(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """This file's beginning, the other's end."""
    return data[: rng.randrange(len(data) // 8, len(data)) + 1] + other[rng.randrange(len(other)) :]


Mutation = Callable[[bytes, random.Random, bytes], bytes]
_WEIGHTED: dict[Mutation, int] = {
    flip: 5, overwrite: 3, zero: 3, truncate: 2, repeat: 2, remove: 2, exchange: 2, header_field: 5, splice: 1,
}  # fmt: skip
MUTATIONS, _WEIGHTS = list(_WEIGHTED), list(_WEIGHTED.values())
