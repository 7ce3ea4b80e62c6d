"""Proof that an output holds what it should: a second reading, from the file alone."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice, repeat
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
from restore.io.containers import LEAD, is_quicktime, longest_pause, slot_times, without_pauses
from restore.io.moving import SoundFaults, sound_packets
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
    unverified: dict[int, str] = field(default_factory=dict)
    """Sounds whose source contradicts itself, so that no reading says what they should be: why, by the stream's
    number in the output."""

    def lines(self) -> list[str]:
        """For people."""
        lines = [f"{self.frames} frames, times within {float(self.pts_error_ms):.3f} ms"]
        if self.av_offset_error_ms is not None:
            lines.append(f"sound starts within {float(self.av_offset_error_ms):.3f} ms")
        lines += [f"stream {n}: {count} samples" for n, count in self.audio_samples.items()]
        if self.captioned:
            lines.append(f"{self.captioned} frames carry closed captions")
        lines += [f"stream {n}: not verified: {why}" for n, why in self.unverified.items()]
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
    millisecond, every sample counted. Raises OutputError with every mismatch, but for a copied sound whose source
    contradicts itself: decoders may make this or that of it, and the report says so."""
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
    wanted_ms = [Fraction(t) - zero_ms for t in expected_pts_ms]
    notes: list[str] = []
    pause = longest_pause(plan.container, fmt.time_base)
    shown_ms = without_pauses(wanted_ms, None if pause is None else pause * 1000)
    if early := wanted_ms[-1] - shown_ms[-1]:
        notes.append(
            f"{plan.container} cannot hold a pause of more than {float(pause or 0):.0f} s: "
            f"cut by {float(early) / 1000:.0f} s in all; try an .mkv file"
        )
    wanted_ms = shown_ms
    if plan.container == "avi":
        shown_ms = [time * 1000 for time in slot_times([t / 1000 for t in wanted_ms])]
        late = max(shown - wanted for shown, wanted in zip(shown_ms, wanted_ms, strict=True))
        if late > TOLERANCE_MS:
            notes.append(
                f"avi cannot hold frames closer than a millisecond: shown up to {float(late):.0f} ms late; "
                f"try an .mkv file"
            )
        wanted_ms = shown_ms
    error = _compare_times(times, wanted_ms, problems)
    offsets: list[Fraction] = []
    samples: dict[int, int] = {}
    unverified: dict[int, str] = {}
    for number, action in enumerate(plan.kept(), start=1):
        if action.kind != "audio":
            continue
        with open_input(out) as file:
            written = OpenPart(file, Fraction(0), {number: number})
            packets = (p for _, p in written.packets([number], lambda *_: None))
            found = _sound_of(written, number, packets)
        faults = SoundFaults()
        wanted = _wanted_sound(source, plan, action, zero_ms, span, faults)
        samples[number] = found.samples
        rate = next(a.rate for a in source.audio if a.index == action.index)
        length = _compare_length(found, wanted)
        start, error_ms = _compare_start(found, wanted, rate)
        wrong = ", ".join(text for text in (length, start) if text)
        # A false time moves sound, or puts packets into a part; it makes no more or less of them.
        told = faults.text(times=not length or span is not None)
        if wrong and told and action.target is None:
            unverified[number] = f"{told} in its source; {wrong}"
            continue
        problems += [f"stream {number}: {text}" for text in (length, start) if text]
        offsets += error_ms
    if problems:
        raise OutputError("\n".join(f"{out}: {p}" for p in problems))
    return VerifyReport(
        len(times), error, max(offsets, default=None), samples, tuple(notes), captioned, unverified
    )


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
        if codecs & _MPEG_SOUND:
            codecs |= _MPEG_SOUND
        if action.shown_as and codec_name(stream) not in codecs:
            problems.append(
                f"stream {number}: expected {action.shown_as}, found {codec_name(stream)}"
            )
        for name in set(lost_names(known, stream)) - set(action.lost):
            problems.append(f"stream {number}: expected its {name} as in the source, it is lost")


_MPEG_SOUND = frozenset({"mp1", "mp2", "mp3"})
"""Each packet says which it is; no container need, and readers go by the first they meet."""


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


def _sound_of(
    part: OpenPart,
    index: int,
    packets: Iterable[Packet[Any]],
    span: Span | None = None,
    begun: bool = False,
    faults: SoundFaults | None = None,
) -> Sound:
    """Of a stream's `packets` as a player would decode them; with `span`, of those that begin inside. What is hidden
    before the first sample counts only where the sound has `begun` in a part before: else the trial has measured it.
    `faults` counts what the decoder refuses."""
    start: Fraction | None = None
    count = hidden = delay = 0
    first: tuple[int, int] | None = None
    found = SoundFaults() if faults is None else faults
    stream = part.stream(index)
    if not isinstance(stream, AudioStream):
        return Sound(None, 0)
    for packet in chain(packets, [None]):
        try:
            # Also what lies before a span: decoders make less of their first packet.
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:  # the decoder's end is one, too
            found.refused += packet is not None
            continue
        unheard = 0 if packet is None else _hidden(packet, stream.codec_context.sample_rate)
        if span is not None and not count:
            delay += unheard
        if packet is not None and span is not None and not begins_inside(packet, span, part.offset):
            continue
        hidden += unheard if count or begun else 0
        for frame in frames:
            kind = (frame.sample_rate, frame.layout.nb_channels)
            first = kind if first is None else first
            found.changed += kind != first
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


def _sound_copied(
    source: Source, action: StreamAction, span: Span | None, faults: SoundFaults
) -> Sound:
    """Of all parts, without the leading packets that stay behind."""
    sounds: list[Sound] = []
    skips = chain((action.skip, *action.later_skips), repeat(0))
    for part, skip in zip(open_parts(source), skips, strict=False):
        packets = islice(sound_packets(part, action.index, faults=faults), skip, None)
        begun = any(s.samples for s in sounds)
        sounds.append(_sound_of(part, action.index, packets, span, begun, faults))
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
    faults: SoundFaults,
) -> Sound:
    """What the source holds, on the output's clock, silence that is put in included; hidden is what the output may
    play as well, where its container cannot hide it."""
    rate = next(a.rate for a in source.audio if a.index == action.index)
    target = action.target
    if target is None:
        sound = _sound_copied(source, action, span, faults)
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


def _compare_length(found: Sound, wanted: Sound) -> str | None:
    """What is wrong with the number of samples."""
    if -wanted.delay <= found.samples - wanted.samples <= wanted.hidden:
        return None
    room = f" (and {wanted.hidden} hidden ones)" if wanted.hidden else ""
    return f"expected {wanted.samples} samples of sound{room}, found {found.samples}"


def _compare_start(found: Sound, wanted: Sound, rate: int) -> tuple[str | None, list[Fraction]]:
    """(what is wrong with its start, by how many milliseconds it is off where both are known). `rate`: of what is
    wanted."""
    if found.start is None or wanted.start is None:
        return None, []
    more = found.samples - wanted.samples
    # Where the first ones are left out, the others keep their times.
    error = min(
        abs(found.start - wanted.start - Fraction(left_out * 1000, rate))
        for left_out in {0, *(n for n in (-more, wanted.hidden - more) if 0 < n <= wanted.delay)}
    )
    if error <= TOLERANCE_MS:
        return None, [error]
    return (
        f"expected its sound to start at {float(wanted.start):.3f} ms, found at {float(found.start):.3f} ms",
        [error],
    )
