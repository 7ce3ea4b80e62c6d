"""Packets of one file on the clock of another.

Every reader of a sound takes its packets from `sound_packets`: where one goes by the stamps as they are and another
by the repaired ones, they do not agree about what of a jumping stream lies in a part, or when it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any, Final

from av.packet import Packet
from av.stream import Stream

from restore.io.parts import OpenPart
from restore.io.reader import ReadFault, Report, begins_inside, believable
from restore.io.source import Span
from restore.io.timeline import Stamp, repair_times


@dataclass(slots=True)
class SoundFaults:
    """What a source says of one of its sounds that cannot be true, or cannot be read."""

    refused: int = 0
    """Packets that cannot be decoded."""
    cut: int = 0
    """Errors of the container, and packets that it says are cut short."""
    moved: int = 0
    """Packets whose times cannot be true."""
    changed: int = 0
    """Frames of another rate or number of channels than the first."""

    def text(self, times: bool = True) -> str:
        """For people; empty: there are none. `times`: those that cannot be true are told too."""
        counted = (
            (self.refused, "packets cannot be decoded"),
            (self.cut, "errors of the container"),
            (self.moved * times, "times cannot be true"),
            (self.changed, "pieces have another rate or number of channels"),
        )
        return ", ".join(f"{count} {what}" for count, what in counted if count)


def sound_packets(
    part: OpenPart,
    index: int,
    report: Report = lambda *_: None,
    faults: SoundFaults | None = None,
) -> Iterator[Packet[Any]]:
    """Packets of sound stream `index` of the source, in file order, with times that increase. `faults` counts what
    was wrong with them."""
    found = SoundFaults() if faults is None else faults

    def heard(kind: ReadFault, pts: int | None, text: str) -> None:
        found.cut += 1
        report(kind, pts, text)

    yield from in_order((packet for _, packet in part.packets([index], heard)), found)


def in_order(
    packets: Iterable[Packet[Any]], faults: SoundFaults | None = None
) -> Iterator[Packet[Any]]:
    """Packets of one sound stream, in file order, with times that increase (see restore.io.timeline): one
    false stamp must not move all that follow."""
    flow = iter(packets)
    first = next(flow, None)
    if first is None:
        return
    base = Fraction(first.time_base or 1)
    stamped = (
        Stamp(p, believable(p.pts if p.dts is None else p.dts, base)) for p in chain([first], flow)
    )
    length = max(1, first.duration or 1)
    said, late = first.pts if first.dts is None else first.dts, None
    for timed in repair_times(stamped, Fraction(length)):
        packet = timed.item
        if late is None:
            # FFmpeg may give the first two packets of an AVI file one time. AVI has no times, it counts: the first is right.
            late = length if _counts(packet) and said == timed.pts + length else 0
        if faults is not None:
            faults.moved += timed.repair not in (None, "missing", "wrapped")
        lead = 0 if packet.pts is None or packet.dts is None else packet.pts - packet.dts
        packet.dts, packet.pts = timed.pts + late, timed.pts + late + lead
        yield packet


def _counts(packet: Packet[Any]) -> bool:
    """Whether the packet's container has no times of its own for sound."""
    stream = packet.stream  # none of a packet that is made here
    return stream is not None and bool(stream.container.format.name == "avi")


_SETUP: Final = "new_extradata"
"""Side data of a packet that comes with its codec's setup once more."""


def without_setup(packet: Packet[Any], setup: bytes | None) -> Packet[Any]:
    """The packet without a setup of its own, where its stream has one, `setup`: FFmpeg's Matroska muxer writes another
    over that in the header, whatever its length."""
    if not setup or not packet.has_sidedata(_SETUP):
        return packet
    twin: Packet[Any] = Packet(bytes(packet))
    twin.pts, twin.dts, twin.duration = packet.pts, packet.dts, packet.duration
    twin.time_base, twin.is_keyframe = packet.time_base, packet.is_keyframe
    for side in packet.iter_sidedata():
        if side.data_type != _SETUP:
            twin.set_sidedata(side)
    return twin


class Mover:
    """Makes packets of one source stream ready for an output's `stream` whose header is written."""

    def __init__(
        self, stream: Stream, origin: Fraction, skip: int = 0, span: Span | None = None
    ) -> None:
        """`origin`: seconds on the source's clock that become 0; `skip`: leading packets to leave out;
        `span`: the part of the source that is wanted."""
        self.stream = stream
        self._origin, self._skip, self._span = origin, skip, span
        self._base = Fraction(stream.time_base or Fraction(1, 1000))
        self._last: int | None = None
        self._next = Fraction(0)

    def move(self, packet: Packet[Any], offset: Fraction = Fraction(0)) -> Fraction | None:
        """Rewrite `packet`'s stream and times in place; its decode time in seconds, or None where it is
        left out. A packet without a time follows the one before it. `offset`: seconds that the clock of
        the packet's part lies behind the source's."""
        if self._skip:
            self._skip -= 1
            return None
        if self._span is not None and not begins_inside(packet, self._span, offset):
            return None
        theirs, origin = Fraction(packet.time_base), self._origin - offset
        stamp = packet.dts if packet.dts is not None else packet.pts
        at = self._next if stamp is None else stamp * theirs - origin
        pts = at if packet.pts is None else packet.pts * theirs - origin
        length = (packet.duration or 0) * theirs
        self._next = at + length
        packet.stream, packet.time_base = self.stream, self._base
        packet.pts, packet.dts = round(pts / self._base), round(at / self._base)
        packet.duration = round(length / self._base)
        if self._last is not None and packet.dts <= self._last:
            packet.dts = self._last + 1  # rounded to the output's ticks, time may not stand still
            packet.pts = max(packet.pts, packet.dts)
        self._last = packet.dts
        return at
