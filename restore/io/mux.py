"""Segments and the source's other streams into one file.

Times: the source's clock less `origin_of`, so the output starts at 0 and all streams keep their distances.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from restore.errors import OutputError
from restore.io.chapters import moved_chapters
from restore.io.lossless import (
    SoundCount,
    cut_samples,
    encode_samples,
    open_lossless,
    sound_of,
)
from restore.io.matroska import PLACEHOLDER, finish_header
from restore.io.moving import Mover, in_order
from restore.io.parts import open_head, open_parts
from restore.io.segments import SegmentClock, open_segment
from restore.io.source import Source, Span
from restore.io.streams import COVERS, StreamAction, StreamPlan
from restore.io.tags import siting_name, stated_siting
from restore.io.text import decode_text
from restore.io.trial import MUXER_OPTIONS
from restore.io.verify import VerifyReport, origin_of, verify
from restore.video import VideoFormat

__all__ = ["VerifyReport", "join", "verify"]

Timed = tuple[Fraction, int, "Packet[Any]"]
"""(seconds for interleaving, output stream number, packet ready to mux)."""


_QUICKTIME = {"movflags": "+faststart", "movie_timescale": "90000"}
"""Start offsets are stored in the movie's time scale: FFmpeg's default of 1000 misses by up to 2 ms."""


def join(
    segments: Sequence[Path],
    source: Source,
    plan: StreamPlan,
    out: Path,
    fmt: VideoFormat,
    span: Span | None = None,
) -> tuple[str, ...]:
    """One video stream of all segments' packets (in order), interleaved with the source's other streams
    as `plan` says, written to `out` as plan.container. `fmt` is the encoded format; `span` the part of the
    source that the segments hold: converted sound is cut to the sample, copied streams to whole packets.
    Returns what the log should say of the sound. Raises OutputError."""
    clock = SegmentClock(segments, fmt)
    origin = origin_of(source, Fraction(clock.first) * fmt.time_base, span)
    counts: list[tuple[int, SoundCount]] = []
    try:
        with ExitStack() as open_files:
            options = MUXER_OPTIONS | ({} if plan.container == "matroska" else _QUICKTIME)
            target = open_files.enter_context(
                av.open(str(out), "w", format=plan.container, container_options=options)
            )
            first = open_files.enter_context(av.open(str(segments[0]), "r"))
            file = open_files.enter_context(open_head(source))
            _describe(target, source, plan, origin, span)
            video = _add_video(
                target, first.streams.video[0], file.streams[source.video.index], fmt
            )
            others = [_add_other(target, file, source, action) for action in plan.kept()]
            for attachment in plan.attached:
                target.add_attachment(*attachment)
            target.start_encoding()
            flows: list[Iterator[Timed]] = [_video_packets(segments, clock, fmt, origin, video)]
            rest: dict[int, Mover] = {}
            for stream, action in zip(others, plan.kept(), strict=True):
                mover = Mover(stream, origin, action.skip, span)
                if action.action == "convert":
                    count = SoundCount()
                    counts.append((action.index, count))
                    flows.append(
                        _converted_packets(source, action.index, stream, count, origin, span)
                    )
                elif action.kind == "audio":
                    flows.append(_copied_sound(source, action, mover))
                elif stream.type != "attachment":
                    rest[action.index] = mover
            flows.append(_copied_rest(source, rest))
            for _, _, packet in heapq.merge(*flows, key=lambda timed: timed[:2]):
                target.mux_one(packet)
        if plan.container == "matroska":
            finish_header(out, fmt.sample_aspect, clock.usual * fmt.time_base)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise OutputError(f"{out}: cannot be written: {error}; is the disk full?") from error
    return tuple(f"stream {index}: {line}" for index, count in counts for line in count.lines())


def _describe(
    target: OutputContainer,
    source: Source,
    plan: StreamPlan,
    origin: Fraction,
    span: Span | None,
) -> None:
    """Metadata and chapters of the container."""
    technical = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
    for key, value in source.metadata.items():
        if key.lower() not in technical:
            target.metadata[key] = value
    target.set_chapters(moved_chapters(source, origin, span) if plan.chapters else [])


def _add_video(
    target: OutputContainer, segment: VideoStream, known: Stream, fmt: VideoFormat
) -> VideoStream:
    """The output's video stream, every tag set; names as `known`, the source's stream, has them."""
    codec = segment.codec_context.codec.canonical_name
    stated = stated_siting(segment)
    if fmt.chroma is not None and stated is not fmt.color.siting and codec in _SITING_ENCODERS:
        stream = _add_with_siting(target, segment, fmt, _SITING_ENCODERS[codec])
    else:
        stream = target.add_stream_from_template(segment, opaque=True)
    context = stream.codec_context
    context.sample_aspect_ratio = fmt.sample_aspect
    context.colorspace = fmt.color.matrix
    context.color_primaries = fmt.color.primaries
    context.color_trc = fmt.color.transfer
    context.color_range = 2 if fmt.color.full_range else 1
    if codec == "hevc" and target.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # the tag that QuickTime plays
    stream.time_base = fmt.time_base
    _name(stream, known)
    if target.format.name == "matroska":
        stream.metadata["title"] = stream.metadata.get("title", "") + PLACEHOLDER
    return stream


_SITING_ENCODERS = {"ffv1": "ffv1", "av1": "libsvtav1"}
"""By codec whose bitstream does not say where chroma lies: an encoder that tells the container."""


def _add_with_siting(
    target: OutputContainer, segment: VideoStream, fmt: VideoFormat, encoder: str
) -> VideoStream:
    """A stream for packets of `segment` whose container header states the chroma siting. PyAV has no
    setter for it but the option of an encoder, so one is opened; it never gets a frame."""
    stream = cast(VideoStream, target.add_stream(encoder, rate=25))
    context, known = stream.codec_context, segment.codec_context
    context.width, context.height, context.pix_fmt = fmt.width, fmt.height, known.pix_fmt
    context.time_base = fmt.time_base
    context.options = {"chroma_sample_location": siting_name(fmt.color.siting)}
    context.open()
    context.extradata = known.extradata
    return stream


def _add_other(
    target: OutputContainer, file: InputContainer, source: Source, action: StreamAction
) -> Stream:
    """The output's stream for one of the source's, with its names."""
    known = file.streams[action.index]
    if action.action == "convert" and isinstance(known, AudioStream):
        context = known.codec_context
        stream = cast(Stream, target.add_stream(action.to or "flac", rate=context.sample_rate))
        codec = cast(AudioStream, stream).codec_context
        open_lossless(codec, context.sample_rate, context.channels, context.format.name)
    elif known.disposition & Disposition.attached_pic:
        return target.add_attachment(*COVERS[action.codec], _first_packet(source, action.index))
    else:
        stream = target.add_stream_from_template(known, opaque=True)
    _name(stream, known)
    return stream


_OF_THE_OLD_FILE = (
    *("DURATION", "ENCODER", "HANDLER_NAME", "VENDOR_ID", "_STATISTICS"),
    *("BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES"),
)
"""Tags (their beginnings) that would be wrong in a new file."""


def _name(stream: Stream, known: Stream) -> None:
    """Language, title and the like, and what the stream is for."""
    for key, value in known.metadata.items():
        if not key.upper().startswith(_OF_THE_OLD_FILE):
            stream.metadata[key] = decode_text(value.encode("latin-1"))
    stream.disposition = known.disposition


def _first_packet(source: Source, index: int) -> bytes:
    """A cover is a stream of one packet: the picture's file."""
    for part in open_parts(source):
        for _, packet in part.packets([index], lambda *_: None):
            return bytes(packet)
    return b""


