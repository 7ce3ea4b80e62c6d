"""When each sound of a file really begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from restore.io.moving import in_order
from restore.io.reader import frame_time, packets_of

SEARCHED_PACKETS = 400
"""Packets of sound in all that are looked at."""
ENOUGH_PACKETS = 64
"""Of each stream: some that cannot be decoded, and those that show which of the first times are true."""


def sound_starts(container: InputContainer, streams: Sequence[AudioStream]) -> dict[int, Fraction]:
    """Seconds of the first decoded sample of each of `streams`, by stream number, on the container's clock. Headers
    are not asked: RealMedia says 0 for a sound that begins at -6 ms, and what an edit list hides is no sound.
    Streams that give none among the first packets are missing."""
    found: dict[int, Fraction] = {}
    wanted = [s for s in streams if s.codec_context is not None]
    if not wanted:
        return found
    flow = packets_of(container, wanted, lambda *_: None)
    heads: dict[int, list[Packet[Any]]] = {s.index: [] for s in wanted}
    for packet in islice(flow, SEARCHED_PACKETS):
        if packet.size:
            heads[packet.stream_index].append(packet)
        if all(len(head) >= ENOUGH_PACKETS for head in heads.values()):
            break
    for index, head in heads.items():
        time = next(_times(in_order(head)), None)
        if time is not None:
            found[index] = time
    return found


def _times(packets: Iterable[Packet[Any]]) -> Iterator[Fraction]:
    """Of every decoded frame that has one."""
    for packet in packets:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            if isinstance(frame, av.AudioFrame) and (time := frame_time(frame)) is not None:
                yield time
