"""Can a container hold a stream? Ask it: mux real packets, read them back, decode, compare."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar, cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from restore.io.chapters import Chapter
from restore.io.containers import LEAD, fill_up_transport, is_quicktime, muxer_options
from restore.io.matroska import name_sound
from restore.io.moving import Mover, in_order, without_setup
from restore.io.names import lost_names, name_stream
from restore.io.reader import codec_name
from restore.io.subtitles import add_subtitles, converted_subtitle
from restore.io.timecode import Timecode, timecode_in
from restore.io.wma import add_wma, is_wma

TRIAL_PACKETS = 48
"""Packets of a stream that are tried: a second or two of sound."""

Filler = Callable[[OutputContainer], tuple["Stream | None", "Iterator[Packet[Any]]"]]
"""Adds one stream to a file; what it returns gives its packets once the header is written."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of it."""

    error: str | None
    """Why the container cannot hold the stream; None: it can."""
    skip: int = 0
    """Leading packets that the decoder refuses (a cut first frame): they hold nothing and stay behind."""
    extra: int = 0
    """Samples at the start that the copy plays and the source hides (encoder delay of an edit list)."""
    shown_as: str = ""
    """The codec that a reader of the container sees (MP4 calls MP2 'mp3')."""
    lost: tuple[str, ...] = ()
    """What of its names the container does not keep: 'language', 'title', 'mark as forced'."""


def copy_packet(packet: Packet[Any]) -> Packet[Any]:
    """The same content, times and side data, without the tie to a stream."""
    twin: Packet[Any] = Packet(bytes(packet))
    twin.pts, twin.dts, twin.duration = packet.pts, packet.dts, packet.duration
    twin.time_base, twin.is_keyframe = packet.time_base, packet.is_keyframe
    for side in packet.iter_sidedata():
        twin.set_sidedata(side)
    return twin


def try_copy(
    stream: Stream, packets: Sequence[Packet[Any]], container: str, origin: Fraction
) -> TrialResult:
    """Mux `packets` (in file order, from the start of `stream`) into `container` and read them back.
    `origin`: seconds on the source's clock at which the output begins."""
    try:
        with muxed(container, copier(stream, packets, container, origin)) as file:
            return _compare_other(stream, packets, file)
    except (av.FFmpegError, ValueError, TypeError) as error:
        return TrialResult(reason_of(error))


def try_subtitles(
    stream: Stream, packets: Sequence[Packet[Any]], container: str, origin: Fraction, encoder: str
) -> TrialResult:
    """The same for subtitles that are written as `encoder` has them."""

    def fill(out: OutputContainer) -> tuple[Stream, Iterator[Packet[Any]]]:
        added = add_subtitles(out, stream, encoder)
        name_stream(added, stream, container)
        return added, _converted(added)

    def _converted(added: Stream) -> Iterator[Packet[Any]]:
        mover = Mover(added, origin - LEAD.get(container, Fraction(0)))
        for packet in packets:
            made = converted_subtitle(stream, packet, added)
            if made is not None and mover.move(made) is not None:
                yield made

    try:
        with muxed(container, fill) as file:
            found = second_stream(file, Stream)
            back = [p for p in file.demux(found) if p.size]
            if packets and not back:
                return TrialResult("no text comes back")
            return TrialResult(None, shown_as=codec_name(found), lost=lost_names(stream, found))
    except (av.FFmpegError, ValueError, TypeError) as error:
        return TrialResult(reason_of(error))


@dataclass(frozen=True, slots=True)
class ContainerTrial:
    """What a container keeps of what belongs to no stream."""

    chapters: bool
    lost: tuple[str, ...]
    """Keys of metadata that do not come back."""


def try_container(
    container: str, metadata: Mapping[str, str], chapters: Sequence[Chapter]
) -> ContainerTrial:
    """Write `metadata` and `chapters` to a file of `container` and read them back."""

    def fill(out: OutputContainer) -> tuple[Stream | None, Iterator[Packet[Any]]]:
        out.metadata.update(metadata)
        out.set_chapters(list(chapters))
        return None, iter(())

    try:
        with muxed(container, fill) as file:
            found = {k.lower() for k in file.metadata}
            return ContainerTrial(
                len(file.chapters()) == len(chapters),
                tuple(k for k in metadata if k.lower() not in found),
            )
    except (av.FFmpegError, ValueError):
        return ContainerTrial(False, tuple(metadata))