def _video_packets(
    segments: Sequence[Path],
    clock: SegmentClock,
    fmt: VideoFormat,
    origin: Fraction,
    video: VideoStream,
) -> Iterator[Timed]:
    base = Fraction(video.time_base or fmt.time_base)
    number = 0
    for path in segments:
        with open_segment(path) as (file, stream, _):
            for packet in file.demux(stream):
                if not packet.size:
                    continue
                at = clock.dts[number] * fmt.time_base - origin
                packet.stream, packet.time_base = video, base
                packet.pts = round((clock.pts[number] * fmt.time_base - origin) / base)
                packet.dts = round(at / base)
                packet.duration = round(clock.durations[number] * fmt.time_base / base)
                number += 1
                yield at, video.index, packet


def _copied_sound(source: Source, action: StreamAction, mover: Mover) -> Iterator[Timed]:
    """The source's own packets of one sound stream."""
    for part in open_parts(source):
        packets = part.packets([action.index], lambda *_: None)
        for packet in in_order(p for _, p in packets):
            at = mover.move(packet, part.offset)
            if at is not None:
                yield at, mover.stream.index, packet


def _copied_rest(source: Source, movers: Mapping[int, Mover]) -> Iterator[Timed]:
    """The source's own packets of everything else, in file order; movers by stream number."""
    if not movers:
        return
    for part in open_parts(source):
        for index, packet in part.packets(list(movers), lambda *_: None):
            at = movers[index].move(packet, part.offset)
            if at is not None:
                yield at, movers[index].stream.index, packet


def _converted_packets(
    source: Source,
    index: int,
    stream: Stream,
    count: SoundCount,
    origin: Fraction,
    span: Span | None,
) -> Iterator[Timed]:
    sound = cast(AudioStream, stream)
    timed = sound_of(source, index, count)
    if span is not None:
        timed = cut_samples(timed, sound.codec_context.sample_rate, span)
    for packet in encode_samples(sound.codec_context, timed, origin):
        packet.stream = sound
        yield (packet.pts or 0) * Fraction(packet.time_base), sound.index, packet
