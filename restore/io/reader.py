"""Open a local media file and get every frame out of it, whatever is broken."""

from __future__ import annotations

import errno
import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import av
from av.codec.context import Flags
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from restore.errors import InputError
from restore.faults import cannot_read
from restore.io.source import Span
from restore.io.split import SplitFile

ReadFault = Literal["packet", "demux"]
"""packet: the decoder refused one; demux: the container is broken."""

Report = Callable[[ReadFault, int | None, str], None]
"""report(kind, pts, text): an error that was survived."""

MAX_STREAMS = 100
"""That hold packets; attached files, such as a film's fonts, are not counted."""
MAX_SIDE = 16384
MAX_PIXELS = 1 << 26
"""8192x8192: a decoder may hold 17 such frames, and a header of a few bytes makes it ask for them."""
OPEN_SECONDS = 120
"""For opening: a tape library or a disk that must wake up needs some, an index that leads in circles all."""
_DEMUX_RETRIES = 8
_HELD_FRAMES = 64
"""More than any decoder holds back: one that goes on refusing to be flushed is left alone."""

_NOT_VIDEO = frozenset({"tty", "data", "ffmetadata", "bin", "adf", "idf", "xbin", "svg_pipe"})
"""Demuxers that make pictures of text or of anything."""
_PROGRAMS = frozenset({"avisynth", "vapoursynth"})
"""Demuxers that run what the file says."""
_PLAYLISTS = frozenset({"concat", "applehttp", "dash", "sdp", "imf"})
"""Demuxers that open whatever other file or address the file names. Devices, hls, rtsp and image2, for which
'%d' in a name means other files, are known by needing no file of their own."""
_COMPANIONS = frozenset({"vobsub", "mlv"})
"""Demuxers that open a file beside this one by its name (.sub, .M00)."""


def open_input(path: Path, *more: Path, card: HWAccel | None = None) -> InputContainer:
    """The container at `path`, which goes on in `more` if it was split, its video decoded by `card` where that can. Metadata is latin-1: one character a
    byte, so that no text can fail (see restore.io.text). No other file is ever opened. Raises InputError."""
    for file in (path, *more):
        _check_file(file)
    try:
        container = av.open(
            # Absolute, so that no name is taken for a protocol ('concat:a|b').
            SplitFile((path, *more)) if more else str(path.resolve()),
            "r",
            # For its name FFmpeg would take image2, which is not let in.
            format="jpeg_pipe" if _is_jpeg(path) else None,
            metadata_encoding="latin-1",
            # For the decoders that are tried while opening.
            options={"max_pixels": str(MAX_PIXELS)},
            container_options={"protocol_whitelist": "file", "format_whitelist": _formats()},
            timeout=(OPEN_SECONDS, None),
            hwaccel=card,
        )
    except av.ExitError as error:
        raise InputError(
            f"{path}: expected a video that opens within {OPEN_SECONDS} s, gave up; "
            f"try a copy on a faster disk, or another copy of the file"
        ) from error
    except (av.FFmpegError, ValueError) as error:
        _check_memory(error)
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
            raise cannot_read(path, error) from error
        raise InputError(
            f"{path}: expected a video file, but no known format fits it ({_reason(error)}); "
            f"a playlist or a link is not followed: try the media file itself"
        ) from error
    count = sum(stream.type != "attachment" for stream in container.streams)
    if count > MAX_STREAMS:
        container.close()
        raise InputError(f"{path}: expected at most {MAX_STREAMS} streams, found {count}")
    return container


def _check_file(path: Path) -> None:
    try:
        _check_kind(path)
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise cannot_read(path, error) from error


