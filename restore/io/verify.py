"""Proof that an output holds what it should: a second reading, from the file alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from restore.errors import OutputError
from restore.io.captions import captions_of
from restore.io.chapters import Chapter, moved_chapters
from restore.io.containers import LEAD, is_quicktime
from restore.io.names import lost_names
from restore.io.parts import OpenPart, open_head, open_parts
from restore.io.reader import begins_inside, codec_name, open_input
from restore.io.sound import SoundCount, cut_samples, sound_of
from restore.io.source import Source, Span
from restore.io.streams import StreamAction, StreamPlan
from restore.io.timecode import is_timecode, timecode_in
from restore.video import VideoFormat

TOLERANCE_MS = Fraction(1)
"""Matroska rounds times to milliseconds, a caller may have too."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a second reading of the output found."""

    frames: int
    pts_error_ms: Fraction
    """Largest distance of a frame's time from where it should be."""
    av_offset_error_ms: Fraction | None
    """Largest change of an audio stream's start against the picture; None without audio."""
    audio_samples: dict[int, int]
    """Decoded samples per channel of each audio stream, by its number in the output."""
    notes: tuple[str, ...] = ()
    captioned: int = 0
    """Frames that carry closed captions."""

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.frames} frames, times within {float(self.pts_error_ms):.3f} ms"]
        if self.av_offset_error_ms is not None:
            lines.append(f"sound starts within {float(self.av_offset_error_ms):.3f} ms")
        lines += [f"stream {n}: {count} samples" for n, count in self.audio_samples.items()]
        if self.captioned:
            lines.append(f"{self.captioned} frames carry closed captions")
        return [*lines, *self.notes]


def origin_of(source: Source, first_frame: Fraction, span: Span | None) -> Fraction:
    """Seconds on the source's clock that are 0 in the output; `first_frame` as repaired."""
    return min(source.start, first_frame) if span is None else span.start


def verify(
    out: Path,
    expected_pts_ms: Sequence[Fraction | int],
    fmt: VideoFormat,
    source: Source,
    plan: StreamPlan,
    span: Span | None = None,
) -> VerifyReport:
    """Decode `out` and compare: `expected_pts_ms` are the frames' times on the source's clock, as
    decoded and repaired; `fmt` is the encoded format; `span` is the part of the source that `out` holds.
    Every stream and chapter of `plan` must be there under its language and use, each sound start within a
    millisecond, every sample counted. Raises OutputError with every mismatch."""
    problems: list[str] = []
    origin = origin_of(source, Fraction(expected_pts_ms[0]) / 1000, span)
    zero_ms = (origin - LEAD.get(plan.container, Fraction(0))) * 1000
    with open_input(out) as file:
        with open_head(source) as old:
            _check_streams(file, old, plan, problems)
        timecode = plan.timecode_at(source, Fraction(expected_pts_ms[0]) / 1000)
        if timecode is not None and timecode_in(file) != str(timecode):
            problems.append(f"expected the time code {timecode}, found {timecode_in(file)}")
        chapters = moved_chapters(source, origin, span, plan.container) if plan.chapters else []
        _check_chapters(file, chapters, problems)
        times, captioned = _video_times(file, fmt, plan.container == "avi", problems)
    error = _compare_times(times, [Fraction(t) - zero_ms for t in expected_pts_ms], problems)
    offsets: list[Fraction] = []
    samples: dict[int, int] = {}
    for number, action in enumerate(plan.kept(), start=1):
        if action.kind == "audio":
            with open_input(out) as file:
                found = _sound_of(OpenPart(file, Fraction(0), {number: number}), number)
            wanted = _wanted_sound(source, plan, action, zero_ms, span)
            samples[number] = found.samples
            rate = next(a.rate for a in source.audio if a.index == action.index)
            offsets += _compare_sound(number, found, wanted, rate, problems)
    if problems:
        raise OutputError("\n".join(f"{out}: {p}" for p in problems))
    return VerifyReport(len(times), error, max(offsets, default=None), samples, captioned=captioned)


def _check_streams(
    file: InputContainer, old: InputContainer, plan: StreamPlan, problems: list[str]
) -> None:
    """Each stream of the plan at its place, of the right codec, named and marked as in the source."""
    kept = plan.kept()
    found = [s for s in file.streams if not _is_own_track(s, plan)]
    count = 1 + len(kept) + len(plan.attached)
    if len(found) != count:
        problems.append(f"expected {count} streams, found {len(found)}")
        return
    for number, action in enumerate(kept, start=1):
        stream, known = found[number], old.streams[action.index]
        if stream.type != known.type and not known.disposition & Disposition.attached_pic:
            problems.append(f"stream {number}: expected {known.type}, found {stream.type}")
            continue
        # MP4 says the same of MP2 and MP3; which it is, a reader guesses from the packets.
        codecs = {action.shown_as, action.to or action.codec}
        if action.shown_as and codec_name(stream) not in codecs:
            problems.append(
                f"stream {number}: expected {action.shown_as}, found {codec_name(stream)}"
            )
        for name in set(lost_names(known, stream)) - set(action.lost):
            problems.append(f"stream {number}: expected its {name} as in the source, it is lost")


