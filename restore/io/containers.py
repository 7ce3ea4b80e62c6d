"""What each container wants of its muxer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

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

_MATROSKA = frozenset({"matroska", "webm"})
_SLOT_RATES = (
    *(Fraction(r) for r in (24, 25, 30, 15, 12, 10, 50, 60, 18, 16, 20)),
    *(Fraction(r * 1000, 1001) for r in (24, 30, 60)),
)


def muxer_options(container: str, timecode: bool = False) -> dict[str, str]:
    """Options of the muxer, of every trial as of every output. `timecode`: that in the metadata becomes a track
    where the container keeps it so."""
    if not is_quicktime(container):
        return dict(_COMMON)
    return _COMMON | _QUICKTIME | {"write_tmcd": str(int(timecode))}


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


def slot_duration(times: Sequence[Fraction], usual: Fraction) -> Fraction:
    """AVI has no times, only frames in slots of one duration, some of them empty. Seconds of the longest slot
    such that each of `times` (seconds, increasing) lies within a millisecond of its own one: a `usual` frame's,
    that of a usual rate, else a millisecond."""
    for slot in (usual, *(1 / rate for rate in _SLOT_RATES)):
        slots = [round(t / slot) for t in times]
        apart = all(b > a for a, b in pairwise(slots))
        if apart and all(
            abs(n * slot - t) <= Fraction(1, 1000) for n, t in zip(slots, times, strict=True)
        ):
            return slot
    return Fraction(1, 1000)
