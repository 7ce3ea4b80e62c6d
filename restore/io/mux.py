"""Segments and the source's other streams into one file.

Times: the source's clock less `origin_of`, so the output starts at 0 and all streams keep their distances.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain, islice, pairwise, repeat
from pathlib import Path
from typing import Any, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from restore.errors import OutputError
from restore.faults import cannot_write
from restore.io.chapters import moved_chapters
from restore.io.containers import (
    LAP,
    LEAD,
    fill_up_transport,
    is_matroska,
    is_quicktime,
    longest_pause,
    muxer_options,
    quicktime_tick,
    slot_duration,
    slot_times,
    slots_of,
)
from restore.io.matroska import PLACEHOLDER, finish_header
from restore.io.moving import Mover, sound_packets, without_setup
from restore.io.names import name_stream
from restore.io.parts import cover_of, open_head, open_parts
from restore.io.segments import SegmentClock, open_segment
from restore.io.sound import SoundCount, cut_samples, sound_of
from restore.io.sound_encode import encode_samples, open_sound
from restore.io.source import Source, Span
from restore.io.streams import COVERS, StreamAction, StreamPlan, kept_metadata
from restore.io.subtitles import add_subtitles, converted_subtitle
from restore.io.tags import siting_name, stated_siting
from restore.io.trial import start_at
from restore.io.verify import origin_of
from restore.io.wma import add_wma, is_wma
from restore.video import VideoFormat

Timed = tuple[Fraction, int, "Packet[Any]"]
"""(seconds for interleaving, output stream number, packet ready to mux)."""


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
    clock = SegmentClock(segments, fmt, longest_pause(plan.container, fmt.time_base))
    origin = origin_of(source, Fraction(clock.first) * fmt.time_base, span)
    zero = origin - LEAD.get(plan.container, Fraction(0))
    counts: list[tuple[int, SoundCount]] = []
    try:
        with ExitStack() as open_files:
            options = muxer_options(plan.container, plan.timecode is not None)
            if is_quicktime(plan.container):
                options["movflags"] = "+faststart"
            target = open_files.enter_context(
                av.open(str(out), "w", format=plan.container, container_options=options)
            )
            first = open_files.enter_context(av.open(str(segments[0]), "r"))
            file = open_files.enter_context(open_head(source))
            _describe(target, source, plan, origin, span)
            video = _add_video(
                target, first.streams.video[0], file.streams[source.video.index], fmt
            )
            timecode = plan.timecode_at(source, Fraction(clock.first) * fmt.time_base)
            if timecode is not None:
                start_at(target, video, timecode)
            others = [_add_other(target, file, source, action) for action in plan.kept()]
            for attachment in plan.attached:
                target.add_attachment(*attachment)
            shown: list[Fraction] = []
            if plan.container == "avi":
                shown = _slot_times(clock, fmt, origin)
            video.time_base = _tick(plan.container, clock, fmt, origin, shown)
            target.start_encoding()
            pictures = _video_packets(segments, clock, fmt, zero, video, plan.container)
            flows = [_in_slots(pictures, shown) if plan.container == "avi" else pictures]
            rest: dict[int, Mover] = {}
            for stream, action in zip(others, plan.kept(), strict=True):
                mover = Mover(stream, zero, action.skip, span)
                if action.target is not None:
                    count = SoundCount()
                    counts.append((action.index, count))
                    flows.append(_converted_sound(source, action, stream, count, zero, span))
                elif action.action == "convert":
                    flows.append(_converted_subtitles(source, action, mover))
                elif action.kind == "audio":
                    flows.append(_copied_sound(source, action, mover))
                elif action.cover:
                    flows.append(_cover(source, action, stream))
                elif stream.type != "attachment":
                    rest[action.index] = mover
            flows.append(_copied_rest(source, rest))
            for _, _, packet in heapq.merge(*flows, key=lambda timed: timed[:2]):
                target.mux_one(packet)
        if plan.container == "mpegts":
            with out.open("r+b") as written:
                fill_up_transport(written)
        if is_matroska(plan.container):
            with out.open("r+b") as written:
                finish_header(written, fmt.sample_aspect, clock.usual * fmt.time_base)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise cannot_write(out, error, "try an .mkv file") from error
    return tuple(f"stream {index}: {line}" for index, count in counts for line in count.lines())


def _describe(
    target: OutputContainer,
    source: Source,
    plan: StreamPlan,
    origin: Fraction,
    span: Span | None,
) -> None:
    """Metadata and chapters of the container."""
    target.metadata.update(kept_metadata(source))
    target.set_chapters(
        moved_chapters(source, origin, span, plan.container) if plan.chapters else []
    )


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
    name_stream(stream, known, target.format.name)
    if is_matroska(target.format.name):
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
    stream: Stream
    if action.target is not None:
        sound = cast(AudioStream, target.add_stream(action.target.encoder, rate=action.target.rate))
        open_sound(sound.codec_context, action.target)
        stream = sound
    elif action.action == "convert":
        stream = add_subtitles(target, known, action.to or "")
    elif action.cover and is_matroska(target.format.name):
        return target.add_attachment(*COVERS[action.codec], cover_of(source, action.index))
    elif target.format.name == "matroska" and is_wma(known):
        stream = add_wma(target, known, _first_packet(source, action))
    else:
        stream = target.add_stream_from_template(known, opaque=True)
    name_stream(stream, known, target.format.name)
    return stream


def _first_packet(source: Source, action: StreamAction) -> list[Packet[Any]]:
    """The first one of a copied sound stream."""
    for part in open_parts(source):
        packets = part.packets([action.index], lambda *_: None)
        return [packet for _, packet in islice(packets, action.skip, action.skip + 1)]
    return []


def _video_packets(
    segments: Sequence[Path],
    clock: SegmentClock,
    fmt: VideoFormat,
    zero: Fraction,
    video: VideoStream,
    container: str,
) -> Iterator[Timed]:
    base = Fraction(video.time_base or fmt.time_base)
    number, last = 0, None
    for path in segments:
        with open_segment(path) as (file, stream, _):
            for packet in file.demux(stream):
                if not packet.size:
                    continue
                at = clock.dts[number] * fmt.time_base - zero
                packet.stream, packet.time_base = video, base
                packet.pts = round((clock.pts[number] * fmt.time_base - zero) / base)
                packet.dts = round(at / base)
                if last is not None and packet.dts <= last and not is_matroska(container):
                    # Frames closer than the container's ticks; Matroska lets two have one time.
                    packet.dts = last + 1
                    packet.pts = max(packet.pts, packet.dts)
                last = packet.dts
                packet.duration = round(clock.durations[number] * fmt.time_base / base)
                number += 1
                yield at, video.index, packet


def _copied_sound(source: Source, action: StreamAction, mover: Mover) -> Iterator[Timed]:
    """The source's own packets of one sound stream."""
    skips = chain((0,), action.later_skips, repeat(0))  # the mover knows of the first part's
    for part, skip in zip(open_parts(source), skips, strict=False):
        known = part.stream(action.index)
        setup = None if known is None else known.codec_context.extradata
        for given in islice(sound_packets(part, action.index), skip, None):
            packet = without_setup(given, setup)
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