def _is_own_track(stream: Stream, plan: StreamPlan) -> bool:
    """MP4 and QuickTime keep chapters and time code in tracks of their own, which FFmpeg shows as data."""
    kept = any(s.kind == "data" for s in plan.kept())
    own = stream.type == "data" and (not kept or is_timecode(stream))
    return is_quicktime(plan.container) and own


def _check_chapters(file: InputContainer, wanted: Sequence[Chapter], problems: list[str]) -> None:
    found = file.chapters()
    if len(found) != len(wanted):
        problems.append(f"expected {len(wanted)} chapters, found {len(found)}")
        return
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        starts = [c["start"] * Fraction(c["time_base"] or 1) * 1000 for c in (one, other)]
        if abs(starts[0] - starts[1]) > TOLERANCE_MS:
            problems.append(
                f"chapter {number}: expected at {float(starts[1]):.3f} ms, "
                f"found at {float(starts[0]):.3f} ms"
            )


def _video_times(
    file: InputContainer, fmt: VideoFormat, by_slot: bool, problems: list[str]
) -> tuple[list[Fraction], int]:
    """(milliseconds of every frame, how many carry captions); also what the first says of the picture. `by_slot`: the container has no
    times of display (AVI), what a demuxer gives for them are guesses; a frame is shown when it is decoded."""
    if not file.streams.video:
        problems.append("expected a video stream, found none")
        return [], 0
    stream = file.streams.video[0]
    stream.codec_context.thread_type = "AUTO"
    base = Fraction(stream.time_base or 0) * 1000
    times: list[Fraction] = []
    captioned = 0
    try:
        for frame in file.decode(stream):
            if not times:
                _check_picture(stream, frame, fmt, problems)
            times.append(((frame.dts if by_slot else frame.pts) or 0) * base)
            captioned += bool(captions_of(frame))
    except av.FFmpegError as error:
        problems.append(f"frame {len(times)} cannot be decoded: {error}")
    return times, captioned


def _check_picture(
    stream: VideoStream, frame: av.VideoFrame, fmt: VideoFormat, problems: list[str]
) -> None:
    if (frame.width, frame.height) != (fmt.width, fmt.height):
        problems.append(
            f"expected {fmt.width}x{fmt.height} samples, found {frame.width}x{frame.height}"
        )
    if frame.interlaced_frame:
        problems.append("expected whole frames, found interlaced ones")
    color = fmt.color
    for name, wanted, found in (
        ("matrix", int(color.matrix), int(frame.colorspace)),
        ("primaries", int(color.primaries), int(frame.color_primaries)),
        ("transfer", int(color.transfer), int(frame.color_trc)),
        ("range", 2 if color.full_range else 1, int(frame.color_range)),
    ):
        if wanted != found:
            problems.append(f"expected the colour tag {name} = {wanted} (H.273), found {found}")
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if not fmt.same_shape(aspect):
        problems.append(f"expected a sample aspect ratio of {fmt.sample_aspect}, found {aspect}")


def _compare_times(
    found: Sequence[Fraction], wanted: Sequence[Fraction], problems: list[str]
) -> Fraction:
    if len(found) != len(wanted):
        problems.append(f"expected {len(wanted)} frames, found {len(found)}")
        return Fraction(0)
    errors = [abs(f - w) for f, w in zip(found, wanted, strict=True)]
    worst = max(errors)
    if worst > TOLERANCE_MS:
        at = errors.index(worst)
        problems.append(
            f"frame {at}: expected at {float(wanted[at]):.3f} ms, found at {float(found[at]):.3f} ms"
        )
    return worst


_PADDING = {"aac": 1024}
"""Samples that fill up the last frame of a lossy encoder whose container does not say where the sound ends."""


class Sound(NamedTuple):
    """What is heard of a stream."""

    start: Fraction | None
    """Milliseconds of the first sample."""
    samples: int
    """Per channel."""
    hidden: int = 0
    """Samples at the end that a player may add to these: not every container can hide them."""
    delay: int = 0
    """Samples at the start that a player may leave out: a part of a source hides its first ones again."""


