"""Repair of time stamps, streaming: what comes out increases strictly.

Policy. Stamps that increase are true, however irregular (VFR): they come through bit for bit. Where some
do not, the false ones are found among the next LOOK_AHEAD stamps: kept as anchors is the longest increasing
run (with room for one tick per frame between them), and among equally long ones the one whose spacing is
most even. So a stamp that jumps ahead and is contradicted by the next is the false one, not the next. A pair
that claims a tick too much and a tick too little (RealVideo 2 stores them so, to keep them rising in the file's order)
was swapped: the greater stamp is the later one's. What lies between anchors is spread evenly and rounded to the
nearest tick, never clamped. Behind the last anchor,
the median recent spacing goes on. A counter that overflowed is unwound first; where every stamp ahead lies far
in the past, the clock began again: the rest is shifted as a whole, either way, and keeps its spacing.

At the end of a stream a stamp has no successors to contradict it: it is held false when it errs exactly
as the false stamps just before it did.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from statistics import median
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

LOOK_AHEAD = 16
"""Frames held back: reorder depths and muxer faults are shorter; DP cost grows with its square."""

Repair = Literal["missing", "duplicate", "backward", "ahead", "wrapped", "restarted"]
"""Why a stamp was replaced: absent; equal to the one before; before its predecessor; contradicted
by its successors; the counter overflowed; the clock began again."""


@dataclass(frozen=True, slots=True)
class Stamp(Generic[T]):
    """One thing and the time it claims, in ticks; None: it claims none."""

    item: T
    pts: int | None


@dataclass(frozen=True, slots=True)
class Timed(Generic[T]):
    item: T
    pts: int
    """Ticks, strictly increasing."""
    duration: int
    """Ticks to the next item; of the last one, the median of recent spacings."""
    repair: Repair | None = None
    """None: the stamp is the one that came in, bit for bit."""


def repair_times(
    stamped: Iterable[Stamp[T]], spacing: Fraction | None = None
) -> Iterator[Timed[T]]:
    """The same items in the same order, with times by the policy above. Holds LOOK_AHEAD + 2 items.
    `spacing` (ticks per item, above 0) is used only until the stamps themselves show one."""
    clock, counter = _Clock(spacing), _Counter()
    waiting: deque[_Believed[T]] = deque()
    rising = 0  # how many of the newest stamps increase strictly
    last: tuple[T, int, Repair | None] | None = None

    def settle() -> Iterator[Timed[T]]:
        nonlocal last
        first = waiting[0]
        found = clock.trust(first.pts) if rising >= len(waiting) else None
        if found is None:
            ahead = [b.pts for b in waiting]
            found = clock.judge(ahead, first.claimed, len(waiting) <= LOOK_AHEAD)
        pts, repair = found
        waiting.popleft()
        if last is not None:
            yield Timed(last[0], last[1], pts - last[1], last[2])
        if first.reason in ("ahead", "backward"):
            repair = first.reason
        last = (first.item, pts, repair or first.reason)

    previous: int | None = None
    for believed in _unswapped(stamped, counter):
        pts = believed.pts
        ordered = pts is not None and (previous is None or pts > previous)
        rising = rising + 1 if ordered else int(pts is not None)
        previous = pts
        waiting.append(believed)
        if len(waiting) > LOOK_AHEAD:
            yield from settle()
    while waiting:
        yield from settle()
    if last is not None:
        yield Timed(last[0], last[1], round(clock.typical([])), last[2])


@dataclass(frozen=True, slots=True)
class _Believed(Generic[T]):
    item: T
    claimed: int | None
    """The stamp as it came in, its overflow unwound."""
    pts: int | None
    """What of it is believed so far."""
    reason: Repair | None
    """Why that is not the stamp as it came in."""


def _unswapped(stamped: Iterable[Stamp[T]], counter: _Counter) -> Iterator[_Believed[T]]:
    """Of neighbours that claim t + 1 and t, the second has t + 1 and the first has no time of its own."""
    held: _Believed[T] | None = None
    for stamp in stamped:
        pts, wrapped = counter.unwrap(stamp.pts)
        here = _Believed(stamp.item, pts, pts, "wrapped" if wrapped else None)
        if held is not None:
            if held.pts is not None and pts is not None and held.pts == pts + 1:
                here = replace(here, pts=held.pts, reason="backward")
                held = replace(held, pts=None, reason="ahead")
            yield held
        held = here
    if held is not None:
        yield held


class _Clock:
    """What was decided so far, and the decision about the next stamp."""

    def __init__(self, spacing: Fraction | None) -> None:
        self._nominal = spacing
        self._shift = 0  # added to stamps since the clock began again
        self._before: int | None = None  # last decided time
        self._claimed: int | None = None  # last stamp as it came in
        self._steps: deque[int] = deque(maxlen=2 * LOOK_AHEAD)
        self._errors: deque[int] = deque(maxlen=2)  # claimed minus true, of the last false stamps
        self._since_error = 2  # stamps decided since the last false one

    def typical(self, stamps: Sequence[int | None]) -> float:
        """Ticks per frame: median of what was decided, else the median slope of what is ahead
        (Theil 1950, Sen 1968: robust to nearly a third of false stamps), else the nominal one."""
        if len(self._steps) < 4:
            known = [(i, s) for i, s in enumerate(stamps) if s is not None]
            slopes = [(b - a) / (j - i) for (i, a), (j, b) in combinations(known, 2)]
            rising = [s for s in [*self._steps, *slopes] if s > 0]
            if not rising:
                return max(1.0, float(self._nominal or 1))
            return max(1.0, median(rising))
        return max(1.0, median(self._steps))

    def trust(self, claimed: int | None) -> tuple[int, Repair | None] | None:
        """Time of a stamp that all after it confirm; None where it contradicts what was decided."""
        if claimed is None or self._since_error < 2:
            return None
        pts = claimed + self._shift
        if self._before is not None and pts <= self._before:
            return None
        self._decide(claimed, pts)
        return pts, "restarted" if self._shift else None

    def judge(
        self, claims: list[int | None], claimed: int | None, at_end: bool
    ) -> tuple[int, Repair | None]:
        """Time of claims[0], which is followed by the others; `claimed`: what it said itself."""
        stamps = [None if s is None else s + self._shift for s in claims]
        anchors = _anchors(stamps, self._before, self.typical(stamps))
        if not anchors and self._began_again(stamps):
            self._shift += self._follow_on(stamps)
            stamps = [None if s is None else s + self._shift for s in claims]
            anchors = [0]
        if at_end and len(anchors) == 1 and self._errs_as_before(stamps, anchors[0]):
            anchors = []
        pts = self._place(stamps, anchors)
        reason: Repair | None = "restarted" if self._shift else None
        if 0 not in anchors:
            reason = self._reason(claimed)
            if claimed is not None:
                self._errors.append(claimed + self._shift - pts)
            self._since_error = -1
        self._decide(claimed, pts)
        return pts, reason

    def _decide(self, claimed: int | None, pts: int) -> None:
        if self._before is not None:
            self._steps.append(pts - self._before)
        self._before = pts
        self._claimed = self._claimed if claimed is None else claimed
        self._since_error += 1

    def _place(self, stamps: list[int | None], anchors: list[int]) -> int:
        """Time of stamps[0]: its own, or an even share of the way to the next anchor."""
        step = self.typical(stamps)
        goal = stamps[anchors[0]] if anchors else None
        if goal is None:
            return 0 if self._before is None else round(self._before + step)
        if self._before is None:
            return round(goal - anchors[0] * step)
        return _share(self._before, goal, anchors[0] + 1)

    def _reason(self, claimed: int | None) -> Repair:
        if claimed is None:
            return "missing"
        if claimed == self._claimed:
            return "duplicate"
        return "ahead" if self._claimed is None or claimed > self._claimed else "backward"

    def _errs_as_before(self, stamps: list[int | None], i: int) -> bool:
        """The stamp is as far ahead of the even course as the last two false ones were."""
        stamp = stamps[i]
        if len(self._errors) < 2 or self._since_error > 1 or stamp is None or self._before is None:
            return False
        step = self.typical(stamps)
        error = stamp - (self._before + (i + 1) * step)
        slack = max(1.0, step / 10)
        return error > step / 2 and all(abs(error - e) <= slack for e in self._errors)

    def _began_again(self, stamps: list[int | None]) -> bool:
        """All that is ahead lies in the past, farther than disorder reaches, and it is enough to say so."""
        known = [s for s in stamps if s is not None]
        lag = 0 if stamps[0] is None or self._before is None else self._before - stamps[0]
        return len(known) >= LOOK_AHEAD // 4 and lag > LOOK_AHEAD // 2 * self.typical(stamps)

    def _follow_on(self, stamps: list[int | None]) -> int:
        """What to add to the rest so that it follows at the typical distance."""
        return round((self._before or 0) + self.typical([])) - (stamps[0] or 0)


class _Counter:
    """Undoes the overflow of a 31, 32 or 33 bit counter, as RealMedia and MPEG have them."""

    def __init__(self) -> None:
        self._laps = 0
        self._last: int | None = None

    def unwrap(self, pts: int | None) -> tuple[int | None, bool]:
        """(time without overflow, whether that changed it)."""
        if pts is None:
            return None, False
        jump = 0 if self._last is None else pts + self._laps - self._last
        for lap in (1 << 31, 1 << 32, 1 << 33):
            # Near a full lap, so that no real jump is taken for one.
            if abs(abs(jump) - lap) < lap >> 10:
                self._laps += lap if jump < 0 else -lap
        self._last = pts + self._laps
        return self._last, self._laps != 0


def _share(start: int, goal: int, parts: int) -> int:
    """start + (goal - start) / parts, rounded to nearest, halves up."""
    return start + (2 * (goal - start) + parts) // (2 * parts)


def _anchors(stamps: Sequence[int | None], before: int | None, step: float) -> list[int]:
    """Positions of the longest run that increases by at least a tick per frame, after `before` at
    position -1; among the longest, the one whose spacing is closest to `step` (dynamic programming).
    What is near counts more: the far end is not contradicted only because the view ends there."""
    best: list[tuple[int, float, int]] = []  # per position: length, unevenness, predecessor
    for j, end in enumerate(stamps):
        found = (0, 0.0, -1)
        if end is not None:
            nearness = 1 - j / (LOOK_AHEAD + 2)
            if before is None:
                found = (1, 0.0, -1)
            elif end - before >= j + 1:
                found = (1, nearness * _unevenness(end - before, j + 1, step), -1)
            for i in range(j):
                start, (length, uneven, _) = stamps[i], best[i]
                if start is not None and length and end - start >= j - i:
                    uneven += nearness * _unevenness(end - start, j - i, step)
                    if (length + 1, -uneven) > (found[0], -found[1]):
                        found = (length + 1, uneven, i)
        best.append(found)
    at = max(range(len(best)), key=lambda j: (best[j][0], -best[j][1]))
    run = []
    while at >= 0 and best[at][0]:
        run.append(at)
        at = best[at][2]
    return run[::-1]


def _unevenness(ticks: int, frames: int, step: float) -> float:
    """How far a gap is from `frames` typical steps, in steps; a pause is no worse than a few."""
    return min(abs(ticks / step - frames), 4.0)
