"""Repair of time stamps, streaming: what comes out increases strictly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

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
    """See the module. `spacing` (ticks) is used only where the stamps say nothing at all."""
    raise NotImplementedError
