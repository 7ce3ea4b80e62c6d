"""Write the display size, the usual frame duration and the codec of Windows Media sound into a finished Matroska file.

FFmpeg's muxer takes both from fields that PyAV cannot set, and writes 'display unit unknown' and a
duration of one tick ('1000 frames/s') instead. H.264 and HEVC also carry the aspect
ratio in their own headers, AV1 and FFV1 do not, and many players look only at the container. So join leaves
PLACEHOLDER in the track's name, and here its bytes become DisplayWidth, DisplayHeight and DefaultDuration
(elements of RFC 9559): no byte after them moves.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from fractions import Fraction
from typing import BinaryIO

from restore.errors import OutputError
from restore.io import wma
from restore.io.ebml import (
    CRC,
    SEGMENT,
    TRACK,
    TRACKS,
    Element,
    children,
    element,
    filled,
    head,
    serialised,
    unsigned,
)

PLACEHOLDER = "display size and duration are written here"
"""Longer than three elements with numbers of eight bytes."""

_NAME, _VIDEO = 0x536E, 0xE0
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xB0, 0xBA
_CODEC, _PRIVATE = 0x86, 0x63A2
_DEFAULT_DURATION = 0x23E383
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2


def finish_header(file: BinaryIO, sample_aspect: Fraction, duration: Fraction) -> None:
    """Turn the placeholder in `file` into the display size and a frame's usual `duration` in seconds.
    Raises OutputError if it is not there, or the display size has no room."""
    nanoseconds = round(duration * 10**9)

    def patched(track: bytes) -> bytes:
        if PLACEHOLDER.encode() in track:
            return _patched_track(track, sample_aspect, nanoseconds)
        return _named_sound(track)

    if not _rewrite(file, patched, PLACEHOLDER.encode()):
        raise OutputError("the header of the Matroska track is not as expected; please report this")


def name_sound(file: BinaryIO) -> None:
    """Give tracks of Windows Media sound (see restore.io.wma) their codec, as `finish_header` does."""
    _rewrite(file, _named_sound, wma.PLACEHOLDER)


def display_size(width: int, height: int, sample_aspect: Fraction) -> tuple[int, int]:
    """The smallest size in square samples that has exactly the shape of the picture, and neither of whose sides is
    shorter: the longer way is stretched, and where that makes no whole samples, both are. OutputError where that takes
    more than 32 bits."""
    shape = Fraction(width, height) * sample_aspect
    times = max(-(-width // shape.numerator), -(-height // shape.denominator))
    shown = shape.numerator * times, shape.denominator * times
    if max(shown) >= 1 << 32:
        raise OutputError(
            f"Matroska cannot hold {width}x{height} samples with a sample aspect ratio of {sample_aspect}; "
            f"try [input] sample_aspect or square_pixels"
        )
    return shown


def _rewrite(file: BinaryIO, patch: Callable[[bytes], bytes], wanted: bytes) -> bool:
    """Put `patch` of each track in its place; False, and nothing written, where the header is not as expected or
    there is no track with `wanted` in it."""
    file.seek(0)
    start = file.read(1 << 20)
    try:
        at, size = _find_tracks(start)
        tracks = start[at : at + size]
        if wanted not in tracks:
            return False
        patched = _patched_tracks(tracks, patch)
    except ValueError:
        return False
    if len(patched) != size:
        return False
    file.seek(at)
    file.write(patched)
    return True


def _find_tracks(start: bytes) -> tuple[int, int]:
    """(position, length) of the content of the Tracks element. ValueError where there is none."""
    at = 0
    while True:
        kind, size, begin = head(start, at)
        if kind == TRACKS and size is not None:
            return begin, size
        at = begin if kind == SEGMENT else begin + (size or 0)


def _patched_tracks(tracks: bytes, patch: Callable[[bytes], bytes]) -> bytes:
    """The same with each track patched, the checksum made anew."""
    body = b""
    summed = False
    for kind, content in children(tracks):
        if kind == CRC:
            summed = True
            continue
        if kind == TRACK:
            content = patch(content)
        # FFmpeg reserves eight bytes for the size of a track.
        body += element(kind, content, 8 if kind == TRACK else None)
    if not summed:  # WebM has no checksums
        return body
    return element(CRC, zlib.crc32(body).to_bytes(4, "little")) + body


def _named_sound(track: bytes) -> bytes:
    elements = list(children(track))
    known = dict(elements)
    if known.get(_CODEC) != wma.PLACEHOLDER or not wma.is_record(known.get(_PRIVATE, b"")):
        return track
    named = [(k, wma.NAME if k == _CODEC else c) for k, c in elements]
    return filled(serialised(named), len(track))


def _patched_track(track: bytes, sample_aspect: Fraction, nanoseconds: int) -> bytes:
    elements: list[Element] = []
    for kind, content in children(track):
        if kind == _NAME:
            content = content.removesuffix(PLACEHOLDER.encode())
            if not content:
                continue
        if kind == _DEFAULT_DURATION:
            continue
        if kind == _VIDEO:
            if 0 < nanoseconds < 1 << 64:
                elements.append((_DEFAULT_DURATION, unsigned(nanoseconds)))
            content = _sized_picture(content, sample_aspect)
        elements.append((kind, content))
    return filled(serialised(elements), len(track))


def _sized_picture(video: bytes, sample_aspect: Fraction) -> bytes:
    """The Video element with a display size that has exactly the picture's shape."""
    elements = [(k, c) for k, c in children(video) if k != _DISPLAY_UNIT]
    known = dict(elements)
    width, height = (int.from_bytes(known[k], "big") for k in (_PIXEL_WIDTH, _PIXEL_HEIGHT))
    shown = display_size(width, height, sample_aspect)
    at = [k for k, _ in elements].index(_PIXEL_HEIGHT) + 1
    elements[at:at] = [
        (kind, unsigned(side))
        for kind, side in zip((_DISPLAY_WIDTH, _DISPLAY_HEIGHT), shown, strict=True)
    ]
    return serialised(elements)
