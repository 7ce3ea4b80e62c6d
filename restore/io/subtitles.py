"""Subtitles as text, from one container's format to another's, by way of the dialogue lines of ASS."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from restore.io.reader import codec_name
from restore.io.text import decode_text

TEXT_CODECS = frozenset({"subrip", "ass", "ssa", "mov_text", "webvtt", "text"})
"""Codecs whose packets hold text."""

_MILLISECOND = Fraction(1, 1000)
_TARGETS = {"matroska": "subrip", "mp4": "mov_text", "mov": "mov_text", "webm": "webvtt"}
_LOSES = {
    "ass": "positions, fonts and colours are lost",
    "ssa": "positions, fonts and colours are lost",
    "webvtt": "positions and styles are lost",
}


def subtitle_target(container: str) -> str | None:
    """The encoder whose subtitles `container` holds, or None."""
    return _TARGETS.get(container)


def what_is_lost(codec: str) -> str:
    """By the conversion, for people."""
    return _LOSES.get(codec, "the text and its simple styles stay")


def add_subtitles(out: OutputContainer, known: Stream, encoder: str) -> Stream:
    """A stream of `out` for the text of `known`. Raises ValueError where that holds no text."""
    if not isinstance(known, SubtitleStream) or codec_name(known) not in TEXT_CODECS:
        raise ValueError("pictures of text cannot become text")
    known.codec_context.open(strict=False)
    added = cast(SubtitleStream, out.add_stream(encoder))
    context = added.codec_context
    context.subtitle_header = known.codec_context.subtitle_header
    context.time_base = _MILLISECOND
    context.open()
    added.time_base = _MILLISECOND
    return added


def converted_subtitle(known: Stream, packet: Packet[Any], added: Stream) -> Packet[Any] | None:
    """What `added` holds for the text of `packet`, at its time; None where it has none (MP4 marks pauses)."""
    if packet.pts is None or not packet.size:
        return None
    reader = cast(SubtitleStream, known).codec_context
    writer = cast(SubtitleStream, added).codec_context
    base = Fraction(packet.time_base)
    try:
        shown = reader.decode2(_as_utf8(packet, codec_name(known)))
        lines = [r.ass for r in shown or () if isinstance(r, AssSubtitle)]
        if not lines:
            return None
        length = round((packet.duration or 0) * base * 1000)
        text = b"\\N".join([lines[0], *(_spoken(line) for line in lines[1:])])
        made = writer.encode_subtitle(SubtitleSet.create(text, 0, length))
    except av.FFmpegError:
        return None
    made.time_base = _MILLISECOND
    made.pts = made.dts = round(packet.pts * base * 1000)
    made.duration, made.is_keyframe = length, True
    return made


def _spoken(line: bytes) -> bytes:
    """The text of a dialogue line: what follows its eight fields."""
    return line.split(b",", 8)[-1]


def _as_utf8(packet: Packet[Any], codec: str) -> Packet[Any]:
    """FFmpeg's decoders refuse other encodings. MP4's text is UTF-8 by its standard, and binary around it."""
    data = bytes(packet)
    if codec == "mov_text":
        return packet
    twin: Packet[Any] = Packet(decode_text(data).encode())
    twin.pts, twin.dts, twin.duration = packet.pts, packet.dts, packet.duration
    twin.time_base = packet.time_base
    return twin