def _is_jpeg(path: Path) -> bool:
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return False
    with path.open("rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


def _check_kind(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: expected a video file, found a folder; try one file in it")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise InputError(f"{path}: only local files are read; try downloading it first")
    if not path.exists():
        near = "" if path.parent.is_dir() else f" (there is no folder {path.parent} either)"
        raise InputError(f"{path}: no such file{near}; check the name")
    if not path.is_file():
        raise InputError(f"{path}: expected a regular file; try a copy on disk")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; try another copy of it")


@cache
def _formats() -> str:
    """Every demuxer but those that open what is not this file, run programs or take text for pictures."""
    formats = {name: av.ContainerFormat(name) for name in av.formats_available}
    known = {name for name, f in formats.items() if f.is_input and not f.no_file}
    return ",".join(sorted(known - _NOT_VIDEO - _PROGRAMS - _PLAYLISTS - _COMPANIONS))


def codec_name(stream: Stream) -> str:
    """The codec's name, not its decoder's ('mp3', not 'mp3float')."""
    context = stream.codec_context
    return context.codec.canonical_name if context else "unknown"


_LEAST_MEMORY = 64 << 20
"""Bytes; a decoder that is refused less than this is refused what it needs."""


def frames_of(
    container: InputContainer, stream: VideoStream, report: Report
) -> Iterator[av.VideoFrame]:
    """Every frame the decoder gives, in display order. Errors are reported and survived; the decoder is
    flushed at the end, whatever the end was: the last frames of a cut file come out only then."""
    context = stream.codec_context
    # One thread: with frame threads, what a damaged stream decodes to depends on their timing.
    if not context.is_open:
        context.thread_count = 1
        # Without it FFmpeg cuts a picture's left side off in steps of 16 samples or more.
        context.flags |= Flags.unaligned
        context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
    for packet in packets_of(container, [stream], report):
        if packet.size == 0:  # the demuxer's own flush; ours is below
            continue
        try:
            yield from context.decode(packet)
        except av.FFmpegError as error:
            _check_memory(error)
            report("packet", packet.pts if packet.pts is not None else packet.dts, _reason(error))
    for _ in range(_HELD_FRAMES):
        try:
            yield from context.decode(None)
        except av.EOFError:
            return
        except av.FFmpegError as error:
            _check_memory(error)
            report("packet", None, _reason(error))
        else:
            return


def packets_of(
    container: InputContainer, streams: Sequence[Stream], report: Report
) -> Iterator[Packet[Stream]]:
    """Packets of `streams` in file order. After an error the demuxer is asked again, as long as it
    gets on."""
    failures = 0
    while failures < _DEMUX_RETRIES:
        try:
            for packet in container.demux(*streams):
                failures = 0
                if packet.is_corrupt:
                    report("demux", packet.pts, "a packet is cut short, or parts of it are lost")
                yield packet
        except av.FFmpegError as error:
            _check_memory(error)
            failures += 1
            if failures == 1:
                report("demux", None, _reason(error))
        except IndexError:
            # A damaged transport stream grew streams on the way; PyAV trips over them at the end.
            return
        else:
            return


def _check_memory(error: Exception) -> None:
    """Damage can ask for absurd amounts of memory, and is survived; raises `error` where there is none left for
    anything: what was lost then was not damaged."""
    if isinstance(error, MemoryError):
        try:
            mmap.mmap(-1, _LEAST_MEMORY).close()
        except OSError:
            raise error from None


def frame_time(frame: av.AudioFrame) -> Fraction | None:
    """Seconds on the stream's clock; None: the frame has no time."""
    if frame.pts is None or frame.time_base is None:
        return None
    return frame.pts * Fraction(frame.time_base)


LATEST = 10**10
"""Seconds, three centuries: some cameras count from 1970. A time beyond is a number that was damaged."""


def believable(ticks: int | None, time_base: Fraction | None) -> int | None:
    """The time, where it can be one at all."""
    return None if ticks is None or abs(ticks * Fraction(time_base or 1)) > LATEST else ticks


def begins_inside(packet: Packet[Any], span: Span, offset: Fraction = Fraction(0)) -> bool:
    """Whether a packet's time, `offset` seconds added, lies in `span`; one without a time does not."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    return stamp is not None and span.holds(stamp * Fraction(packet.time_base) + offset)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
