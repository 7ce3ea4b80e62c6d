"""Which frames of two videos belong together: by time stamp alone, never by number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

_USUAL_STEP = Fraction(1, 25)
"""Seconds, of a video of one frame, which has no step."""


@dataclass(frozen=True, slots=True)
class Moment(Generic[A, B]):
    """One picture of a comparison."""

    time: Fraction
    """Seconds: of A's frame, or of B's where A has none here."""
    a: A | None
    """What A shows: its frame here, else its last one; None before its first."""
    b: B | None
    a_time: Fraction | None
    """Of the frame in `a`."""
    b_time: Fraction | None
    a_here: bool
    """A has a frame of its own here."""
    b_here: bool

    @property
    def paired(self) -> bool:
        return self.a_here and self.b_here


def match(
    a: Iterable[tuple[Fraction, A]], b: Iterable[tuple[Fraction, B]]
) -> Iterator[Moment[A, B]]:
    """Every frame of both, in order of time. Two frames are a pair where they lie within half a frame of each
    other (of the shorter of the two steps to the next frame), which makes each the other's nearest. What has no partner comes
    beside the last frame of the other side. Times are in seconds on one clock and must rise; one frame of each side is
    looked ahead."""
    left, right = _Row(a), _Row(b)
    while left.item is not None or right.item is not None:
        if left.item is not None and right.item is not None and _belong(left, right):
            left.take()
            right.take()
            yield _moment(left, right, True, True)
        elif right.item is None or (left.item is not None and left.time < right.time):
            left.take()
            yield _moment(left, right, True, False)
        else:
            right.take()
            yield _moment(left, right, False, True)


class _Row(Generic[T]):
    """One side: the frame that comes now, the one after it, and the one that was taken last."""

    def __init__(self, frames: Iterable[tuple[Fraction, T]]) -> None:
        self._rest = iter(frames)
        self.item = next(self._rest, None)
        self.following = next(self._rest, None) if self.item else None
        self.shown: tuple[Fraction, T] | None = None
        self._step = _USUAL_STEP

    @property
    def time(self) -> Fraction:
        assert self.item is not None
        return self.item[0]

    @property
    def step(self) -> Fraction:
        """Seconds to the next frame; at the end as many as before."""
        return self._step if self.following is None else self.following[0] - self.time

    def take(self) -> None:
        self._step = self.step
        self.shown, self.item = self.item, self.following
        self.following = next(self._rest, None) if self.item else None


def _belong(left: _Row[A], right: _Row[B]) -> bool:
    """Within half a step no other frame of either side can be nearer."""
    return abs(left.time - right.time) <= min(left.step, right.step) / 2


def _moment(left: _Row[A], right: _Row[B], a_here: bool, b_here: bool) -> Moment[A, B]:
    a, b = left.shown, right.shown
    here = a if a_here else b
    assert here is not None
    return Moment(
        here[0],
        None if a is None else a[1],
        None if b is None else b[1],
        None if a is None else a[0],
        None if b is None else b[0],
        a_here,
        b_here,
    )
