"""Damaged files, reproducible from a seed: whole short clips, and mutations of them.

A clip is the head of a real file, or a picture and a tone that the static FFmpeg encodes. Mutations are what
storage, copies and attackers do: flipped bits, overwritten, zeroed, lost, repeated and exchanged stretches, cut
ends, wrong header fields, the tail of another file, clocks that jump and packets out of order. They are mild enough that most results still hold a picture.
"""

from __future__ import annotations

import io
import random
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
from av.packet import Packet
from av.stream import Stream

HEAD = 300_000
"""Bytes taken of a real file."""
SUFFIXES = frozenset(
    {".rm", ".rmvb", ".avi", ".mpg", ".mpeg", ".dat", ".vob", ".ts", ".flv", ".wmv", ".mkv", ".mp4", ".mov"}
)  # fmt: skip

_X264 = ("-c:v", "libx264", "-preset", "veryfast")
_PCM = ("-c:a", "pcm_s16le")
_TWO = ("-map", "0:v", "-map", "1:a", "-map", "1:a")
_PAL = ("-s", "720x576", "-r", "25", "-frames:v", "6", "-t", "0.24")
"""What formats of broadcast want, whatever there is to see."""
GENERATED: dict[str, Sequence[str]] = {
    # Web
    "h264.flv": (*_X264, "-c:a", "aac"),
    "flv1.flv": ("-c:v", "flv", "-c:a", "libmp3lame"),
    "flashsv.flv": ("-c:v", "flashsv", "-c:a", "adpcm_swf"),
    "flv1.swf": ("-c:v", "flv", "-c:a", "libmp3lame"),
    "theora.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
    "theora_flac.ogv": ("-c:v", "libtheora", "-c:a", "flac"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"),
    "av1.webm": ("-c:v", "libaom-av1", "-cpu-used", "8", "-c:a", "libopus"),
    "vp8.ivf": ("-c:v", "libvpx", "-deadline", "realtime", "-an"),
    "vp9.ivf": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-an"),
    "av1.ivf": ("-c:v", "libaom-av1", "-cpu-used", "8", "-an"),
    "palette.gif": ("-an",),
    "animated.apng": ("-an", "-plays", "0"),
    # Telephones and cameras
    "h263.3gp": ("-c:v", "h263", "-s", "128x96", "-c:a", "libopencore_amrnb", "-ar", "8000"),
    "h264.3gp": (*_X264, "-c:a", "aac"),
    "frag.mp4": (*_X264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"),
    "texts.mp4": (*_X264, "-c:a", "aac", "-c:s", "mov_text", "-movflags", "+faststart"),
    "hevc.mov": ("-c:v", "libx265", "-x265-params", "log-level=none:pools=1", "-c:a", "alac"),
    "mjpeg.mov": ("-c:v", "mjpeg", *_PCM),
    "prores.mov": ("-c:v", "prores_ks", *_PCM, "-timecode", "01:00:00:00"),
    "mpeg4.m4v": ("-c:v", "mpeg4", "-bf", "2", "-an"),
    # Broadcast, discs
    "mpeg2.ts": ("-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"),
    "mpeg2_ac3.ts": ("-c:v", "mpeg2video", "-c:a", "ac3", "-ar", "32000"),
    "h264.ts": (*_X264, "-c:a", "aac"),
    "hevc_two.ts": ("-c:v", "libx265", "-x265-params", "log-level=none:pools=1", *_TWO, "-c:a:0", "libmp3lame", "-c:a:1", "ac3", "-ar:a:1", "48000"),
    "h264.m2ts": (*_X264, "-c:a", "ac3", "-ar", "48000", "-mpegts_m2ts_mode", "1", "-f", "mpegts"),
    "mpeg1.mpg": ("-c:v", "mpeg1video", "-r", "25", "-bf", "2", "-c:a", "mp2"),
    "mpeg2.vob": ("-c:v", "mpeg2video", "-r", "25", "-flags", "+ildct+ilme", "-c:a", "ac3", "-ar", "48000"),
    "mpeg2.mxf": ("-c:v", "mpeg2video", "-r", "25", *_PCM, "-ar", "48000"),
    "dnxhr.mxf": ("-c:v", "dnxhd", "-profile:v", "dnxhr_lb", "-s", "256x120", "-pix_fmt", "yuv422p", "-r", "25", "-frames:v", "6", "-t", "0.24", *_PCM, "-ar", "48000"),
    "mpeg2.gxf": ("-c:v", "mpeg2video", *_PAL, "-ac", "1", *_PCM, "-ar", "48000"),
    "mpeg2.wtv": ("-c:v", "mpeg2video", "-r", "25", "-c:a", "mp2", "-ar", "48000"),
    # Windows, the rest
    "wmv2.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "msmpeg4.asf": ("-c:v", "msmpeg4", "-c:a", "libmp3lame"),
    "h264.avi": (*_X264, "-bf", "0", "-c:a", "ac3", "-ar", "48000"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"),
    "rv10.rm": ("-c:v", "rv10", "-c:a", "ac3", "-ar", "44100"),
    "mpeg4.nut": ("-c:v", "mpeg4", "-bf", "2", "-c:a", "libvorbis"),
    "ffv1.nut": ("-c:v", "ffv1", *_PCM),
    "texts.mkv": (*_X264, "-c:a", "flac", "-c:s", "srt"),
    "styled.mkv": ("-c:v", "libvpx", "-deadline", "realtime", *_TWO, "-c:a", "libopus", "-c:s", "ass"),
    "webvtt.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus", "-c:s", "webvtt"),
    "ffvhuff.mkv": ("-c:v", "ffvhuff", "-c:a", "wavpack"),
    # Bare streams
    "jpeg.mjpeg": ("-c:v", "mjpeg", "-an"),
    "bare.h264": (*_X264, "-an"),
    "bare.hevc": ("-c:v", "libx265", "-x265-params", "log-level=none:pools=1", "-an"),
    "bare.m2v": ("-c:v", "mpeg2video", "-an"),
    "bare.m1v": ("-c:v", "mpeg1video", "-r", "25", "-an"),
    "bare.obu": ("-c:v", "libaom-av1", "-cpu-used", "8", "-an"),
    "plain.y4m": ("-pix_fmt", "yuv420p", "-frames:v", "10", "-an"),
}  # fmt: skip
"""Name to encoder options. Pictures are 64x48 at 12 a second, sound is 22.05 kHz mono, where nothing else is said."""
DELAYED = {
    "late.mp4": ("-itsoffset", "0.3"),
    "early.mkv": ("-itsoffset", "-0.25"),
    "late.ts": ("-itsoffset", "0.4"),
}
"""Name to what is said of the sound's input: it begins later or earlier than the picture."""
_TEXTS = """1
00:00:00,200 --> 00:00:00,900
One <i>line</i>

2
00:00:01,000 --> 00:00:01,400
and another
"""


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
    found += [
        _generated(work / name, (*_X264, "-c:a", "aac"), sound) for name, sound in DELAYED.items()
    ]
    for path in sorted(p for folder in folders for p in folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            found.append(Clip(path.name, _head(path, work)))
    return sorted(found, key=lambda clip: clip.name)


def _generated(path: Path, options: Sequence[str], sound: Sequence[str] = ()) -> Clip:
    if not path.exists():
        texts = path.with_name("texts.srt")
        texts.write_text(_TEXTS)
        sources = (
            *("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=12:duration=1.5"),
            *(*sound, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=22050:duration=1.5"),
            *(("-i", texts) if "-c:s" in options else ()),
        )
        if "-c:s" in options and "-map" in options:
            options = ("-map", "2:s", *options)
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
    kin = [c for c in all_clips if c.container == clip.container]
    chosen = rng.choices(MUTATIONS, _WEIGHTS, k=rng.choice((1, 1, 1, 2, 2, 3)))
    # A demuxer reads for these: not what others have damaged, whose harm belongs to the trial.
    chosen.sort(key=lambda mutation: mutation not in _BY_PACKET)
    data = clip.data
    for mutation in chosen:
        other = rng.choice(rng.choice((kin, all_clips)))
        data = mutation(data, rng, other.data) or data
    return clip, "+".join(mutation.__name__ for mutation in chosen), data


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


def jump(data: bytes, rng: random.Random, _: bytes) -> bytes:
    """The clock of one stream, or of all, jumps in the middle: by a frame, by hours, back to the start."""
    seconds = rng.choice((-1, 1)) * Fraction(int(10 ** rng.uniform(1, 8)), 1000)
    only = rng.choice((None, None, 0, 1))

    def change(packets: list[Packet[Stream]]) -> list[Packet[Stream]]:
        at = rng.randrange(len(packets))
        until = rng.choice((at + 1, at + 4, len(packets), len(packets)))
        for packet in packets[at:until]:
            if only is None or packet.stream_index == only:
                ticks = round(seconds / Fraction(packet.time_base))
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
        return packets

    return _remuxed(data, change)


def reorder(data: bytes, rng: random.Random, _: bytes) -> bytes:
    """Packets are lost, come twice, lose their end, or a run of them comes elsewhere."""

    def change(packets: list[Packet[Stream]]) -> list[Packet[Stream]]:
        first = rng.randrange(len(packets))
        end = first + 1 + int(2 ** rng.uniform(0, 4))
        run, rest = packets[first:end], packets[:first] + packets[end:]
        at = rng.randrange(len(rest) + 1)
        kind = rng.choice(("lost", "moved", "cut"))
        if kind == "cut":
            run = [_cut(packet, rng) for packet in run]
            at = first
        return rest if kind == "lost" else rest[:at] + run + rest[at:]

    return _remuxed(data, change)


def _cut(packet: Packet[Stream], rng: random.Random) -> Packet[Stream]:
    short: Packet[Stream] = Packet(bytes(packet)[: rng.randrange(1, packet.size + 1)])
    short.stream, short.time_base = packet.stream, packet.time_base
    short.pts, short.dts, short.duration = packet.pts, packet.dts, packet.duration
    return short


_OUTPUTS = {
    "mov,mp4,m4a,3gp,3g2,mj2": "mov",
    "matroska,webm": "matroska",
    "mpegvideo": "mpeg2video",
}


def _remuxed(data: bytes, change: Callable[[list[Packet[Stream]]], list[Packet[Stream]]]) -> bytes:
    """`data` with its packets changed, in a container of the same kind; as it is where FFmpeg cannot write that."""
    made = io.BytesIO()
    try:
        with av.open(io.BytesIO(data), metadata_encoding="latin-1") as file:
            name = _OUTPUTS.get(file.format.name, file.format.name)
            packets = change([p for p in file.demux() if p.size])
            with av.open(made, "w", format=name, container_options={"fflags": "+bitexact"}) as out:
                streams = {
                    s.index: out.add_stream_from_template(s, opaque=True)
                    for s in file.streams
                    if s.type in ("video", "audio", "subtitle")
                }
                for packet in packets:
                    if packet.stream_index not in streams:
                        continue
                    packet.stream = streams[packet.stream_index]
                    with suppress(av.FFmpegError):
                        out.mux_one(packet)
    except (av.FFmpegError, ValueError, OverflowError):
        return made.getvalue() or data
    return made.getvalue() or data


Mutation = Callable[[bytes, random.Random, bytes], bytes]
_WEIGHTED: dict[Mutation, int] = {
    flip: 5, overwrite: 3, zero: 3, truncate: 2, repeat: 2, remove: 2, exchange: 2, header_field: 5, splice: 4,
    jump: 4, reorder: 3,
}  # fmt: skip
MUTATIONS, _WEIGHTS = list(_WEIGHTED), list(_WEIGHTED.values())
_BY_PACKET = (jump, reorder)
