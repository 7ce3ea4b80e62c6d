"""Can a container hold a stream as it is? Ask it: mux real packets, read them back, decode, compare."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream

from restore.io.moving import Mover, in_order

TRIAL_PACKETS = 48
"""Packets of a stream that are tried: a second or two of sound."""

MUXER_OPTIONS = {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
"""Options of every output: no random numbers, dates or versions in it, and no shift of time (we shift
ourselves; Matroska holds the small negative times of an encoder's delay)."""

Sound = npt.NDArray[np.float64]
"""(channels, n), full scale 1."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What came of it."""

    error: str | None
    """Why the container cannot hold the stream; None: it can."""
    skip: int = 0
    """Leading packets that the decoder refuses (a cut first frame): they hold nothing and stay behind."""
    extra: int = 0
    """Samples at the start that the copy plays and the source hides (encoder delay of an edit list)."""


def copy_packet(packet: Packet[Any]) -> Packet[Any]:
    """The same content, times and side data, without the tie to a stream."""
    twin: Packet[Any] = Packet(bytes(packet))
    twin.pts, twin.dts, twin.duration = packet.pts, packet.dts, packet.duration
    twin.time_base, twin.is_keyframe = packet.time_base, packet.is_keyframe
    for side in packet.iter_sidedata():
        twin.set_sidedata(side)
    return twin


def try_copy(stream: Stream, packets: Sequence[Packet[Any]], container: str) -> TrialResult:
    """Mux `packets` (in file order, from the start of `stream`) into `container` and read them back."""
    if isinstance(stream, AudioStream):
        return _try_sound(stream, packets, container)
    try:
        _muxed(stream, packets, container)
    except (av.FFmpegError, ValueError, TypeError) as error:
        return TrialResult(_reason(error))
    return TrialResult(None)


def _try_sound(stream: AudioStream, packets: Sequence[Packet[Any]], container: str) -> TrialResult:
    wanted, skip = _decode(stream, packets)
    if skip:
        # What a refused packet leaves in the decoder is noise; the copy will not have it.
        stream.codec_context.flush_buffers()
        wanted, _ = _decode(stream, packets[skip:])
    if wanted is None:
        return TrialResult("nothing in it can be decoded")
    try:
        file = _muxed(stream, packets[skip:], container)
        with av.open(file, "r", metadata_encoding="latin-1") as back:
            if not back.streams.audio:
                return TrialResult("what was written cannot be read back")
            found_stream = back.streams.audio[0]
            found, _ = _decode(found_stream, list(back.demux(found_stream)))
    except (av.FFmpegError, ValueError) as error:
        return TrialResult(_reason(error))
    if found is None or len(found) != len(wanted) or found.shape[1] < wanted.shape[1]:
        return TrialResult("sound is lost when it is read back")
    extra = found.shape[1] - wanted.shape[1]
    # The last packet of a cut file is short, and decoders read noise beyond it.
    compared = wanted.shape[1] * (len(packets) - 1) // len(packets)
    # Another decoder may be chosen for the same packets (mp2: integer or float): two steps of 16 bits.
    # Integers clip where floats do not.
    difference = (np.clip(found[:, extra:], -1, 1) - np.clip(wanted, -1, 1))[:, :compared]
    if np.abs(difference).max(initial=0) > 2 / 32768:
        return TrialResult("other sound comes out when it is read back")
    return TrialResult(None, skip, extra)


def _decode(stream: AudioStream, packets: Sequence[Packet[Any]]) -> tuple[Sound | None, int]:
    """(all samples or None, how many packets were refused before the first that was not)."""
    context, blocks, refused, accepted = stream.codec_context, [], 0, False
    for packet in [*packets, None]:
        try:
            frames = context.decode(packet)
        except av.EOFError:
            break
        except av.FFmpegError:
            refused += not accepted
            continue
        accepted = True
        blocks += [_sound(f) for f in frames]
    same = [b for b in blocks if len(b) == len(blocks[0])]
    return (np.concatenate(same, axis=1), refused) if same else (None, 0)


def _sound(frame: av.AudioFrame) -> Sound:
    raw = frame.to_ndarray()
    channels = frame.layout.nb_channels
    planes = raw if frame.format.is_planar else raw.reshape(-1, channels).T
    peak = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0}.get(
        frame.format.name.rstrip("p"), 1.0
    )
    offset = 128.0 if frame.format.name.startswith("u8") else 0.0
    sound: Sound = (planes.astype(np.float64) - offset) / peak
    return sound


def _muxed(stream: Stream, packets: Sequence[Packet[Any]], container: str) -> io.BytesIO:
    """A file in memory with a picture and this stream, as the output will have them."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, container_options=MUXER_OPTIONS) as out:
        picture = out.add_stream("mpeg4", rate=25, width=16, height=16)
        copy = out.add_stream_from_template(stream, opaque=True)
        blank = av.VideoFrame(16, 16, "yuv420p")
        blank.pts, blank.time_base = 0, Fraction(1, 25)
        out.start_encoding()
        out.mux(picture.codec_context.encode(blank))
        out.mux(picture.codec_context.encode(None))
        mover = Mover(copy, Fraction(0))
        twins: Iterable[Packet[Any]] = map(copy_packet, packets)
        for twin in in_order(twins) if stream.type == "audio" else twins:
            if mover.move(twin) is not None:
                out.mux_one(twin)
    file.seek(0)
    return file


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
