"""A look at a file without decoding it all: what its packets say, and runs of frames from all over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import av
from av.packet import Packet
from av.video.stream import VideoStream

from restore.io.decode import as_batch, picture_type
from restore.io.length import missing_bytes
from restore.io.parts import open_parts
from restore.io.picture import Picture
from restore.io.quantiser import quant_map
from restore.io.reader import ReadFault
from restore.io.source import Source
from restore.io.survey import spread_runs
from restore.video import FrameBatch, FrameInfo

MAX_PACKETS = 2_000_000
"""Packets that are counted: ten hours and more."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What the packets of a source say; nothing of it was decoded."""

    packets: dict[int, int]
    """By stream number: how many there are."""
    sizes: dict[int, int]
    """By stream number: their bytes."""
    stamps: tuple[int, ...]
    """Times of the picture's packets, sorted, in ticks of source.video.format.time_base; of those that have one."""
    faults: tuple[tuple[float | None, str], ...]
    """(seconds on the container's clock, what is wrong): where the container is broken, or ends too early."""

    def length(self, source: Source) -> Fraction | None:
        """Seconds from the first frame's time to the end of the last one's, taken as long as the others are on
        average; None where no time is known."""
        count, base = self.packets.get(source.video.index, 0), source.video.format.time_base
        if source.pace is not None:
            return count / source.pace
        if len(self.stamps) < 2 or self.stamps[0] == self.stamps[-1]:
            return None
        span = (self.stamps[-1] - self.stamps[0]) * base
        return span * len(self.stamps) / (len(self.stamps) - 1)


def tally(source: Source) -> Tally:
    """Read every packet of every stream once. Raises InputError where a part cannot be opened."""
    packets: Counter[int] = Counter()
    sizes: Counter[int] = Counter()
    stamps: list[int] = []
    faults: list[tuple[float | None, str]] = []
    base, picture = source.video.format.time_base, source.video.index
    indices = [picture, *(a.index for a in source.audio), *(o.index for o in source.other)]

    def report(kind: ReadFault, pts: int | None, text: str) -> None:
        faults.append((None, text))

    for part in open_parts(source):
        if part.images:
            packets[picture] += len(part.images)
            sizes[picture] += sum(file.stat().st_size for file in part.images)
            continue
        for index, packet in islice(part.packets(indices, report), MAX_PACKETS):
            packets[index] += 1
            sizes[index] += packet.size
            if index == picture and (seconds := _seconds(packet)) is not None:
                stamps.append(round((seconds + part.offset) / base))
    for file in (f for part in source.parts if not part.images for f in part.files):
        if missing := missing_bytes(file):
            faults.append((None, f"{file.name} ends {missing} bytes too early: cut off"))
    return Tally(dict(packets), dict(sizes), tuple(sorted(stamps)), tuple(faults))


def _seconds(packet: Packet[Any]) -> Fraction | None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None else stamp * Fraction(packet.time_base)


def sampled_runs(source: Source, count: int, length: int) -> Iterator[FrameBatch]:
    """Up to `count` runs of up to `length` consecutive frames from all over the source, with quantisers where the codec
    tells, as `decode` gives them but for their times, which are the file's own. Fewer, or none, where seeking does
    not work. Frames of another size than most are left out."""
    video = source.video
    each = max(1, -(-count // len(source.parts)))
    fmt = video.layout.decoded
    for part in open_parts(source):
        stream = part.stream(video.index)
        if part.images or not isinstance(stream, VideoStream) or stream.codec_context is None:
            continue
        stream.codec_context.options = {"export_side_data": "venc_params"}
        for run in spread_runs(part.container, stream, each, length):
            held = [
                Picture(
                    frame, _info(number, frame), quant_map(video.codec, frame, video.cut_at_start)
                )
                for number, frame in enumerate(run)
                if (frame.width, frame.height) == (fmt.width, fmt.height)
            ]
            if held:
                yield as_batch(held, video, True)


def _info(number: int, frame: av.VideoFrame) -> FrameInfo:
    stamp = frame.pts if frame.pts is not None else frame.dts
    return FrameInfo(
        number, stamp or 0, 1, picture_type=picture_type(frame), damaged=bool(frame.is_corrupt)
    )
