"""What becomes of every stream that is not the restored video, decided by trial before the render."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import av
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from restore.io.chapters import moved_chapters
from restore.io.containers import is_quicktime
from restore.io.joints import Joints, try_joints
from restore.io.moving import in_order
from restore.io.output import CONTAINERS
from restore.io.parts import cover_of, open_head
from restore.io.reader import packets_of
from restore.io.sound_encode import SoundTarget, sound_targets
from restore.io.sound_trial import try_converted_sound, try_copied_sound
from restore.io.source import AudioStream, OtherKind, OtherStream, Source
from restore.io.subtitles import TEXT_CODECS, subtitle_target, what_is_lost
from restore.io.timecode import Timecode
from restore.io.trial import (
    TRIAL_PACKETS,
    TrialResult,
    copy_packet,
    try_container,
    try_copy,
    try_subtitles,
    try_timecode,
)
from restore.video import VideoFormat

SCAN_PACKETS = 20_000
"""Packets of the whole file looked at for the trials; a subtitle that begins later is tried by its
header alone."""


_TIED = frozenset({"vorbis", "wmav1", "wmav2"})
"""Codecs whose decoders make less of a packet that they meet first."""
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
    """Samples that the output plays before those of the source (its encoder's delay)."""
    target: SoundTarget | None = None
    """Of converted sound."""
    shown_as: str = ""
    """The codec that a reader of the output sees."""
    cover: bool = False
    """A still picture that stands for the film."""
    lost: tuple[str, ...] = ()
    """What of its names the container does not keep: 'language', 'title', 'mark as forced'."""
    later_skips: tuple[int, ...] = ()
    """Like `skip`, of each further part of the source."""


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
    has_chapters: bool = False
    """The source has some."""
    lost: tuple[str, ...] = ()
    """Keys of the source's metadata that the container does not keep."""
    timecode: Timecode | None = None
    """Written into the container, moved to the first frame: that of the source's first frame, counted at the output's
    rate; None: there is none, or no place for it."""
    lost_timecode: str = ""
    """Why the source's is not written, or not as it was counted."""

    def timecode_at(self, source: Source, first_frame: Fraction) -> Timecode | None:
        """That of an output whose first frame lies at `first_frame` seconds on the source's clock."""
        if self.timecode is None:
            return None
        late = first_frame - source.video.start_pts * source.video.format.time_base
        return self.timecode.later(round(late * self.timecode.rate))

    def kept(self) -> list[StreamAction]:
        """In the order in which they follow the video in the output: what a container keeps apart comes
        last."""
        kept = [s for s in self.streams if s.action != "drop"]
        return sorted(kept, key=lambda s: s.kind == "attachment" or s.cover)

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
        if self.has_chapters:
            why = "" if self.chapters else f"{self.container} has no chapters; try an .mkv file"
            rows.append(StreamRow("", "chapters", "copied" if self.chapters else "dropped", why))
        if source.timecode is not None:
            becomes = "dropped" if self.timecode is None else "kept"
            if self.timecode is not None and self.timecode.rate != source.timecode.rate:
                becomes += f", counted at {self.timecode.rate} frames/s"
            what = f"time code: starts at {source.timecode}"
            rows.append(StreamRow("", what, becomes, self.lost_timecode))
        if self.lost:
            why = f"{self.container} has no place for them"
            rows.append(StreamRow("", f"metadata: {', '.join(self.lost)}", "dropped", why))
        return rows


def _sound_text(sound: AudioStream) -> str:
    text = f"audio: {sound.codec}, {sound.rate} Hz, {sound.layout}"
    return text + _named(sound.language, sound.title)


def _other_text(other: OtherStream) -> str:
    return f"{other.kind}: {other.codec}" + _named(other.language, other.title)


def _named(language: str | None, title: str | None) -> str:
    return "".join(f", {text}" for text in (language, title and repr(title)) if text)


def plan_streams(
    source: Source,
    container: str,
    audio: Literal["copy", "flac", "none"],
    part: bool = False,
    no_copy: Mapping[int, str] | None = None,
) -> StreamPlan:
    """Decide by muxing real packets into `container` ('mkv', 'mp4', 'mov' or FFmpeg's name) and
    decoding them back. `part`: only a part of the source is wanted; `no_copy`: why the packets of these sounds, by
    stream number, cannot be copied, as is known already.
    Raises InputError when the source can no longer be read."""
    target = CONTAINERS.get(f".{container}", container)
    with open_head(source) as file:
        covers = [s.index for s in source.other if is_cover(file.streams[s.index])]
        wanted = [s.index for s in source.audio]
        wanted += [s.index for s in source.other if s.index not in covers]
        packets = _first_packets(file, wanted) | {n: [_cover(source, n)] for n in covers}
        sounds = [file.streams[s.index] for s in source.audio]
        actions = [
            _plan_audio(
                stream,
                known,
                packets[known.index],
                target,
                source,
                audio,
                part,
                (no_copy or {}).get(known.index),
            )
            for known, stream in zip(source.audio, sounds, strict=True)
            if isinstance(stream, AvAudioStream)
        ]
        actions += [
            _plan_other(file.streams[s.index], s, packets[s.index], target, source.start)
            for s in source.other
        ]
    chapters = moved_chapters(source, source.start, None, target)
    kept = try_container(target, kept_metadata(source), chapters)
    timecode, lost_timecode = _plan_timecode(source, target)
    return StreamPlan(
        target,
        tuple(sorted(actions, key=lambda a: a.index)),
        chapters=kept.chapters,
        has_chapters=bool(chapters),
        lost=kept.lost,
        timecode=timecode,
        lost_timecode=lost_timecode,
    )


def _plan_timecode(source: Source, container: str) -> tuple[Timecode | None, str]:
    """(the source's time code, counted as the output's frames are; why it is lost, or changed)."""
    known = source.timecode
    if known is None:
        return None, ""
    code = known.at_rate(known.rate * source.video.layout.scan.rate)
    if not try_timecode(container, code):
        advice = _advice(container, try_timecode("matroska", code))
        return None, f"{container} has no place for it{advice}"
    if known.drop and not code.drop:
        return (
            code,
            f"there is no drop-frame at {code.rate} frames/s: it runs slower than the clock",
        )
    return code, ""


_TECHNICAL = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "creation_time"}
    | {"timecode"}  # has its own place in a plan
)


