"""Where a restoration lies in its source: from when, and in which part of the picture.

A part of a film (made with --start) begins at 0, and a result whose borders were cut off is smaller than its source; neither
file says so. The pictures do: moments of B are looked for in A, small and less their mean, by their normalised
cross-correlation (Lewis 1995, "Fast normalized cross-correlation"), which brightness and contrast do not change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.compare.pairs import clock_shift
from restore.errors import InputError
from restore.io.decode import decode
from restore.io.source import Source

ALIKE = 0.7
"""Mean correlation from which two videos show the same. Measured on 56 ordered pairs of eight old films: 0.47 at most where their
clocks run alike, and no other place whose first moment reached 0.6; restorations and their sources lie above 0.9."""
SURE = 0.99
"""From which nothing better is looked for: above what two moments of one calm shot have in common."""
BETTER = 0.01
"""By so much another place must correlate better than the one where the clocks run alike."""
_WIDTH = 64
"""Samples of a small picture's row."""
_FLAT = 2.0
"""Codes: a picture that varies less says nothing about where it belongs."""
_MARK_STEP = Fraction(1, 4)
_MARKS = 48
_PLACED = 8
"""Moments at full size that say where a smaller picture lies."""
_SCALES = (Fraction(1), Fraction(2), Fraction(3), Fraction(4), Fraction(1, 2))

Codes = NDArray[np.uint8]
Small = NDArray[np.float32]
Shown = tuple[Fraction, Small]
"""(seconds, a small picture)."""


@dataclass(frozen=True)
class Placement:
    """Where B lies in A."""

    offset: Fraction | None
    """Seconds after A's first frame that are B's time 0; None: the clocks run alike."""
    crop: str | None = None
    """What was cut from A's picture, as [input] crop takes it; None: nothing."""
    notes: tuple[str, ...] = ()
    """What was found, for people."""


def find_placement(
    a: Source,
    b: Source,
    offset: Fraction | None,
    cropped: bool,
    progress: Callable[[str], None] = lambda _: None,
) -> Placement:
    """Look for B's moments in A. `offset`: where the user says that B begins: it is believed, and doubted in a note only.
    `cropped`: A is read as the restoration read it. Raises InputError where the two do not show the same."""
    view = _View(a, b, cropped)
    marks = view.marks()
    if not marks:
        return Placement(offset)  # flat pictures tell nothing
    move = clock_shift(a, b, offset)
    here = view.likeness_at(marks, move)
    notes: list[str] = []
    if offset is not None:
        if here < ALIKE:
            notes.append(
                f"the pictures of the two do not look alike at --offset (correlation {here:.2f}); is it right?"
            )
    elif here < SURE:
        progress("looking for the place of B in A")
        there, best = view.best(marks)
        if best >= ALIKE and best > here + BETTER and there != move:
            # What `clock_shift` adds for no offset at all is what B's time 0 is counted from.
            offset = there - clock_shift(a, b, Fraction(0))
            move, here = there, best
            notes.append(f"B is a part of A: it begins {float(offset):.3f} s after A's first frame")
    if here < ALIKE and not notes:
        raise InputError(
            f"{a.path}, {b.path}: expected the same film in both, but their pictures are not alike at any time "
            f"(correlation {max(here, 0):.2f}, expected {ALIKE} or more); --offset pairs them all the same"
        )
    crop = view.crop(marks, move) if view.smaller and here >= ALIKE else None
    if crop is not None:
        notes.append(
            f"B shows A without its borders: A is cut by {crop} (left, top, right, bottom)"
        )
    return Placement(offset, crop, tuple(notes))


