"""The parts of a source, one after the other: every reader of a source goes through here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from restore.errors import InputError
from restore.io.card import accelerator, from_card
from restore.io.reader import ReadFault, Report, believable, frames_of, open_input, packets_of
from restore.io.sequence import image_frames
from restore.io.source import Part, Source
from restore.io.timeline import LOOK_AHEAD, Stamp, Timed, repair_times


@dataclass(frozen=True, slots=True)
class OpenPart:
    """A part while it is being read."""

    container: InputContainer
    offset: Fraction
    """Seconds that its clock lies behind the source's: add them to every time."""
    numbers: Mapping[int, int]
    """Its own number of each of the source's streams that it holds."""
    images: tuple[Path, ...] = ()
    """Where it is a sequence of images: they are its picture, and `container` is only the first one."""

    def stream(self, index: int) -> Stream | None:
        """The source's stream `index`; None where this part has none."""
        number = self.numbers.get(index)
        if number is None or number >= len(self.container.streams):
            return None
        return self.container.streams[number]

    def packets(self, indices: Sequence[int], report: Report) -> Iterator[tuple[int, Packet[Any]]]:
        """(the source's stream number, packet with this part's times), in file order, flushes left out."""
        streams = {s.index: i for i in indices if (s := self.stream(i)) is not None}
        if not streams:
            return
        wanted = [self.container.streams[number] for number in streams]
        for packet in packets_of(self.container, wanted, report):
            if packet.size:
                yield streams[packet.stream_index], packet


def open_head(source: Source) -> InputContainer:
    """The first part, whose headers speak for all."""
    return _open(source.parts[0])


def open_parts(source: Source, card: HWAccel | None = None) -> Iterator[OpenPart]:
    """Each part in turn, open until the next is asked for; its video is decoded by `card` where that can."""
    for part in source.parts:
        with _open(part, card) as container:
            if part.images:
                yield OpenPart(container, part.offset, {}, part.files)
            else:
                yield OpenPart(container, part.offset, _numbers(part, container))


def _open(part: Part, card: HWAccel | None = None) -> InputContainer:
    return open_input(part.files[0]) if part.images else open_input(*part.files, card=card)


def _numbers(part: Part, container: InputContainer) -> Mapping[int, int]:
    if part.streams is not None:
        return part.streams
    return {number: number for number in range(len(container.streams))}


def cover_of(source: Source, index: int) -> bytes:
    """The file of a cover picture: a stream of one packet. FFmpeg may give that another stream's number, so it
    is asked for alone."""
    for part in open_parts(source):
        stream = part.stream(index)
        for packet in packets_of(part.container, [stream] if stream else [], lambda *_: None):
            if packet.size:
                return bytes(packet)
    return b""


def timed_frames(
    source: Source, report: Report, *, quantisers: bool = False
) -> Iterator[Timed[av.VideoFrame]]:
    """Every frame the decoder gives, in display order, with times repaired part by part, in
    source.video.layout.decoded.time_base; also frame.pts is in it, as the file has it, and what `report` hears;
    frame.opaque is the sample aspect ratio that the bitstream states there, or None.
    `quantisers` has the decoder export its quantiser maps, which no card does. Raises InputError."""
    held: Timed[av.VideoFrame] | None = None
    card = source.video.card
    for part in open_parts(source, None if card is None or quantisers else accelerator(card)):
        for timed in _part_frames(source, part, report, quantisers):
            if held is not None:
                yield replace(held, duration=timed.pts - held.pts)
            held = timed
    if held is not None:
        yield held


