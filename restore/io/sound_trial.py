"""Can a container hold a sound, as it is or converted? Ask it, and listen to what comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from restore.io.audio_frames import samples_in
from restore.io.containers import LEAD
from restore.io.names import lost_names, name_stream
from restore.io.reader import codec_name, frame_time
from restore.io.sound import SoundCount, to_samples
from restore.io.sound_encode import SoundTarget, encode_samples, open_sound
from restore.io.trial import TrialResult, copier, muxed, reason_of, second_stream

Sound = npt.NDArray[np.float64]
"""(channels, n), full scale 1."""

Decoded = tuple[Sound | None, int, Fraction | None]
"""(all samples or None, how many packets were refused before the first that was not, seconds of the first
sample or None)."""

_TOLERANCE = Fraction(1, 1000)


def try_copied_sound(
    stream: AudioStream, packets: Sequence[Packet[Any]], container: str, origin: Fraction
) -> TrialResult:
    wanted, skip, start = _decode(stream, packets)
    if skip:
        # What a refused packet leaves in the decoder is noise; the copy will not have it.
        stream.codec_context.flush_buffers()
        wanted, _, start = _decode(stream, packets[skip:])
    if wanted is None:
        return TrialResult("nothing in it can be decoded")
    try:
        with muxed(container, copier(stream, packets[skip:], container, origin)) as file:
            found_stream = second_stream(file, AudioStream)
            found, _, found_start = _decode(found_stream, list(file.demux(found_stream)))
            shown, lost = codec_name(found_stream), lost_names(stream, found_stream)
            rate = found_stream.codec_context.sample_rate
    except (av.FFmpegError, ValueError) as error:
        return TrialResult(reason_of(error))
    if found is None or len(found) != len(wanted) or found.shape[1] < wanted.shape[1]:
        return TrialResult("sound is lost when it is read back")
    late = Fraction(0)
    if start is not None and found_start is not None:
        late = found_start - (start - origin + LEAD.get(container, Fraction(0)))
    # The last packet of a cut file is short, and decoders read noise beyond it.
    compared = wanted.shape[1] * (len(packets) - 1) // len(packets)
    extra = _aligned(found, wanted[:, :compared], round(-late * rate))
    if extra is None:
        return TrialResult("other sound comes out when it is read back")
    late += Fraction(extra, rate)
    if abs(late) > _TOLERANCE:
        side = "late" if late > 0 else "early"
        return TrialResult(f"it would play {abs(float(late)):.3f} s too {side}")
    return TrialResult(None, skip, extra, shown, lost)


_ROUNDING = 64
"""Samples by which a start in milliseconds may be wrong."""


def _aligned(found: Sound, wanted: Sound, guess: int) -> int | None:
    """How many samples of `found` come before those of `wanted`, or None where they are not in it. A container
    may play what another one hides: an encoder's delay at the start, the rest of the last packet."""
    spare = found.shape[1] - wanted.shape[1]
    near = sorted(range(-_ROUNDING, _ROUNDING + 1), key=abs)
    for extra in (0, spare, *(guess + n for n in near)):
        if not 0 <= extra <= spare:
            continue
        part = found[:, extra : extra + wanted.shape[1]]
        # Another decoder may be chosen for the same packets (mp2: integer or float): two steps of 16 bits.
        # Integers clip where floats do not.
        if np.abs(np.clip(part, -1, 1) - np.clip(wanted, -1, 1)).max(initial=0) <= 2 / 32768:
            return int(extra)
    return None


def try_converted_sound(
    stream: AudioStream,
    packets: Sequence[Packet[Any]],
    container: str,
    origin: Fraction,
    target: SoundTarget,
) -> TrialResult:
    """The same for sound that is decoded and encoded as `target`."""
    stream.codec_context.flush_buffers()
    rate = stream.codec_context.sample_rate
    frames = [f for p in packets for f in _frames(stream, p)]
    wanted = [to_samples(f, SoundCount()) for f in frames]
    channels = stream.codec_context.channels
    wanted = [w for w in wanted if w.shape[1] == channels]
    if not wanted:
        return TrialResult("nothing in it can be decoded")
    start = next((frame_time(f) for f in frames), None)

    def fill(out: OutputContainer) -> tuple[Stream, Iterator[Packet[Any]]]:
        added = cast(AudioStream, out.add_stream(target.encoder, rate=target.rate))
        open_sound(added.codec_context, target)
        name_stream(added, stream, container)
        timed = ((start, block) for block in wanted)
        zero = origin - LEAD.get(container, Fraction(0))
        encoded = encode_samples(added.codec_context, timed, zero, rate, target.whole_start)
        return added, _given(encoded, added)

    try:
        with muxed(container, fill) as file:
            found_stream = second_stream(file, AudioStream)
            found, _, found_start = _decode(found_stream, list(file.demux(found_stream)))
            shown, lost = codec_name(found_stream), lost_names(stream, found_stream)
    except (av.FFmpegError, ValueError) as error:
        return TrialResult(reason_of(error))
    length = sum(map(len, wanted)) * target.rate // rate
    if found is None or found.shape[1] < length - 1 or found.shape[0] < min(channels, 2):
        return TrialResult("sound is lost when it is read back")
    if target.bits:
        exact = np.concatenate(wanted).T / 2.0**31
        if not np.array_equal(exact[:, ::-1], found[:, ::-1][:, : exact.shape[1]]):
            return TrialResult("other sound comes out when it is read back")
    extra = 0
    if not target.bits and found_start is not None and start is not None:
        at = start - origin + LEAD.get(container, Fraction(0))
        extra = max(0, round((at - found_start) * target.rate))
    return TrialResult(None, 0, extra, shown, lost)


def _given(packets: Iterable[Packet[Any]], stream: Stream) -> Iterator[Packet[Any]]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _decode(stream: AudioStream, packets: Sequence[Packet[Any]]) -> Decoded:
    context, refused, accepted = stream.codec_context, 0, False
    blocks: list[Sound] = []
    start: Fraction | None = None
    for packet in [*packets, None]:
        try:
            frames = context.decode(packet)
        except av.EOFError:
            break
        except av.FFmpegError:
            refused += not accepted
            continue
        accepted = True
        for frame in frames:
            if not blocks:
                start = frame_time(frame)
            blocks.append(_sound(frame))
    same = [b for b in blocks if len(b) == len(blocks[0])]
    return (np.concatenate(same, axis=1), refused, start) if same else (None, 0, None)


def _frames(stream: AudioStream, packet: Packet[Any]) -> list[av.AudioFrame]:
    try:
        return stream.codec_context.decode(packet)
    except av.FFmpegError:
        return []


def _sound(frame: av.AudioFrame) -> Sound:
    planes = samples_in(frame).T
    peak = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0}.get(
        frame.format.name.rstrip("p"), 1.0
    )
    offset = 128.0 if frame.format.name.startswith("u8") else 0.0
    sound: Sound = (planes.astype(np.float64) - offset) / peak
    return sound
