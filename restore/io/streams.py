"""What becomes of every stream that is not the restored video, decided by trial before the render."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from restore.io.lossless import is_16_bit
from restore.io.output import CONTAINERS
from restore.io.parts import open_head
from restore.io.reader import packets_of
from restore.io.source import AudioStream, OtherKind, OtherStream, Source
from restore.io.trial import TRIAL_PACKETS, TrialResult, copy_packet, try_copy
from restore.video import VideoFormat

SCAN_PACKETS = 20_000
"""Packets of the whole file looked at for the trials; a subtitle that begins later is tried by its
header alone."""


COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
"""File name and type of a cover picture, by its codec."""


@dataclass(frozen=True, slots=True)
class StreamAction:
    """The fate of one stream."""

    index: int
    """In the source."""
    kind: Literal["audio"] | OtherKind
    codec: str
    action: Literal["copy", "convert", "drop"]
    to: str | None
    """Encoder converted to ('flac', 'alac'); None unless action is 'convert'."""
    reason: str
    skip: int = 0
    """Leading packets that are left out: the decoder refuses them."""
    extra: int = 0
    """Samples that the copy plays before those of the source (its encoder's delay)."""


class StreamRow(NamedTuple):
    """One line of the table of streams."""

    stream: str
    what: str
    becomes: str
    why: str


class Attachment(NamedTuple):
    """A file of ours inside the output."""

    name: str
    mime: str
    content: bytes


@dataclass(frozen=True, slots=True)
class StreamPlan:
    container: str
    """FFmpeg's name of the output container: 'matroska', 'mp4', 'mov'."""
    streams: tuple[StreamAction, ...] = ()
    chapters: bool = True
    """Chapters go along."""
    attached: tuple[Attachment, ...] = ()
    """Put behind all streams."""

    def kept(self) -> list[StreamAction]:
        """In the order in which they follow the video in the output."""
        return [s for s in self.streams if s.action != "drop"]

    def lines(self) -> list[str]:
        """For people: one line a stream."""
        return [
            f"stream {s.index} ({s.kind}, {s.codec}): {s.action}"
            f"{f' to {s.to}' if s.to else ''}: {s.reason}"
            for s in self.streams
        ]

    def table(self, source: Source, encoder: str, fmt: VideoFormat) -> list[StreamRow]:
        """For people, before the render: every stream of the source and its fate, the picture's first.
        `encoder` and `fmt` are the result's."""
        video, known = source.video, source.video.format
        rows = [
            StreamRow(
                str(video.index),
                f"video: {video.codec}, {known.width}x{known.height}",
                f"restored: {encoder}, {fmt.width}x{fmt.height}",
                "",
            )
        ]
        described = {a.index: _sound_text(a) for a in source.audio}
        described |= {o.index: _other_text(o) for o in source.other}
        for s in self.streams:
            fate = {"copy": "copied", "convert": f"converted to {s.to}", "drop": "dropped"}
            rows.append(StreamRow(str(s.index), described[s.index], fate[s.action], s.reason))
        return rows


def _sound_text(sound: AudioStream) -> str:
    text = f"audio: {sound.codec}, {sound.rate} Hz, {sound.layout}"
    return text + _named(sound.language, sound.title)


def _other_text(other: OtherStream) -> str:
    return f"{other.kind}: {other.codec}" + _named(other.language, other.title)


def _named(language: str | None, title: str | None) -> str:
    return "".join(f", {text}" for text in (language, title and repr(title)) if text)


def plan_streams(
    source: Source, container: str, audio: Literal["copy", "flac", "none"]
) -> StreamPlan:
    """Decide by muxing real packets into `container` ('mkv', 'mp4', 'mov' or FFmpeg's name) and
    decoding them back. Raises InputError when the source can no longer be read."""
    target = CONTAINERS.get(f".{container}", container)
    wanted = [s.index for s in source.audio] + [s.index for s in source.other]
    with open_head(source) as file:
        packets = _first_packets(file, wanted)
        actions = [
            _plan_audio(file.streams[s.index], s, packets[s.index], target, audio)
            for s in source.audio
        ]
        actions += [
            _plan_other(file.streams[s.index], s, packets[s.index], target) for s in source.other
        ]
    return StreamPlan(target, tuple(sorted(actions, key=lambda a: a.index)))


def _first_packets(file: InputContainer, indices: Sequence[int]) -> dict[int, list[Packet[Any]]]:
    """The first packets of each stream, until all have enough or enough was read."""
    found: dict[int, list[Packet[Any]]] = {index: [] for index in indices}
    if not found:
        return found
    streams = [file.streams[index] for index in indices]
    for number, packet in enumerate(packets_of(file, streams, lambda *_: None)):
        if packet.size and len(mine := found[packet.stream_index]) < TRIAL_PACKETS:
            mine.append(copy_packet(packet))
        if number > SCAN_PACKETS or all(len(f) == TRIAL_PACKETS for f in found.values()):
            break
    return found


def _plan_audio(
    stream: Stream,
    known: AudioStream,
    packets: Sequence[Packet[Any]],
    container: str,
    wish: Literal["copy", "flac", "none"],
) -> StreamAction:
    def act(action: Literal["copy", "convert", "drop"], reason: str, **more: Any) -> StreamAction:
        to = _lossless_codec(container) if action == "convert" else None
        return StreamAction(known.index, "audio", known.codec, action, to, reason, **more)

    if wish == "none":
        return act("drop", 'audio = "none" in [output]')
    if not packets:
        return act("drop", "it holds no packets")
    if stream.codec_context is None:
        return act("drop", "FFmpeg does not know its codec")
    tried = try_copy(stream, packets, container)
    if tried.error is None and wish == "copy":
        return act("copy", _copy_reason(tried, container), skip=tried.skip, extra=tried.extra)
    sample_format = _decodable(stream, packets)
    if sample_format is None:
        return act("drop", "nothing in it can be decoded")
    bits = "16" if is_16_bit(sample_format) else "24"
    why = (
        'audio = "flac" in [output]'
        if wish == "flac"
        else f"{container} cannot hold {known.codec} ({tried.error})"
    )
    return act("convert", f"{why}; lossless, {bits} bits")


def _copy_reason(tried: TrialResult, container: str) -> str:
    reason = f"bit for bit; {container} plays it back unchanged"
    if tried.skip:
        reason += f"; leading packets that cannot be decoded ({tried.skip}) stay behind"
    if tried.extra:
        reason += f"; {tried.extra} samples of its encoder's delay come before the start"
    return reason


def _decodable(stream: Stream, packets: Sequence[Packet[Any]]) -> str | None:
    """Sample format of what the packets decode to."""
    context = stream.codec_context
    if context is None:
        return None
    context.flush_buffers()
    for packet in packets:
        try:
            frames = context.decode(packet)  # type: ignore[attr-defined]
        except av.FFmpegError:
            continue
        for frame in frames:
            return str(frame.format.name)
    return None


@cache
def _lossless_codec(container: str) -> str:
    """FLAC, or what the container has instead (QuickTime: ALAC)."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as out:
            out.add_stream("flac", rate=48000)
            out.start_encoding()
    except (av.FFmpegError, ValueError):
        return "alac"
    return "flac"


def _plan_other(
    stream: Stream, known: OtherStream, packets: Sequence[Packet[Any]], container: str
) -> StreamAction:
    def act(action: Literal["copy", "drop"], reason: str) -> StreamAction:
        return StreamAction(known.index, known.kind, known.codec, action, None, reason)

    if known.kind == "video" and stream.disposition & Disposition.attached_pic:
        if container == "matroska" and known.codec in COVERS:
            return act("copy", "a cover picture, as an attachment")
        return act("drop", f"a cover picture is not carried to {container}; try an .mkv file")
    tried = try_copy(stream, packets, container)
    if tried.error is None:
        return act("copy", "as it is")
    advice = "" if container == "matroska" else "; try an .mkv file"
    return act("drop", f"{container} cannot hold it ({tried.error}){advice}")