def _sound_of(part: OpenPart, index: int, span: Span | None = None, begun: bool = False) -> Sound:
    """Of a stream as a player would decode it; with `span`, of its packets that begin inside. What is hidden before
    the first sample counts only where the sound has `begun` in a part before: else the trial has measured it."""
    start: Fraction | None = None
    count = hidden = delay = 0
    stream = part.stream(index)
    if not isinstance(stream, AudioStream):
        return Sound(None, 0)
    packets = (p for _, p in part.packets([index], lambda *_: None))
    for packet in chain(packets, [None]):
        try:
            # Also what lies before a span: decoders make less of their first packet.
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:  # the decoder's end is one, too
            continue
        unheard = 0 if packet is None else _hidden(packet, stream.codec_context.sample_rate)
        if span is not None and not count:
            delay += unheard
        if packet is not None and span is not None and not begins_inside(packet, span, part.offset):
            continue
        hidden += unheard if count or begun else 0
        for frame in frames:
            if start is None and frame.pts is not None:
                start = (frame.pts * Fraction(stream.time_base or 0) + part.offset) * 1000
            count += frame.samples
    return Sound(start, count, hidden, delay)


def _hidden(packet: Packet[Any], rate: int) -> int:
    """Samples of a packet that are not to be heard: cut off at its ends, or all of them."""
    if packet.is_discard:
        return ceil((packet.duration or 0) * Fraction(packet.time_base) * rate)
    if not packet.has_sidedata("skip_samples"):
        return 0
    said = bytes(packet.get_sidedata("skip_samples"))  # AV_PKT_DATA_SKIP_SAMPLES
    return sum(struct.unpack_from("<II", said)) if len(said) >= 8 else 0


def _sound_copied(source: Source, index: int, span: Span | None) -> Sound:
    """Of all parts."""
    sounds: list[Sound] = []
    for part in open_parts(source):
        sounds.append(_sound_of(part, index, span, any(s.samples for s in sounds)))
    start = next((s.start for s in sounds if s.samples), None)
    return Sound(
        start,
        sum(s.samples for s in sounds),
        sum(s.hidden for s in sounds),
        sum(s.delay for s in sounds),
    )


def _wanted_sound(
    source: Source,
    plan: StreamPlan,
    action: StreamAction,
    zero_ms: Fraction,
    span: Span | None,
) -> Sound:
    """What the source holds, on the output's clock, silence that is put in included; hidden is what the output may
    play as well, where its container cannot hide it."""
    rate = next(a.rate for a in source.audio if a.index == action.index)
    target = action.target
    if target is None:
        sound = _sound_copied(source, action.index, span)
    else:
        sound = _sound_converted(source, action.index, span)
        count, rate = ceil(Fraction(sound.samples * target.rate, rate)), target.rate
        sound = Sound(sound.start, count, _PADDING.get(target.encoder, 0))
    # A part begins behind the encoder's delay.
    extra = action.extra if span is None or target is not None else 0
    count = sound.samples + extra
    if sound.start is None:
        return sound._replace(samples=count)
    start = sound.start - zero_ms
    if target is not None and target.whole_start:
        return sound._replace(start=Fraction(0), samples=count + round(start * rate / 1000))
    if start < 0 and plan.container != "matroska":
        # MP4 hides what lies before 0 by an edit list.
        return sound._replace(start=Fraction(0), samples=count - round(-start * rate / 1000))
    return sound._replace(start=start - Fraction(extra * 1000, rate), samples=count)


def _sound_converted(source: Source, index: int, span: Span | None) -> Sound:
    known = next(a for a in source.audio if a.index == index)
    start, count = None, 0
    timed = sound_of(source, index, SoundCount())
    for begin, samples in timed if span is None else cut_samples(timed, known.rate, span):
        if start is None and begin is not None:
            start = begin * 1000
        count += len(samples)
    return Sound(start, count)


def _compare_sound(
    number: int, found: Sound, wanted: Sound, rate: int, problems: list[str]
) -> list[Fraction]:
    """The change of its start in milliseconds, where both are known. `rate`: of what is wanted."""
    more = found.samples - wanted.samples
    if not -wanted.delay <= more <= wanted.hidden:
        room = f" (and {wanted.hidden} hidden ones)" if wanted.hidden else ""
        problems.append(
            f"stream {number}: expected {wanted.samples} samples of sound{room}, found {found.samples}"
        )
    if found.start is None or wanted.start is None:
        return []
    # Where the first ones are left out, the others keep their times.
    error = min(
        abs(found.start - wanted.start - Fraction(left_out * 1000, rate))
        for left_out in {0, *(n for n in (-more, wanted.hidden - more) if 0 < n <= wanted.delay)}
    )
    if error > TOLERANCE_MS:
        problems.append(
            f"stream {number}: expected its sound to start at {float(wanted.start):.3f} ms, "
            f"found at {float(found.start):.3f} ms"
        )
    return [error]
