"""Can a container hold a stream? Ask it: mux real packets, read them back, decode, compare."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar, cast

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from restore.io.chapters import Chapter
from restore.io.containers import LEAD, muxer_options
from restore.io.moving import Mover, in_order
from restore.io.names import lost_names, name_stream
from restore.io.reader import codec_name
from restore.io.sound import SoundCount, SoundTarget, encode_samples, open_sound, to_samples
from restore.io.subtitles import add_subtitles, converted_subtitle

TRIAL_PACKETS = 48
"""Packets of a stream that are tried: a second or two of sound."""

Sound = npt.NDArray[np.float64]
"""(channels, n), full scale 1."""

Decoded = tuple[Sound | None, int, Fraction | None]
"""(all samples or None, how many packets were refused before the first that was not, seconds of the first
sample or None)."""

Filler = Callable[[OutputContainer], tuple["Stream | None", "Iterator[Packet[Any]]"]]
"""Adds one stream to a file; what it returns gives its packets once the header is written."""

_TOLERANCE = Fraction(1, 1000)


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
    if isinstance(stream, AudioStream):
        return _try_sound(stream, packets, container, origin)
    try:
        with _muxed(container, _copier(stream, packets, container, origin)) as file:
            return _compare_other(stream, packets, file)
    except (av.FFmpegError, ValueError, TypeError) as error:
        return TrialResult(_reason(error))


def try_sound(
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
    start = next((_time(f) for f in frames), None)

    def fill(out: OutputContainer) -> tuple[Stream, Iterator[Packet[Any]]]:
        added = cast(AudioStream, out.add_stream(target.encoder, rate=target.rate))
        open_sound(added.codec_context, target)
        name_stream(added, stream, container)
        timed = ((start, block) for block in wanted)
        zero = origin - LEAD.get(container, Fraction(0))
        encoded = encode_samples(added.codec_context, timed, zero, rate, target.whole_start)
        return added, _given(encoded, added)

    try:
        with _muxed(container, fill) as file:
            found_stream = _second_stream(file, AudioStream)
            found, _, found_start = _decode(found_stream, list(file.demux(found_stream)))
            shown, lost = codec_name(found_stream), lost_names(stream, found_stream)
    except (av.FFmpegError, ValueError) as error:
        return TrialResult(_reason(error))
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
        with _muxed(container, fill) as file:
            found = _second_stream(file, Stream)
            back = [p for p in file.demux(found) if p.size]
            if packets and not back:
                return TrialResult("no text comes back")
            return TrialResult(None, shown_as=codec_name(found), lost=lost_names(stream, found))
    except (av.FFmpegError, ValueError, TypeError) as error:
        return TrialResult(_reason(error))


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
        with _muxed(container, fill) as file:
            found = {k.lower() for k in file.metadata}
            return ContainerTrial(
                len(file.chapters()) == len(chapters),
                tuple(k for k in metadata if k.lower() not in found),
            )
    except (av.FFmpegError, ValueError):
        return ContainerTrial(False, tuple(metadata))


def _copier(
    stream: Stream, packets: Iterable[Packet[Any]], container: str, origin: Fraction
) -> Filler:
    def fill(out: OutputContainer) -> tuple[Stream, Iterator[Packet[Any]]]:
        copy = out.add_stream_from_template(stream, opaque=True)
        name_stream(copy, stream, container)
        return copy, moved(copy)

    def moved(copy: Stream) -> Iterator[Packet[Any]]:
        mover = Mover(copy, origin - LEAD.get(container, Fraction(0)))
        twins: Iterable[Packet[Any]] = map(copy_packet, packets)
        for twin in in_order(twins) if stream.type == "audio" else twins:
            if mover.move(twin) is not None:
                yield twin

    return fill


def _given(packets: Iterable[Packet[Any]], stream: Stream) -> Iterator[Packet[Any]]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _try_sound(
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
        with _muxed(container, _copier(stream, packets[skip:], container, origin)) as file:
            found_stream = _second_stream(file, AudioStream)
            found, _, found_start = _decode(found_stream, list(file.demux(found_stream)))
            shown, lost = codec_name(found_stream), lost_names(stream, found_stream)
            rate = found_stream.codec_context.sample_rate
    except (av.FFmpegError, ValueError) as error:
        return TrialResult(_reason(error))
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


def _compare_other(
    stream: Stream, packets: Sequence[Packet[Any]], file: av.container.InputContainer
) -> TrialResult:
    """Whether what came back is of the same kind and content."""
    found = _second_stream(file, Stream)
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
                start = _time(frame)
            blocks.append(_sound(frame))
    same = [b for b in blocks if len(b) == len(blocks[0])]
    return (np.concatenate(same, axis=1), refused, start) if same else (None, 0, None)


def _frames(stream: AudioStream, packet: Packet[Any]) -> list[av.AudioFrame]:
    try:
        return stream.codec_context.decode(packet)
    except av.FFmpegError:
        return []


def _time(frame: av.AudioFrame) -> Fraction | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return frame.pts * Fraction(frame.time_base)


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


def _muxed(container: str, fill: Filler) -> av.container.InputContainer:
    """A file in memory with a picture and what `fill` adds, as the output will have them, open to read."""
    file = io.BytesIO()
    lead = LEAD.get(container, Fraction(0))
    with av.open(file, "w", format=container, container_options=muxer_options(container)) as out:
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
    file.seek(0)
    return av.open(file, "r", metadata_encoding="latin-1")


_PICTURES = {"webm": "libvpx"}
"""Encoder of the trial's picture where MPEG-4 does not do."""

S = TypeVar("S", bound=Stream)


def _second_stream(file: av.container.InputContainer, kind: type[S]) -> S:
    """What was tried: it follows the picture. Raises ValueError."""
    found = file.streams[1] if len(file.streams) > 1 else None
    if not isinstance(found, kind):
        raise ValueError("what was written cannot be read back")
    return found


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