class _View:
    """Small pictures of two videos, at one scale."""

    def __init__(self, a: Source, b: Source, cropped: bool) -> None:
        self._a, self._b = a, b
        big, small = a.video.format, b.video.format
        self._inner = (
            None if cropped else _inner((big.width, big.height), (small.width, small.height))
        )
        self._size = (_WIDTH, max(8, round(big.height * _WIDTH / big.width)))
        self._part = self._size
        if self._inner is not None:
            width, height = self._inner
            self._part = (
                max(8, round(width * _WIDTH / big.width)),
                max(8, round(height * _WIDTH / big.width)),
            )

    @property
    def smaller(self) -> bool:
        """Whether B may be a part of A's picture."""
        return self._inner is not None

    def marks(self) -> list[Shown]:
        """Moments of B that say something, at B's own times."""
        found: list[Shown] = []
        for time, codes in _luma(self._b):
            if found and time - found[-1][0] < _MARK_STEP:
                continue
            small = _small(codes, self._part)
            if float(small.std()) < _FLAT:
                continue
            found.append((time, small))
            if len(found) == _MARKS:
                break
        return found

    def likeness_at(self, marks: Sequence[Shown], move: Fraction) -> float:
        """Mean correlation of the marks, `move` seconds later on A's clock, with A's frames there."""
        last = marks[-1][0] + move
        shown: list[Shown] = []
        for time, codes in _luma(self._a):
            if time >= marks[0][0] + move - _MARK_STEP:
                shown.append((time, _small(codes, self._size)))
            if time > last + _MARK_STEP:
                break
        return _score(marks, move, shown)

    def best(self, marks: Sequence[Shown]) -> tuple[Fraction, float]:
        """The seconds to add to B's times where its marks correlate best with A, and how well."""
        reach = marks[-1][0] - marks[0][0]
        held: deque[Shown] = deque()
        found = (Fraction(0), -1.0)

        def try_first() -> None:
            nonlocal found
            time, small = held[0]
            if _alike(small, marks[0][1]) >= ALIKE - 0.1:
                move = time - marks[0][0]
                score = _score(marks, move, held)
                if score > found[1]:
                    found = (move, score)

        for time, codes in _luma(self._a):
            held.append((time, _small(codes, self._size)))
            while time - held[0][0] > reach + _MARK_STEP:
                try_first()
                held.popleft()
        # Nearer to the end some of the marks lie beyond it.
        while held and held[-1][0] - held[0][0] >= reach / 2:
            try_first()
            held.popleft()
        return found

    def crop(self, marks: Sequence[Shown], move: Fraction) -> str | None:
        """Where B's picture lies in A's, found at full size; None where moments disagree."""
        assert self._inner is not None
        wanted = deque(time for time, _ in marks[:: max(1, len(marks) // _PLACED)])
        parts: deque[tuple[Fraction, Codes]] = deque()
        for time, codes in _luma(self._b):
            if wanted and time >= wanted[0]:
                wanted.popleft()
                small = cv2.resize(codes, self._inner, interpolation=cv2.INTER_AREA)
                parts.append((time + move, np.asarray(small).astype(np.uint8)))
            if not wanted:
                break
        places = []
        for time, codes in _luma(self._a):
            # B's frame and A's are the same one, so their times are, but for a container's rounding.
            while parts and time >= parts[0][0] - _MARK_STEP / 50:
                result = cv2.matchTemplate(codes, parts.popleft()[1], cv2.TM_CCOEFF_NORMED)
                _, likeness, _, (x, y) = cv2.minMaxLoc(result)
                if likeness >= ALIKE:
                    places.append((x, y))
            if not parts:
                break
        if not places:
            return None
        left, top = (int(np.median([place[axis] for place in places])) for axis in (0, 1))
        agree = sum(abs(x - left) <= 1 and abs(y - top) <= 1 for x, y in places)
        if 2 * agree <= len(places):
            return None
        fmt = self._a.video.format
        width, height = self._inner
        return f"{left}:{top}:{fmt.width - width - left}:{fmt.height - height - top}"


def _inner(outer: tuple[int, int], size: tuple[int, int]) -> tuple[int, int] | None:
    """(width, height) in samples of `outer` of a picture that was cut out of it and enlarged to `size` by a plain factor; None:
    it is the whole picture, or no such part."""
    parts = []
    for scale in _SCALES:
        width, height = size[0] / scale, size[1] / scale
        if width == outer[0] and height == outer[1]:
            return None
        whole = width.denominator == height.denominator == 1
        if whole and width <= outer[0] and height <= outer[1]:
            parts.append((int(width), int(height)))
    largest = max(parts, key=lambda part: part[0] * part[1], default=None)
    if largest is None or 5 * largest[0] * largest[1] < 2 * outer[0] * outer[1]:
        return None
    return largest


def _luma(source: Source) -> Iterator[tuple[Fraction, Codes]]:
    """(seconds, 8-bit luma) of each frame."""
    base, depth = source.video.format.time_base, source.video.format.depth
    for batch in decode(source, batch=4):
        for number, info in enumerate(batch.frames):
            codes = batch.planes[0][number, 0].numpy()
            yield info.pts * base, (codes >> (depth - 8)).astype(np.uint8) if depth > 8 else codes


def _small(codes: Codes, size: tuple[int, int]) -> Small:
    return cv2.resize(codes, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _score(marks: Sequence[Shown], move: Fraction, shown: Sequence[Shown]) -> float:
    """Mean correlation of each mark with the frame nearest in time; -1 where half of them have none."""
    times = [time for time, _ in shown]
    found = []
    for time, small in marks:
        wanted = time + move
        at = bisect_left(times, wanted)
        near = [n for n in (at - 1, at) if 0 <= n < len(times)]
        if near:
            nearest = min(near, key=lambda n: abs(times[n] - wanted))
            if abs(times[nearest] - wanted) <= _MARK_STEP:
                found.append(_alike(shown[nearest][1], small))
    return float(np.mean(found)) if 2 * len(found) >= len(marks) else -1.0


def _alike(whole: Small, part: Small) -> float:
    """Correlation of two small pictures, at the best place where one is smaller."""
    if float(whole.std()) < _FLAT:
        return 0.0
    return float(cv2.matchTemplate(whole, part, cv2.TM_CCOEFF_NORMED).max())