def kept_metadata(source: Source) -> dict[str, str]:
    """The container's metadata without what describes the old file itself."""
    return {k: v for k, v in source.metadata.items() if k.lower() not in _TECHNICAL}


def is_cover(stream: Stream) -> bool:
    """A still picture that stands for the film."""
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def _cover(source: Source, index: int) -> Packet[Any]:
    packet: Packet[Any] = Packet(cover_of(source, index))
    packet.pts = packet.dts = 0
    packet.time_base, packet.is_keyframe = Fraction(1, 1000), True
    return packet


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
    for stream in streams:
        if stream.type == "audio":
            found[stream.index] = list(in_order(found[stream.index]))
    return found


def _plan_audio(
    stream: AvAudioStream,
    known: AudioStream,
    packets: Sequence[Packet[Any]],
    container: str,
    source: Source,
    wish: Literal["copy", "flac", "none"],
    part: bool,
    no_copy: str | None,
) -> StreamAction:
    origin = source.start

    def drop(reason: str) -> StreamAction:
        return StreamAction(known.index, "audio", known.codec, "drop", None, reason)

    if wish == "none":
        return drop('audio = "none" in [output]')
    if not packets:
        return drop("it holds no packets")
    if stream.codec_context is None:
        return drop("FFmpeg does not know its codec")
    why = 'audio = "flac" in [output]'
    if wish == "copy" and no_copy is not None:
        why = no_copy
    elif wish == "copy" and container == "avi" and part:
        why = "avi has no start but 0, and packets seldom begin where a part does"
    elif wish == "copy" and known.codec in _TIED and part:
        why = f"{known.codec} cannot be cut: each packet needs the one before it"
    elif wish == "copy":
        tried = try_copied_sound(stream, packets, container, origin)
        joints = Joints() if tried.error else try_joints(source, known.index, container)
        if tried.error is None and joints.error is None:
            reason = _copy_reason(tried, container)
            action = _kept(known, "audio", "copy", None, reason, tried)
            return replace(action, later_skips=joints.skips)
        why = f"{container} cannot hold {known.codec} ({tried.error})"
        if joints.error is not None:
            why = f"the parts do not join as they are ({joints.error})"
    sample_format = _decodable(stream, packets)
    if sample_format is None:
        return drop("nothing in it can be decoded")
    refused = "no codec for it"
    for target in sound_targets(container, known.rate, known.channels, sample_format):
        tried = try_converted_sound(stream, packets, container, origin, target)
        if tried.error is None:
            reason = f"{why}; {target.text(known.rate, known.channels)}"
            action = _kept(known, "audio", "convert", target.codec, reason, tried)
            return replace(action, target=target)
        refused = f"{target.codec}: {tried.error}"
    tried = try_copied_sound(stream, packets, "matroska", origin)
    advice = _advice(container, tried.error is None)
    return drop(f"{why}, nor what it could be converted to ({refused}){advice}")


def _advice(container: str, matroska_holds_it: bool) -> str:
    """Where else to put what `container` cannot hold."""
    return "; try an .mkv file" if container != "matroska" and matroska_holds_it else ""


def _kept(
    known: AudioStream | OtherStream,
    kind: Literal["audio"] | OtherKind,
    action: Literal["copy", "convert"],
    to: str | None,
    reason: str,
    tried: TrialResult,
) -> StreamAction:
    """A stream that goes along, as it was tried."""
    if tried.lost:
        reason += f"; its {', '.join(tried.lost)} cannot be kept"
    return StreamAction(
        *(known.index, kind, known.codec, action, to, reason, tried.skip, tried.extra),
        shown_as=tried.shown_as,
        lost=tried.lost,
    )


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


def _plan_other(
    stream: Stream,
    known: OtherStream,
    packets: Sequence[Packet[Any]],
    container: str,
    origin: Fraction,
) -> StreamAction:
    def drop(reason: str) -> StreamAction:
        return StreamAction(known.index, known.kind, known.codec, "drop", None, reason)

    if is_cover(stream):
        if container == "matroska" and known.codec in COVERS:
            reason = "a cover picture, as an attachment"
            return StreamAction(known.index, "video", known.codec, "copy", None, reason, cover=True)
        if not is_quicktime(container):
            advice = _advice(container, known.codec in COVERS)
            return drop(f"a cover picture is not carried to {container}{advice}")
    tried = try_copy(stream, packets, container, origin)
    if tried.error is None:
        kept = _kept(known, known.kind, "copy", None, "as it is", tried)
        return replace(kept, cover=is_cover(stream))
    why = f"{container} cannot hold it ({tried.error})"
    encoder = subtitle_target(container)
    if known.codec in TEXT_CODECS and encoder is not None:
        converted = try_subtitles(stream, packets, container, origin, encoder)
        if converted.error is None:
            reason = f"{why}; {what_is_lost(known.codec)}"
            return _kept(known, known.kind, "convert", encoder, reason, converted)
    elsewhere = try_copy(stream, packets, "matroska", origin)
    return drop(why + _advice(container, elsewhere.error is None))
