"""Every sample of a sound stream, in step with the picture.

Float samples are rounded to the nearest of 24 bits here (libswresample would truncate); integers are kept
as they are. Time follows the sample count: containers round each packet's time, so cook's, for example,
saw 17 ms to and fro. Only a gap of more than 40 ms between the count and the stamps is real (lost packets);
it is filled with silence, which keeps the sound in step with the picture. Overlaps are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.packet import Packet

from restore.io.audio_frames import samples_in, silence_like
from restore.io.moving import sound_packets
from restore.io.parts import OpenPart, open_parts
from restore.io.reader import Report, frame_time
from restore.io.source import Source, Span

MAX_GAP = Fraction(40, 1000)
"""Seconds the stamps may run ahead of the sample count."""
MAX_SILENCE = Fraction(3600)
"""Seconds in all, beyond as much as there is sound; what goes further is a broken clock, and the count goes on."""

MAX_BEYOND = Fraction(60)
"""Seconds behind the end of the picture up to which gaps are filled: a clock that goes further is broken, too."""

Samples = npt.NDArray[np.int32]
"""(n, channels), full scale in the top of 32 bits."""


@dataclass(slots=True)
class SoundCount:
    """What happened to one stream; complete once all its packets were taken."""

    samples: int = 0
    """Decoded, per channel."""
    silence: int = 0
    """Inserted for lost packets, per channel."""
    joints: int = 0
    """Silence inserted between the parts of a source, per channel."""
    clipped: int = 0
    """Beyond full scale, over all channels."""
    inexact: int = 0
    """Integers of more than 24 significant bits, rounded."""

    def lines(self) -> list[str]:
        """For the log: only what a listener might care about."""
        lines = []
        if self.silence:
            lines.append(f"{self.silence} samples of silence fill gaps of lost packets")
        if self.joints:
            lines.append(f"{self.joints} samples of silence lie between the parts")
        if self.clipped:
            lines.append(f"{self.clipped} samples beyond full scale were clipped")
        if self.inexact:
            lines.append(f"{self.inexact} samples of more than 24 bits were rounded")
        return lines


def sound_of(
    source: Source, index: int, count: SoundCount, report: Report = lambda *_: None
) -> Iterator[tuple[Fraction | None, Samples]]:
    """Every decodable sample of an audio stream, as `timed_samples` has them. Between parts the sound is
    filled with silence up to where the next begins. What comes before the first time that is known is held until then.
    Errors are reported and survived."""
    held: list[Samples] = []
    for start, samples in _timed_parts(source, index, count, report):
        if start is None:
            held.append(samples)
            continue
        yield from ((start, early) for early in held)
        held.clear()
        yield start, samples
    yield from ((None, early) for early in held)


def _timed_parts(
    source: Source, index: int, count: SoundCount, report: Report
) -> Iterator[tuple[Fraction | None, Samples]]:
    """The same, in which the start is None until a frame has a time."""
    known = next(a for a in source.audio if a.index == index)
    start: Fraction | None = None
    written = 0
    for part in open_parts(source):
        before, begun = written, False
        for at, samples in timed_samples(
            _frames(part, index, count, report),
            known.rate,
            known.channels,
            count,
            None if source.end is None else source.end + MAX_BEYOND - part.offset,
        ):
            if at is not None and start is None:
                start = at + part.offset - Fraction(before, known.rate)
            elif at is not None and start is not None and not begun:
                gap = at + part.offset - start - Fraction(written, known.rate)
                for silence in silence_of(round(gap * known.rate), known.rate, known.channels):
                    count.joints += len(silence)
                    written += len(silence)
                    yield start, silence
            begun = True
            written += len(samples)
            yield start, samples


def _frames(
    part: OpenPart, index: int, count: SoundCount, report: Report
) -> Iterator[av.AudioFrame]:
    """Every frame that can be decoded, and a silent one for each packet that the decoder refuses at the place where a
    frame is due: short losses would otherwise add up until the sound is MAX_GAP early."""
    stream = part.stream(index)
    # Without a decoder the codec is unknown.
    if not isinstance(stream, AudioStream) or stream.codec_context is None:
        return
    last: av.AudioFrame | None = None
    for packet in sound_packets(part, index, report):
        frames = _decoded(stream.codec_context, packet, report)
        if frames is None:
            frames = _silent(last, packet)
            count.silence += sum(f.samples for f in frames)
            count.samples -= sum(f.samples for f in frames)
        yield from frames
        last = frames[-1] if frames else last
    yield from _decoded(stream.codec_context, None, report) or []


def _decoded(
    context: AudioCodecContext, packet: Packet[Any] | None, report: Report
) -> list[av.AudioFrame] | None:
    """None: the decoder refuses the packet."""
    try:
        return context.decode(packet)
    except av.EOFError:
        return []
    except av.FFmpegError as error:
        report("packet", packet.pts if packet else None, str(error))
        return None


def _silent(last: av.AudioFrame | None, packet: Packet[Any]) -> list[av.AudioFrame]:
    """Silence as long as the `last` frame, where `packet` has the time at which that one ends. What has another time
    may be no sound at all."""
    if last is None or last.pts is None or packet.pts is None or last.time_base is None:
        return []
    length = Fraction(last.samples, last.sample_rate)
    due = last.pts * Fraction(last.time_base) + length
    if abs(packet.pts * Fraction(packet.time_base) - due) > length / 2:
        return []
    silent = silence_like(last)
    silent.pts = round(due / Fraction(last.time_base))
    return [silent]


def to_samples(frame: av.AudioFrame, count: SoundCount) -> Samples:
    """A decoded frame, in 32 bits of which at most 24 (16 for short integers) are significant."""
    samples = samples_in(frame)
    count.samples += len(samples)
    name = frame.format.name.removesuffix("p")
    if name == "u8":
        return (samples.astype(np.int32) - 128) << 24
    if name == "s16":
        return samples.astype(np.int32) << 16
    if name in ("s32", "s64"):
        whole = samples.astype(np.int64)
        spare = 8 if name == "s32" else 40
        count.inexact += int(np.count_nonzero(whole & ((1 << spare) - 1)))
        top = ((whole >> (spare - 1)) + 1) >> 1
    else:
        # A decoder of damaged packets may give infinities, and values that are no numbers.
        top = np.rint(np.nan_to_num(samples.astype(np.float64), posinf=2, neginf=-2) * (1 << 23))
    legal = np.clip(top, -(1 << 23), (1 << 23) - 1)
    count.clipped += int(np.count_nonzero(legal != top))
    shifted: Samples = legal.astype(np.int32) << 8
    return shifted


def timed_samples(
    frames: Iterable[av.AudioFrame],
    rate: int,
    channels: int,
    count: SoundCount,
    latest: Fraction | None = None,
) -> Iterator[tuple[Fraction | None, Samples]]:
    """(seconds or None, samples) without gaps of more than MAX_GAP. The seconds are the stream's start;
    while no frame has a time, None. A gap is real where the frame after it agrees, and it ends before `latest`."""
    start: Fraction | None = None
    written = filled = 0
    # A broken header can make a packet look like another stream's: its sound is not taken.
    wanted = (f for f in frames if (f.sample_rate, f.layout.nb_channels) == (rate, channels))
    for frame, following in _with_next(wanted):
        at = frame_time(frame)
        if at is not None:
            if start is None:
                start = at - Fraction(written, rate)
            gap = at - start - Fraction(written, rate)
            if gap > MAX_GAP and following is not None:
                after = frame_time(following)
                if after is not None:
                    gap = min(gap, after - start - Fraction(written + frame.samples, rate))
            room = MAX_SILENCE + Fraction(written - 2 * filled, rate)
            credible = gap < room and (at is None or latest is None or at < latest)
            if gap > MAX_GAP and credible and following is not None:
                for silence in silence_of(round(gap * rate), rate, channels):
                    count.silence += len(silence)
                    filled += len(silence)
                    written += len(silence)
                    yield start, silence
        samples = to_samples(frame, count)
        written += len(samples)
        yield start, samples


def _with_next(
    frames: Iterable[av.AudioFrame],
) -> Iterator[tuple[av.AudioFrame, av.AudioFrame | None]]:
    """Each frame and the one after it."""
    held: av.AudioFrame | None = None
    for frame in frames:
        if held is not None:
            yield held, frame
        held = frame
    if held is not None:
        yield held, None


def silence_of(length: int, rate: int, channels: int) -> Iterator[Samples]:
    """(n, channels) zeros, `length` in all, at most a second (`rate`) at a time."""
    for done in range(0, length, rate):
        yield np.zeros((min(rate, length - done), channels), np.int32)


def cut_samples(
    timed: Iterable[tuple[Fraction | None, Samples]], rate: int, span: Span
) -> Iterator[tuple[Fraction | None, Samples]]:
    """The samples inside `span`, to the sample; the first one's time is exact."""
    done = 0
    for start, samples in timed:
        begin = (start or Fraction(0)) + Fraction(done, rate)
        done += len(samples)
        low = max(0, ceil((span.start - begin) * rate))
        high = len(samples) if span.end is None else ceil((span.end - begin) * rate)
        if low < min(high, len(samples)):
            yield begin + Fraction(low, rate), samples[low : max(high, 0)]
