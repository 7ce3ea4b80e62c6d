"""When each sound of a file really begins."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from restore.io.reader import frame_time, packets_of

SEARCHED_PACKETS = 400
"""Packets of sound in all that are looked at."""


def sound_starts(container: InputContainer, streams: Sequence[AudioStream]) -> dict[int, Fraction]:
    """Seconds of the first decoded sample of each of `streams`, by stream number, on the container's clock. Headers
    are not asked: RealMedia says 0 for a sound that begins at -6 ms, and what an edit list hides is no sound.
    Streams that give none among the first packets are missing."""
    found: dict[int, Fraction] = {}
    wanted = [s for s in streams if s.codec_context is not None]
    if not wanted:
        return found
    for number, packet in enumerate(packets_of(container, wanted, lambda *_: None)):
        index = packet.stream_index
        if len(found) == len(wanted) or number >= SEARCHED_PACKETS:
            break
        if index in found or not packet.size:
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        for frame in frames:
            if isinstance(frame, av.AudioFrame) and (time := frame_time(frame)) is not None:
                found.setdefault(index, time)
    return found
