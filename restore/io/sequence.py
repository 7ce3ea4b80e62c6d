"""Numbered images as a video: which files belong to it, and their pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import Literal

import av
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from restore.errors import InputError
from restore.io.reader import MAX_PIXELS, Report

_CODECS = {
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"SDPX": "dpx",
    b"XPDS": "dpx",
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "mjpeg",
    b"BM": "bmp",
}
"""FFmpeg's decoder, by the first bytes of a file."""
SUFFIXES = frozenset({".tif", ".tiff", ".dpx", ".png", ".jpg", ".jpeg", ".bmp"})
_HELD_BY_NONE = frozenset({".exr", ".cin", ".jp2", ".j2k", ".webp", ".hdr"})
"""Images that are not read, because their values are no codes of a picture or because nobody asked yet."""
MAX_BYTES = 1 << 30
"""Of one image file."""
_NUMBER = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
"""Of a name without its suffix; the last digits count."""
_NAMED_HOLES = 10

Missing = Literal["error", "repeat"]


def find_images(path: Path, missing: Missing) -> tuple[Path, ...] | None:
    """The images, in order, that `path` stands for: a folder, a pattern such as scan_%06d.tif, or a glob such as
    'scans/*.dpx'. None where it is the name of one file. Raises InputError."""
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
        if not found:
            others = sorted({p.suffix.lower() for p in path.iterdir()} & _HELD_BY_NONE)
            held = f"only {', '.join(others)}" if others else "none"
            raise InputError(
                f"{path}: found a folder, expected numbered images in it ({_known()}), found {held}; "
                f"try one video file in it"
            )
        return by_number(found, str(path), missing)
    if path.exists():
        return None
    if "%" in path.name and (pattern := _printf(path.name)) is not None:
        folder = path.parent
        names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        found = [folder / n for n in names if _fits(pattern, n)]
    elif has_magic(path.name):
        found = sorted(p for p in path.parent.glob(path.name) if p.is_file())
    else:
        return None
    if not found:
        raise InputError(f"{path}: no file has such a name; check the folder and the pattern")
    wrong = next((p for p in found if p.suffix.lower() not in SUFFIXES), None)
    if wrong is not None:
        raise InputError(f"{path}: expected images ({_known()}), found {wrong.name}")
    return by_number(found, str(path), missing)


def by_number(images: Sequence[Path], what: str, missing: Missing) -> tuple[Path, ...]:
    """Images of one numbered set by their numbers; with "repeat", in the place of a missing one the image before
    it. `what` names them in messages. Raises InputError: not one set, or numbers are missing."""
    numbered: dict[int, Path] = {}
    sets: Counter[str] = Counter()
    for path in images:
        found = _NUMBER.fullmatch(path.stem)
        if found is None:
            raise InputError(
                f"{what}: expected a number in the name of each image, found {path.name}"
            )
        sets[f"{found[1]}#{found[3]}{path.suffix}"] += 1
        number = int(found[2])
        if number in numbered and len(sets) == 1:
            raise InputError(
                f"{what}: expected each number once, found {numbered[number].name} and {path.name}"
            )
        numbered[number] = path
    if len(sets) > 1:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(sets.items())[:5])
        raise InputError(
            f"{what}: expected one sequence of images, found {len(sets)}: {names}; try a pattern for one of "
            f"them, such as '{sorted(sets)[0].replace('#', '*')}'"
        )
    holes = max(numbered) - min(numbered) + 1 - len(numbered)
    if holes and (missing == "error" or holes > len(numbered)):
        raise InputError(
            f"{what}: expected every number from {min(numbered)} to {max(numbered)}, {holes} are missing: "
            f'{_holes(numbered)}; try [input] missing = "repeat", which shows the image before once more'
        )
    ordered: list[Path] = []
    for number in range(min(numbered), max(numbered) + 1):
        ordered.append(numbered.get(number, ordered[-1] if ordered else Path()))
    return tuple(ordered)


def same_set(path: Path) -> list[Path]:
    """The images beside `path`, itself included, whose names differ from its own in the number only."""
    mine = _NUMBER.fullmatch(path.stem)
    if mine is None:
        return [path]
    others = [p for p in path.parent.iterdir() if p.suffix == path.suffix]
    named = ((p, _NUMBER.fullmatch(p.stem)) for p in others)
    return [p for p, its in named if its and (its[1], its[3]) == (mine[1], mine[3])]


def sequence_notes(images: Sequence[Path]) -> list[str]:
    """What there is to say about them."""
    notes = []
    repeats = len(images) - len(set(images))
    if repeats:
        numbers = {int(found[2]): p for p in images if (found := _NUMBER.fullmatch(p.stem))}
        notes.append(
            f"{repeats} images are missing: {_holes(numbers)}; the one before is shown instead"
        )
    if _head(images[0])[:4] in (b"SDPX", b"XPDS") and _head(images[0])[801] in (1, 3):
        notes.append(
            "DPX holds film densities on a logarithmic scale: its codes are passed on as they are"
        )
    return notes


def image_frames(images: Sequence[Path], report: Report) -> Iterator[tuple[int, av.VideoFrame]]:
    """(position, picture) of each image that can be decoded; `report` hears of the others with their position."""
    decoders: dict[str, VideoCodecContext] = {}
    shown: tuple[Path, av.VideoFrame] | None = None
    for number, path in enumerate(images):
        if shown is not None and path == shown[0]:
            yield number, shown[1]
            continue
        try:
            frame = _decoded(path, decoders)
        except (av.FFmpegError, OSError, ValueError) as error:
            decoders.clear()
            report("packet", number, f"{path.name}: {getattr(error, 'strerror', None) or error}")
            continue
        shown = path, frame
        yield number, frame


def _decoded(path: Path, decoders: dict[str, VideoCodecContext]) -> av.VideoFrame:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes")
    data = path.read_bytes()
    codec = next((name for head, name in _CODECS.items() if data.startswith(head)), None)
    if codec is None:
        raise ValueError(f"expected an image ({_known()})")
    if codec not in decoders:
        context = CodecContext.create(codec, "r")
        assert isinstance(context, VideoCodecContext)
        # One thread: more of them hold frames back.
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
        decoders[codec] = context
    packet = av.Packet(data)
    packet.is_keyframe = True  # else PNG's decoder adds the picture before
    frames = decoders[codec].decode(packet)
    if not frames:
        raise ValueError("no picture in it")
    return frames[0]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024).ljust(1024, b"\0")


def _known() -> str:
    return ", ".join(sorted(s.removeprefix(".") for s in SUFFIXES))


def _holes(numbers: dict[int, Path]) -> str:
    """The first missing numbers, as the names write them."""
    first = _NUMBER.fullmatch(numbers[min(numbers)].stem)
    width = len(first[2]) if first and first[2].startswith("0") else 1
    named = []
    for number in range(min(numbers), max(numbers)):
        if number not in numbers:
            named.append(f"{number:0{width}d}")
            if len(named) > _NAMED_HOLES:
                return ", ".join([*named[:_NAMED_HOLES], "..."])
    return ", ".join(named)


def _printf(name: str) -> re.Pattern[str] | None:
    """What scan_%06d.tif matches; None where it holds no single %d."""
    pieces = re.split(r"%(0?\d*)d", name)
    if len(pieces) != 3:
        return None
    before, width, after = pieces
    digits = rf"\d{{{int(width)},}}" if width else r"\d+"
    before, after = (re.escape(p.replace("%%", "%")) for p in (before, after))
    return re.compile(f"{before}({digits}){after}", re.DOTALL)


def _fits(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(name) is not None
