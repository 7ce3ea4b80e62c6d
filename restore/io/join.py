"""Several files as one source, joined in the order given.

A file that was split goes on in the next: its bytes are joined and one decoder reads on, so that no frame
is lost at the joint. Files of their own follow one another: the next begins where the one before it ends, in
picture or sound, whichever is later; that end is found by decoding, no header is believed. All streams of a
part are moved alike, so picture and sound of each keep the distance they had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, gcd
from pathlib import Path

from restore.errors import InputError
from restore.io.layout import lay_out
from restore.io.moving import sound_packets
from restore.io.pace import open_file, open_images
from restore.io.parts import open_parts, timed_frames
from restore.io.probe import InputOptions
from restore.io.sequence import SUFFIXES, by_number, find_images, same_set
from restore.io.sound import SoundCount, sound_of
from restore.io.source import AudioStream, Part, Source

_SPLIT_NAMES = (
    re.compile(r"(?P<name>VTS_\d\d_)(?P<number>[1-9])(?P<end>\.VOB)", re.IGNORECASE),
    re.compile(r"(?P<name>.+\.)(?P<number>\d{3})(?P<end>)"),
)
"""Names of the pieces of one file: of DVD-Video, and of programs that split."""
_SET_NAMES = (
    *_SPLIT_NAMES,
    re.compile(r"(?P<name>(AVSEQ|MUSIC))(?P<number>\d\d)(?P<end>\.(DAT|MPG))", re.IGNORECASE),
    re.compile(
        r"(?P<name>(.*[ ._\-(\[])?(CD|DISC|DISK|PART|PT)[ ._-]?)(?P<number>\d\d?)(?P<end>[)\]]?\.\w+)",
        re.IGNORECASE,
    ),
)
"""Names of files that are often parts of one film."""
_STREAMED = frozenset({"mpeg", "mpegts"})
"""Containers without a header, which can be cut anywhere."""
_RUN_ON = Fraction(1, 2)
"""Seconds between the end of a file and the start of the one that it goes on in."""


def open_source(inputs: Sequence[Path], options: InputOptions) -> Source:
    """What `inputs` hold together. Raises InputError: one cannot be read, or does not go with the first."""
    parts = _parts(inputs, options)
    sources = [
        open_images(p.files, options) if p.images else open_file(p.files, options) for p in parts
    ]
    joined = _joined(sources, options) if len(sources) > 1 else sources[0]
    notes = beside(inputs[0]) if len(inputs) == 1 else []
    notes += [_goes_on_note(path) for p in parts if not p.images for path in p.files[1:]]
    return lay_out(replace(joined, notes=(*joined.notes, *notes)), options)


def _parts(inputs: Sequence[Path], options: InputOptions) -> list[Part]:
    """What the names alone say belongs together."""
    if len(inputs) > 1 and all(p.suffix.lower() in SUFFIXES and p.is_file() for p in inputs):
        return [Part(by_number(inputs, f"{inputs[0]} ...", options.missing), images=True)]
    parts: list[Part] = []
    for path in inputs:
        images = find_images(path, options.missing)
        if images is not None:
            parts.append(Part(images, images=True))
        elif parts and not parts[-1].images and _goes_on(parts[-1].files[-1], path):
            parts[-1] = replace(parts[-1], files=(*parts[-1].files, path))
        else:
            parts.append(Part((path,)))
    return parts


def beside(path: Path) -> list[str]:
    """A note where `path` is named like one of several parts, or images, and others lie in its folder."""
    if path.suffix.lower() in SUFFIXES and path.is_file():
        count = len(same_set(path))
        if count > 1:
            return [
                f"{count - 1} more images of its set lie beside it: give {path.parent} as INPUT"
            ]
        return []
    for pattern in _SET_NAMES:
        if found := pattern.fullmatch(path.name):
            break
    else:
        return []
    others = []
    for other in sorted(path.parent.iterdir()):
        same = pattern.fullmatch(other.name)
        if same and other.is_file() and other.name != path.name:
            mine, theirs = (m["name"].lower() + m["end"].lower() for m in (found, same))
            if mine == theirs and int(same["number"]) > 0:
                others.append(other.name)
    if not others:
        return []
    lie = "lies" if len(others) == 1 else "lie"
    both = "both" if len(others) == 1 else "all"
    return [f"{', '.join(others)} {lie} beside it: give {both} to join them"]


def _goes_on(path: Path, following: Path) -> bool:
    """Whether their names say that `following` is the next piece of one file."""
    for pattern in _SPLIT_NAMES:
        one, two = pattern.fullmatch(path.name), pattern.fullmatch(following.name)
        if one and two:
            same = one["name"].lower() == two["name"].lower()
            return same and int(two["number"]) == int(one["number"]) + 1
    return False


def _joined(sources: Sequence[Source], options: InputOptions) -> Source:
    """One source of all; where the clock of one runs on from another's, their bytes are joined."""
    first = sources[0]
    base = first.video.format.time_base
    current, parts, notes = first, list(first.parts), list(first.notes)
    ends = _ends(current)  # of the part read last
    for source in sources[1:]:
        if _clock_runs_on(current, ends, source):
            files = (*parts[-1].files, *source.parts[0].files)
            parts[-1] = replace(parts[-1], files=files)
            current = open_file(files, options)
            notes.append(_goes_on_note(source.path))
        else:
            theirs = source.video.format.time_base
            end = max(ends.values()) + parts[-1].offset
            # In whole ticks, so that the times of its frames stay exact.
            offset = ceil((end - source.start) / theirs) * theirs
            base = common_tick(base, theirs)
            moved = replace(source.parts[0], offset=offset, streams=_match(first, source, options))
            parts.append(moved)
            begin = float(source.start + offset - first.start)
            other = "" if _size(source) == _size(first) else f"; its {_size(source)} are scaled"
            notes.append(f"{source.path.name} begins at {begin:.3f} s{other}")
            current = source
        if source is not sources[-1]:
            ends = _ends(current)
    video = replace(
        first.video,
        format=replace(first.video.format, time_base=base),
        start_pts=round(first.video.start_pts * first.video.format.time_base / base),
        header_duration=None,
    )
    return replace(first, video=video, parts=tuple(parts), notes=tuple(notes))


