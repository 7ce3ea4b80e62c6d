"""Write the display size, the usual frame duration and the codec of Windows Media sound into a finished Matroska file.

FFmpeg's muxer takes both from fields that PyAV cannot set, and writes 'display unit unknown' and a
duration of one tick ('1000 frames/s') instead. H.264 and HEVC also carry the aspect
ratio in their own headers, AV1 and FFV1 do not, and many players look only at the container. So join leaves
PLACEHOLDER in the track's name, and here its bytes become DisplayWidth, DisplayHeight and DefaultDuration
(elements of RFC 9559): no byte after them moves.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from restore.errors import OutputError
from restore.io import wma

PLACEHOLDER = "display size and duration"

_HEADER, _SEGMENT, _TRACKS, _TRACK = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE
_NAME, _VIDEO, _VOID, _CRC = 0x536E, 0xE0, 0xEC, 0xBF
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xB0, 0xBA
_CODEC, _PRIVATE = 0x86, 0x63A2
_DEFAULT_DURATION = 0x23E383
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2

Element = tuple[int, bytes]
"""(id, content)."""


def finish_header(path: Path, sample_aspect: Fraction, duration: Fraction) -> None:
    """Turn the placeholder in `path` into the display size and a frame's usual `duration` in seconds.
    Raises OutputError if it is not there."""
    nanoseconds = round(duration * 10**9)

    def patched(track: bytes) -> bytes:
        if PLACEHOLDER.encode() in track:
            return _patched_track(track, sample_aspect, nanoseconds)
        return _named_sound(track)

    with path.open("r+b") as file:
        if not _rewrite(file, patched, PLACEHOLDER.encode()):
            raise OutputError(f"{path}: the track header is not as expected; please report this")


def name_sound(file: BinaryIO) -> None:
    """Give tracks of Windows Media sound (see restore.io.wma) their codec, as `finish_header` does."""
    _rewrite(file, _named_sound, wma.PLACEHOLDER)


def _rewrite(file: BinaryIO, patch: Callable[[bytes], bytes], wanted: bytes) -> bool:
    """Put `patch` of each track in its place; False, and nothing written, where the header is not as expected or
    there is no track with `wanted` in it."""
    file.seek(0)
    head = file.read(1 << 20)
    at, size = _find_tracks(head)
    tracks = head[at : at + size]
    if wanted not in tracks:
        return False
    patched = _patched_tracks(tracks, patch)
    if len(patched) != size:
        return False
    file.seek(at)
    file.write(patched)
    return True


def _find_tracks(head: bytes) -> tuple[int, int]:
    """(position, length) of the content of the Tracks element."""
    at = 0
    while at < len(head) - 12:
        kind, begin = _number(head, at, keep_marker=True)
        size, begin = _number(head, begin)
        if kind == _TRACKS:
            return begin, size
        at = begin if kind == _SEGMENT else begin + size
    return 0, 0


def _patched_tracks(tracks: bytes, patch: Callable[[bytes], bytes]) -> bytes:
    """The same with each track patched, the checksum made anew."""
    body = b""
    summed = False
    for kind, content in _children(tracks):
        if kind == _CRC:
            summed = True
            continue
        if kind == _TRACK:
            content = patch(content)
        # FFmpeg reserves eight bytes for the size of a track.
        body += _element(kind, content, 8 if kind == _TRACK else None)
    if not summed:  # WebM has no checksums
        return body
    return _element(_CRC, zlib.crc32(body).to_bytes(4, "little")) + body


def _named_sound(track: bytes) -> bytes:
    elements = list(_children(track))
    known = dict(elements)
    if known.get(_CODEC) != wma.PLACEHOLDER or not wma.is_record(known.get(_PRIVATE, b"")):
        return track
    named = [(k, wma.NAME if k == _CODEC else c) for k, c in elements]
    return _filled(_serialised(named), len(track))


def _patched_track(track: bytes, sample_aspect: Fraction, nanoseconds: int) -> bytes:
    elements: list[Element] = []
    for kind, content in _children(track):
        if kind == _NAME:
            content = content.removesuffix(PLACEHOLDER.encode())
            if not content:
                continue
        if kind == _DEFAULT_DURATION:
            continue
        if kind == _VIDEO:
            elements.append((_DEFAULT_DURATION, nanoseconds.to_bytes(5, "big")))
            content = _sized_picture(content, sample_aspect)
        elements.append((kind, content))
    return _filled(_serialised(elements), len(track))


def _sized_picture(video: bytes, sample_aspect: Fraction) -> bytes:
    """The Video element with a display size in square pixels; the longer way is stretched."""
    elements = [(k, c) for k, c in _children(video) if k != _DISPLAY_UNIT]
    known = dict(elements)
    width = int.from_bytes(known[_PIXEL_WIDTH], "big")
    height = int.from_bytes(known[_PIXEL_HEIGHT], "big")
    if sample_aspect >= 1:
        width = round(width * sample_aspect)
    else:
        height = round(height / sample_aspect)
    at = [k for k, _ in elements].index(_PIXEL_HEIGHT) + 1
    elements[at:at] = [
        (_DISPLAY_WIDTH, width.to_bytes(3, "big")),
        (_DISPLAY_HEIGHT, height.to_bytes(3, "big")),
    ]
    return _serialised(elements)


def _filled(content: bytes, length: int) -> bytes:
    """`content` and a Void element, `length` bytes together."""
    spare = length - len(content)
    if spare == 0:
        return content
    return content + (_element(_VOID, bytes(spare - 2)) if 2 <= spare < 128 else b"")


def _children(content: bytes) -> Iterable[Element]:
    at = 0
    while at < len(content):
        kind, at = _number(content, at, keep_marker=True)
        size, at = _number(content, at)
        yield kind, content[at : at + size]
        at += size


def _number(data: bytes, at: int, keep_marker: bool = False) -> tuple[int, int]:
    """(EBML variable-length integer, position after it): RFC 8794, 4."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep_marker else value & ~(1 << 7 * length)), at + length


def _serialised(elements: Iterable[Element]) -> bytes:
    return b"".join(_element(kind, content) for kind, content in elements)


def _element(kind: int, content: bytes, size_bytes: int | None = None) -> bytes:
    length = size_bytes or next(n for n in range(1, 9) if len(content) < (1 << 7 * n) - 1)
    size = (len(content) | 1 << 7 * length).to_bytes(length, "big")
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + size + content