def _cover(source: Source, action: StreamAction, stream: Stream) -> Iterator[Timed]:
    """Where covers are streams, the picture's file is one packet at 0."""
    if stream.type != "attachment":
        packet: Packet[Any] = Packet(cover_of(source, action.index))
        packet.stream, packet.time_base = stream, Fraction(stream.time_base or 1)
        packet.pts = packet.dts = 0
        packet.is_keyframe = True
        yield Fraction(0), stream.index, packet


def _converted_sound(
    source: Source,
    action: StreamAction,
    stream: Stream,
    count: SoundCount,
    zero: Fraction,
    span: Span | None,
) -> Iterator[Timed]:
    sound, target = cast(AudioStream, stream), action.target
    known = next(a for a in source.audio if a.index == action.index)
    timed = sound_of(source, action.index, count)
    if span is not None:
        timed = cut_samples(timed, known.rate, span)
    whole_start = target is not None and target.whole_start
    for packet in encode_samples(sound.codec_context, timed, zero, known.rate, whole_start):
        packet.stream = sound
        yield (packet.pts or 0) * Fraction(packet.time_base), sound.index, packet


def _converted_subtitles(source: Source, action: StreamAction, mover: Mover) -> Iterator[Timed]:
    for part in open_parts(source):
        known = part.stream(action.index)
        if known is None:
            continue
        known.codec_context.open(strict=False)
        for _, packet in part.packets([action.index], lambda *_: None):
            made = converted_subtitle(known, packet, mover.stream)
            at = None if made is None else mover.move(made, part.offset)
            if made is not None and at is not None:
                yield at, mover.stream.index, made