def try_timecode(container: str, timecode: Timecode) -> bool:
    """Whether a file of `container` that begins at `timecode` says so."""

    def fill(out: OutputContainer) -> tuple[Stream | None, Iterator[Packet[Any]]]:
        start_at(out, out.streams.video[0], timecode)
        return None, iter(())

    try:
        with muxed(container, fill, timecode=True) as file:
            return timecode_in(file) == str(timecode)
    except (av.FFmpegError, ValueError):
        return False


def start_at(out: OutputContainer, picture: VideoStream, timecode: Timecode) -> None:
    """Have a file that is not begun yet say that its first frame is `timecode`."""
    if is_quicktime(out.format.name):
        picture.codec_context.framerate = timecode.rate  # in which its track counts
    out.metadata["timecode"] = str(timecode)


def copier(
    stream: Stream, packets: Sequence[Packet[Any]], container: str, origin: Fraction
) -> Filler:
    def fill(out: OutputContainer) -> tuple[Stream, Iterator[Packet[Any]]]:
        copy: Stream
        if container == "matroska" and is_wma(stream):
            copy = add_wma(out, stream, packets)
        else:
            copy = out.add_stream_from_template(stream, opaque=True)
        name_stream(copy, stream, container)
        return copy, moved(copy)

    def moved(copy: Stream) -> Iterator[Packet[Any]]:
        mover = Mover(copy, origin - LEAD.get(container, Fraction(0)))
        setup = None if stream.codec_context is None else stream.codec_context.extradata
        given = (without_setup(packet, setup) for packet in packets)
        twins: Iterable[Packet[Any]] = map(copy_packet, given)
        for twin in in_order(twins) if stream.type == "audio" else twins:
            if mover.move(twin) is not None:
                yield twin

    return fill


def _compare_other(
    stream: Stream, packets: Sequence[Packet[Any]], file: av.container.InputContainer
) -> TrialResult:
    """Whether what came back is of the same kind and content."""
    found = second_stream(file, Stream)
    name = codec_name(found)
    told_apart = name != "unknown" or stream.type == "attachment"
    if found.type != stream.type or name != codec_name(stream) or not told_apart:
        seen = found.type if name == "unknown" else name
        return TrialResult(f"it would come back as {seen}")
    if isinstance(stream, AttachmentStream) and isinstance(found, AttachmentStream):
        same = stream.data == found.data
    else:
        back = [bytes(p) for p in file.demux(found) if p.size]
        # A container may change how the units of a picture are marked.
        same = (
            len(back) >= len(packets)
            if stream.type == "video"
            else back == [bytes(p) for p in packets]
        )
    if not same:
        return TrialResult("it comes back changed")
    return TrialResult(None, shown_as=name, lost=lost_names(stream, found))


def muxed(container: str, fill: Filler, timecode: bool = False) -> av.container.InputContainer:
    """A file in memory with a picture and what `fill` adds, as the output will have them, open to read."""
    file = io.BytesIO()
    lead = LEAD.get(container, Fraction(0))
    options = muxer_options(container, timecode)
    with av.open(file, "w", format=container, container_options=options) as out:
        name = _PICTURES.get(container, "mpeg4")
        picture = cast(VideoStream, out.add_stream(name, rate=25, width=16, height=16))
        _, packets = fill(out)
        blank = av.VideoFrame(16, 16, "yuv420p")
        blank.pts, blank.time_base = round(lead * 25), Fraction(1, 25)
        out.start_encoding()
        out.mux(picture.codec_context.encode(blank))
        out.mux(picture.codec_context.encode(None))
        for packet in packets:
            out.mux_one(packet)
    if container == "matroska":
        name_sound(file)
    if container == "mpegts":
        fill_up_transport(file)
    file.seek(0)
    return av.open(file, "r", metadata_encoding="latin-1")


_PICTURES = {"webm": "libvpx"}
"""Encoder of the trial's picture where MPEG-4 does not do."""

S = TypeVar("S", bound=Stream)


def second_stream(file: av.container.InputContainer, kind: type[S]) -> S:
    """What was tried: it follows the picture. Raises ValueError."""
    found = file.streams[1] if len(file.streams) > 1 else None
    if not isinstance(found, kind):
        raise ValueError("what was written cannot be read back")
    return found


def reason_of(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
