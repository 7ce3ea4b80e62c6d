"""Can copied sound run on over the joints of a source? Each further part is tried as the first one is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, Final

from av.audio.stream import AudioStream
from av.packet import Packet

from restore.io.moving import sound_packets
from restore.io.parts import OpenPart, open_parts
from restore.io.sound_trial import try_copied_sound
from restore.io.source import Source
from restore.io.trial import TRIAL_PACKETS, copy_packet
from restore.io.wma import is_wma


@dataclass(frozen=True, slots=True)
class Joints:
    error: str | None = None
    """Why the sound cannot be copied over them; None: it can."""
    skips: tuple[int, ...] = ()
    """Leading packets of each further part that its decoder refuses: they stay behind."""


def try_joints(source: Source, index: int, container: str) -> Joints:
    """Of sound stream `index`, copied to `container`. Raises InputError when a part can no longer be read."""
    skips: list[int] = []
    setup: bytes | None = None
    for number, part in enumerate(open_parts(source)):
        name = source.parts[number].files[0].name
        stream = part.stream(index)
        if not isinstance(stream, AudioStream):
            skips.append(0)
            continue
        mine = stream.codec_context.extradata
        if number and container == "matroska" and is_wma(stream):
            return Joints(f"{name} may have blocks of another length")
        if number and mine != setup:
            return Joints(f"{name} was encoded with other settings")
        setup = mine
        packets = [copy_packet(p) for p in islice(_packets(part, index), TRIAL_PACKETS)]
        if number and packets:
            tried = try_copied_sound(stream, packets, container, _time(packets[0]))
            if tried.error is not None:
                return Joints(f"{name}: {tried.error}")
            if tried.extra or packets[0].has_sidedata(_SKIPPED):
                return Joints(f"the delay of the encoder of {name} would be heard")
            skips.append(tried.skip)
        elif number:
            skips.append(0)
        if number + 1 < len(source.parts) and _is_trimmed(part, index):
            return Joints(f"what fills up the end of {name} would be heard")
    return Joints(skips=tuple(skips))


def _packets(part: OpenPart, index: int) -> Iterator[Packet[Any]]:
    return sound_packets(part, index)


def _time(packet: Packet[Any]) -> Fraction:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return (stamp or 0) * Fraction(packet.time_base)


_SKIPPED: Final = "skip_samples"
"""Side data of packets of which not every sample is to be played."""
_TRIMMING = ("matroska", "mov", "ogg", "nut")
"""Beginnings of the names of containers that can say that samples at the end are not to be played."""


def _is_trimmed(part: OpenPart, index: int) -> bool:
    if not part.container.format.name.startswith(_TRIMMING):
        return False
    part.container.seek(0)
    return any(packet.has_sidedata(_SKIPPED) for packet in islice(_packets(part, index), 1, None))