def _slot_times(clock: SegmentClock, fmt: VideoFormat, origin: Fraction) -> list[Fraction]:
    """Seconds at which AVI shows these frames. Raises OutputError where they are not in coding order: it cannot say
    when a frame is shown."""
    times = [p * fmt.time_base - origin for p in clock.pts]
    if any(b <= a for a, b in pairwise(times)):
        raise OutputError(
            'AVI cannot hold B-frames; try [output] options = {"bf" = "0"}, or an .mkv file'
        )
    return slot_times(times)


def _tick(
    container: str,
    clock: SegmentClock,
    fmt: VideoFormat,
    origin: Fraction,
    slots: Sequence[Fraction],
) -> Fraction:
    """Seconds in which the video's times are counted; `slots`: those of AVI's. Raises OutputError where the container has
    no room for them."""
    times = [p * fmt.time_base - origin for p in clock.pts]
    usual = clock.usual * fmt.time_base
    if container == "avi":
        return slot_duration(slots, usual)
    ahead = (p - d for p, d in zip(clock.pts, clock.dts, strict=True))
    steps = (b - a for a, b in pairwise(clock.dts))
    longest = max(chain(clock.durations, ahead, steps)) * fmt.time_base
    if is_quicktime(container):
        tick = quicktime_tick(sorted(times), longest, fmt.time_base)
        if tick is None:
            raise OutputError(
                f"{container} cannot hold frames that last so long ({float(longest):.0f} s with what is "
                f"decoded ahead); try an .mkv file"
            )
        return tick
    lap = LAP.get(container)
    if lap is not None and max(times) > lap:
        raise OutputError(
            f"{container} begins to count again after {float(lap):.0f} s, and this video lasts "
            f"{float(max(times)):.0f} s; try an .mkv file"
        )
    return fmt.time_base


_MAX_EMPTY_SLOTS = 50_000
"""FFmpeg fills at most 60000 in one go, and none before the first frame."""


def _in_slots(pictures: Iterator[Timed], shown: Sequence[Fraction]) -> Iterator[Timed]:
    """The same, each in the slot for its time in `shown` (seconds), with empty packets where AVI's muxer would leave
    slots out."""
    last = -_MAX_EMPTY_SLOTS
    for (_, index, packet), at in zip(pictures, shown, strict=True):
        base = Fraction(packet.time_base)
        packet.pts = packet.dts = slots_of([at], base)[0]
        while (packet.dts or 0) - last > _MAX_EMPTY_SLOTS:
            last += _MAX_EMPTY_SLOTS
            empty: Packet[Any] = Packet(b"")
            empty.stream, empty.time_base = packet.stream, base
            empty.pts = empty.dts = last
            yield last * base, index, empty
        last = packet.dts or 0
        yield at, index, packet
