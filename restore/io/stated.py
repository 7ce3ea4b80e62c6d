"""What a container asks players to cut off the decoded picture: PyAV shows neither Matroska's PixelCrop nor
QuickTime's clean aperture, so the headers are read here. Nothing in them is taken on trust."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from restore.io.containers import is_matroska
from restore.io.ebml import SEGMENT, TRACK, TRACKS, children, head
from restore.io.geometry import Crop

_MOST_HEADER = 1 << 26
"""Bytes of a header that are read: a film of hours has a few million."""
_MOST_ELEMENTS = 100_000
"""Elements or atoms that are looked at on one level."""

_TYPE, _VIDEO = 0x83, 0xE0
_SIDES = (0x54CC, 0x54BB, 0x54DD, 0x54AA)
"""PixelCropLeft, Top, Right and Bottom (RFC 9559, 5.1.4.1.28)."""


def container_crop(
    path: Path, formats: str, number: int, track: int, size: tuple[int, int]
) -> Crop:
    """What the container at `path` cuts off the pictures, (width, height) = `size`, of its video `number` (from 0), whose
    track has the id `track`; nothing where it says nothing, or what cannot be. `formats`: FFmpeg's name of it."""
    try:
        with path.open("rb") as file:
            if any(is_matroska(name) for name in formats.split(",")):
                crop = _pixel_crop(file, number)
            elif "mov" in formats.split(","):
                crop = _clean_aperture(file, track, size)
            else:
                return Crop()
    except (ValueError, OSError):
        return Crop()
    sides = (crop.left, crop.top, crop.right, crop.bottom)
    fits = crop.left + crop.right < size[0] and crop.top + crop.bottom < size[1]
    return crop if min(sides) >= 0 and fits else Crop()


def _pixel_crop(file: BinaryIO, number: int) -> Crop:
    videos = [e for e in _tracks(file) if int.from_bytes(e.get(_TYPE, b""), "big") == 1]
    if number >= len(videos):
        return Crop()
    found = dict(children(videos[number].get(_VIDEO, b"")))
    return Crop(*(int.from_bytes(found.get(side, b"")[:8], "big") for side in _SIDES))


def _tracks(file: BinaryIO) -> list[dict[int, bytes]]:
    """The elements of each track, by id. ValueError where the file has none, or is not as it should be."""
    at = 0
    for _ in range(_MOST_ELEMENTS):
        file.seek(at)
        kind, size, begin = head(file.read(16), 0)
        if kind == SEGMENT:
            at += begin
        elif size is None:
            raise ValueError("a cluster of unknown size before the tracks")
        elif kind == TRACKS:
            file.seek(at + begin)
            content = file.read(min(size, _MOST_HEADER))
            return [dict(children(c)) for k, c in children(content) if k == TRACK]
        else:
            at += begin + size
    raise ValueError("no tracks")


def _clean_aperture(file: BinaryIO, track: int, size: tuple[int, int]) -> Crop:
    """Of the track's first description that has one (ISO/IEC 14496-12, 12.1.4)."""
    for kind, content in _atoms(_movie(file)):
        if kind != b"trak" or _track_id(content) != track:
            continue
        described = _inside(content, b"mdia", b"minf", b"stbl", b"stsd")
        for _, entry in _atoms(described[8:]):
            # Behind the 78 bytes that every description of a picture has.
            for name, numbers in _atoms(entry[78:]):
                if name == b"clap" and len(numbers) >= 32:
                    return _aperture(numbers, size)
    return Crop()


def _aperture(numbers: bytes, size: tuple[int, int]) -> Crop:
    """Width, height and the offsets of its middle, each a fraction, as whole samples on each side."""
    values = [int.from_bytes(numbers[at : at + 4], "big", signed=True) for at in range(0, 32, 4)]
    if any(below <= 0 for below in values[1::2]):
        return Crop()
    width, height, right, down = (Fraction(values[n], values[n + 1]) for n in range(0, 8, 2))
    if not (0 < width <= size[0] and 0 < height <= size[1]):
        return Crop()
    left = Fraction(size[0] - width) / 2 + right
    top = Fraction(size[1] - height) / 2 + down
    near = [round(left), round(top), round(size[0] - width - left), round(size[1] - height - top)]
    return Crop(*near)


def _movie(file: BinaryIO) -> bytes:
    """The content of the 'moov' atom. ValueError where there is none."""
    at = 0
    for _ in range(_MOST_ELEMENTS):
        file.seek(at)
        start = file.read(16)
        if len(start) < 8:
            break
        length, skipped = int.from_bytes(start[:4], "big"), 8
        if length == 1:
            length, skipped = int.from_bytes(start[8:16], "big"), 16
        if start[4:8] == b"moov":
            file.seek(at + skipped)
            return file.read(min(length - skipped if length else _MOST_HEADER, _MOST_HEADER))
        if length < skipped:
            break
        at += length
    raise ValueError("no header")


def _atoms(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the atoms of which `content` is made; what is not one ends it."""
    return islice(_read_atoms(content), _MOST_ELEMENTS)


def _read_atoms(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if length < 8 or at + length > len(content):
            return
        yield content[at + 4 : at + 8], content[at + 8 : at + length]
        at += length


def _inside(content: bytes, *names: bytes) -> bytes:
    """The content of the first atom at the path `names`; none where there is none."""
    for name in names:
        content = next((c for k, c in _atoms(content) if k == name), b"")
    return content


def _track_id(track: bytes) -> int:
    header = _inside(track, b"tkhd")
    at = 20 if header[:1] == b"\1" else 12
    return int.from_bytes(header[at : at + 4], "big")