def _part_frames(
    source: Source, part: OpenPart, report: Report, quantisers: bool
) -> Iterator[Timed[av.VideoFrame]]:
    index, base, pace = source.video.index, source.video.layout.decoded.time_base, source.pace
    if part.images:
        pictures = image_frames(part.images, report)
        yield from _paced(pictures, pace or Fraction(24), part.offset, base)
        return
    stream = part.stream(index)
    if not isinstance(stream, VideoStream) or stream.codec_context is None:
        raise InputError(f"{source.path}: stream {index} is no longer a video; was it replaced?")
    if quantisers:
        stream.codec_context.options = {"export_side_data": "venc_params"}
    theirs = Fraction(stream.time_base or base)

    def ticks(pts: int) -> int:
        """Exact: the source's time base divides that of each part, and its offset."""
        return round((pts * theirs + part.offset) / base)

    def heard(kind: ReadFault, pts: int | None, text: str) -> None:
        report(kind, None if pts is None else ticks(pts), text)

    frames = _with_aspect(part.container, stream, heard, source.video.pixel_format)
    if pace is not None:
        yield from _paced(enumerate(frames), pace, part.offset, base)
        return
    spacing = 1 / (source.video.frame_rate or Fraction(25)) / theirs
    stamped = _stamped(frames, source.video.codec, part.container.format.name in _UNSHOWN)
    for timed in repair_times(stamped, max(Fraction(1), spacing)):
        frame = timed.item
        frame.pts = None if frame.pts is None else ticks(frame.pts)
        frame.time_base = base
        length = round(timed.duration * theirs / base)
        yield replace(timed, pts=ticks(timed.pts), duration=length)


_REORDERED = frozenset({"h264", "hevc", "vvc"})
"""Codecs whose pictures come in an order that FFmpeg's demuxers do not follow."""

_UNSHOWN = frozenset({"avi", "asf"})
"""Containers, by FFmpeg's name, that say only when a picture is decoded."""


def _stamped(
    frames: Iterator[av.VideoFrame], codec: str, invented: bool
) -> Iterator[Stamp[av.VideoFrame]]:
    """`frames` with the times they claim. Containers that say only when a picture is decoded leave the times of
    display to the demuxer, which puts every picture a frame later. Where that is known (`invented`), or these jump and the
    times of decoding do not, a frame is shown when the decoder gives it, as by FFmpeg's program."""
    held = list(islice(frames, LOOK_AHEAD)) if codec in _REORDERED else []
    every = chain(held, frames)
    slot = _decoding_step(held, invented)
    if slot is None:
        yield from (Stamp(frame, believable(frame.pts, frame.time_base)) for frame in every)
        return
    last = 0
    for frame in every:
        # The last ones come when there is nothing more to decode: a step apart.
        last = frame.pts = last + slot if frame.dts is None else frame.dts
        yield Stamp(frame, last)


def _decoding_step(frames: Sequence[av.VideoFrame], invented: bool) -> int | None:
    """Ticks between times of decoding, where these are to be times of display: those of display are invented, or do
    not increase."""
    shown = [f.pts for f in frames if f.pts is not None]
    decoded = [f.dts for f in frames if f.dts is not None]
    even = all(b > a for a, b in pairwise(shown))
    if not decoded or (not invented and (even or len(shown) < len(frames))):
        return None
    steps = sorted(b - a for a, b in pairwise(decoded)) or [1]
    return steps[len(steps) // 2] if steps[0] > 0 else None


def _with_aspect(
    container: InputContainer, stream: VideoStream, report: Report, pixel_format: str
) -> Iterator[av.VideoFrame]:
    for given in frames_of(container, stream, report):
        # A source that is itself in a card's format is read in it, and stays as it is.
        frame = from_card(given, pixel_format)
        # Asked at once: the decoder forgets that of frames gone by.
        said = stream.codec_context.sample_aspect_ratio
        frame.opaque = Fraction(said) if said else None
        yield frame


def _paced(
    frames: Iterable[tuple[int, av.VideoFrame]], pace: Fraction, offset: Fraction, base: Fraction
) -> Iterator[Timed[av.VideoFrame]]:
    """Numbered frames at `pace` a second; `base` divides their distance."""
    length = round(1 / pace / base)
    for number, frame in frames:
        frame.pts, frame.time_base = number * length + round(offset / base), base
        yield Timed(frame, frame.pts, length)
