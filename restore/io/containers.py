"""What each container wants of its muxer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor
from os import SEEK_END
from typing import IO

LEAD = {"mpegts": Fraction(7, 5)}
"""Seconds at which the earliest stream begins, where not 0. A transport stream has no times below 0, and
decode times of B-frames and an encoder's delay lie before the first frame; FFmpeg's own choice."""

_COMMON = {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
"""No random numbers, dates or versions in it, and no shift of time (we shift ourselves; Matroska holds the
small negative times of an encoder's delay)."""
_QUICKTIME = {"movie_timescale": "90000"}
"""Start offsets are stored in the movie's time scale: FFmpeg's default of 1000 misses by up to 2 ms."""

LAP = {"mpegts": Fraction(1 << 33, 90_000)}
"""Seconds after which a container's clock begins again: 26 hours and a half of a transport stream."""

_TRANSPORT = {"omit_video_pes_length": "0"}
"""Readers get each picture when it ends, and not when the next one begins: FFmpeg takes the first packet it gets for
the beginning, and a picture a minute before that for one after the clock has gone round."""

_MATROSKA = frozenset({"matroska", "webm"})
_SLOT_RATES = (
    *(Fraction(r) for r in (24, 25, 30, 15, 12, 10, 50, 60, 18, 16, 20)),
    *(Fraction(r * 1000, 1001) for r in (24, 30, 60)),
)


def muxer_options(container: str, timecode: bool = False) -> dict[str, str]:
    """Options of the muxer, of every trial as of every output. `timecode`: that in the metadata becomes a track
    where the container keeps it so."""
    if is_quicktime(container):
        return _COMMON | _QUICKTIME | {"write_tmcd": str(int(timecode))}
    return _COMMON | (_TRANSPORT if container == "mpegts" else {})


def is_quicktime(container: str) -> bool:
    """MP4 is QuickTime's file format with other codecs."""
    return container in ("mp4", "mov")


def is_matroska(container: str) -> bool:
    """WebM is Matroska with fewer codecs."""
    return container in _MATROSKA


def quicktime_tick(
    times: Sequence[Fraction], longest: Fraction, usual: Fraction
) -> Fraction | None:
    """MP4 and QuickTime count in ticks of 1/n s, at least 10,000 a second in what FFmpeg writes, and what lies between two
    times of a frame (`longest`: the most of that, in seconds) has 31 bits. Seconds of the tick, `usual` where that does:
    one in which all of `times` (seconds, increasing) are whole, else the shortest. None where there is none."""
    fitting = [
        tick
        for tick in (usual, *_TICKS)
        if longest / _stored(tick) < 1 << 31
        and all(b > a for a, b in pairwise(round(t / tick) for t in times))
    ]
    exact = (t for t in fitting if all((at / t).denominator == 1 for at in times))
    return next(exact, fitting[0] if fitting else None)


_TICKS = (Fraction(1, 1_000_000), Fraction(1, 90_000), Fraction(1, 10_000), Fraction(1, 1000))


def _stored(tick: Fraction) -> Fraction:
    """What FFmpeg's muxer makes of it: doubled in rate until there are 10,000 a second."""
    rate = tick.denominator
    while rate < 10_000:
        rate *= 2
    return Fraction(1, rate)


_TRANSPORT_PACKET = 188
_ENOUGH_PACKETS = 16
"""Readers know a transport stream by its packets, FFmpeg from 11 on, and take less for something else."""


def fill_up_transport(file: IO[bytes]) -> None:
    """Put null packets behind a transport stream that is too short to be known for one."""
    missing = _ENOUGH_PACKETS - file.seek(0, SEEK_END) // _TRANSPORT_PACKET
    null = b"\x47\x1f\xff\x10".ljust(_TRANSPORT_PACKET, b"\xff")
    file.write(null * max(0, missing))


SHORTEST_SLOT = Fraction(1, 1000)
"""Seconds: FFmpeg's muxer makes longer ones of any that are shorter."""
_PAUSES = {
    "avi": Fraction(3600),
    **dict.fromkeys(("mpegts", "mp4", "mov"), Fraction(12 * 3600)),
}
"""Seconds. Every millisecond of a pause may be an empty slot of AVI; a transport stream's clock begins again every
26 hours, and QuickTime counts the shortest ticks of a pause in 31 bits."""


def longest_pause(container: str, time_base: Fraction) -> Fraction | None:
    """Seconds that a frame can last, in whole ticks of `time_base`; None: there is no end."""
    longest = _PAUSES.get(container)
    return None if longest is None else max(1, floor(longest / time_base)) * time_base


def without_pauses(times: Sequence[Fraction], longest: Fraction | None) -> list[Fraction]:
    """The same times (increasing), none more than `longest` after the one before: where they are, a clock is broken."""
    if longest is None:
        return list(times)
    made = list(times[:1])
    for before, time in pairwise(times):
        made.append(made[-1] + min(time - before, longest))
    return made


def slot_times(times: Sequence[Fraction]) -> list[Fraction]:
    """Seconds at which AVI shows frames that should be seen at `times` (seconds, increasing): the same where no two are
    closer than its shortest slot."""
    made: list[Fraction] = []
    for time in times:
        made.append(max(time, made[-1] + SHORTEST_SLOT) if made else time)
    return made


def slots_of(times: Sequence[Fraction], slot: Fraction) -> list[int]:
    """The slot of each of `times`, seconds; halves go up, so that what is a slot apart stays so."""
    return [floor(time / slot + Fraction(1, 2)) for time in times]


def slot_duration(times: Sequence[Fraction], usual: Fraction) -> Fraction:
    """AVI has no times, only frames in slots of one duration, some of them empty. Seconds of the longest slot
    such that each of `times` (seconds, as slot_times has them) lies within a millisecond of its own one: a `usual`
    frame's, that of a usual rate, else a millisecond."""
    for slot in (usual, *(1 / rate for rate in _SLOT_RATES)):
        if slot < SHORTEST_SLOT:
            continue
        slots = slots_of(times, slot)
        apart = all(b > a for a, b in pairwise(slots))
        if apart and all(
            abs(n * slot - t) <= Fraction(1, 1000) for n, t in zip(slots, times, strict=True)
        ):
            return slot
    return SHORTEST_SLOT