def _ends(source: Source) -> dict[int, Fraction]:
    """When the picture and each sound end, in seconds on the source's clock, by decoding all; by stream."""
    if source.pace is not None and source.parts[0].images:
        return {source.video.index: source.start + len(source.parts[0].files) / source.pace}
    base, ends = source.video.format.time_base, {source.video.index: source.start}
    for timed in timed_frames(source, lambda *_: None):
        ends[source.video.index] = (timed.pts + timed.duration) * base
    for stream in source.audio:
        end, samples = source.start, 0
        for start, block in sound_of(source, stream.index, SoundCount()):
            samples += len(block)
            if start is not None:
                end = start + Fraction(samples, stream.rate)
        for part in open_parts(source):
            # As they are when they are copied: a moment later than the count of samples, perhaps.
            for packet in sound_packets(part, stream.index):
                late = (packet.pts or 0) + (packet.duration or 0)
                end = max(end, late * Fraction(packet.time_base))
        ends[stream.index] = end
    return ends


def _clock_runs_on(current: Source, ends: Mapping[int, Fraction], following: Source) -> bool:
    """Whether the times of a stream that was cut say so: only where they are clearly no new beginning."""
    if current.container != following.container or current.container not in _STREAMED:
        return False
    if following.start < current.start + 2 * _RUN_ON:
        return False
    if not current.audio:
        # The first frame that can be decoded lies up to a GOP behind the cut.
        return -_RUN_ON < following.start - ends[current.video.index] < 4 * _RUN_ON
    pairs = zip(current.audio, following.audio, strict=False)
    gaps = [abs(b.start - ends[a.index]) for a, b in pairs if b.start is not None]
    return bool(gaps) and max(gaps) < _RUN_ON


def _match(first: Source, other: Source, options: InputOptions) -> dict[int, int]:
    """The numbers in `other` of the streams of `first`. Raises InputError where they do not fit."""
    mine, theirs = first.video, other.video
    facts = [
        ("video codec", mine.codec, theirs.codec),
        ("frame rate", first.pace, other.pace),
        ("pixel format", mine.pixel_format, theirs.pixel_format),
        ("number of audio streams", len(first.audio), len(other.audio)),
        *(
            (f"audio {n}", _sound(a), _sound(b))
            for n, (a, b) in enumerate(zip(first.audio, other.audio, strict=False), 1)
        ),
    ]
    if options.size_change == "error":
        facts.append(("picture size", _size(first), _size(other)))
    wrong = [f"{what} {a} and {b}" for what, a, b in facts if a != b]
    if wrong:
        raise InputError(
            f"{first.path} and {other.path} cannot be joined: expected the same in both, found "
            f"{', '.join(wrong)}; try restoring each on its own"
        )
    numbers = {mine.index: theirs.index}
    numbers |= {a.index: b.index for a, b in zip(first.audio, other.audio, strict=True)}
    left = list(other.other)
    for stream in first.other:
        for candidate in left:
            if (candidate.kind, candidate.codec) == (stream.kind, stream.codec):
                numbers[stream.index] = candidate.index
                left.remove(candidate)
                break
    return numbers


def _size(source: Source) -> str:
    return f"{source.video.format.width}x{source.video.format.height}"


def _sound(stream: AudioStream) -> str:
    return f"{stream.codec} {stream.rate} Hz {stream.layout}"


def common_tick(one: Fraction, other: Fraction) -> Fraction:
    """The longest tick of which both are multiples."""
    numerator = gcd(one.numerator * other.denominator, other.numerator * one.denominator)
    return Fraction(numerator, one.denominator * other.denominator)


def _goes_on_note(path: Path) -> str:
    return f"{path.name} goes on where the file before it stops"
