"""Frames belong together by time stamp alone."""

import random
from collections.abc import Sequence
from fractions import Fraction

from restore.panels.match import Moment, match


def paired(a: Sequence[int], b: Sequence[int]) -> list[tuple[int | None, int | None]]:
    """Times in ms -> for each picture, the times of what is shown; None: no frame of its own here."""
    found = []
    for m in match(*([(Fraction(t, 1000), t) for t in side] for side in (a, b))):
        found.append((m.a if m.a_here else None, m.b if m.b_here else None))
    return found


def test_equal_times_are_pairs() -> None:
    assert paired([0, 40, 83], [0, 40, 83]) == [(0, 0), (40, 40), (83, 83)]


def test_times_rounded_to_milliseconds_are_pairs() -> None:
    exact = [(Fraction(n * 1001, 30000), n) for n in range(300)]
    rounded = [(Fraction(round(t * 1000), 1000), n) for t, n in exact]
    moments = list(match(exact, rounded))
    assert [(m.a, m.b) for m in moments] == [(n, n) for n in range(300)]
    assert all(m.paired for m in moments)


def test_a_missing_frame_shifts_nothing() -> None:
    times = [0, 40, 120, 133, 143, 190, 260]
    for lost in range(len(times)):
        rest = times[:lost] + times[lost + 1 :]
        assert paired(times, rest) == [(t, None if t == times[lost] else t) for t in times]
        assert paired(rest, times) == [(None if t == times[lost] else t, t) for t in times]


def test_beside_a_lone_frame_the_last_one_is_shown() -> None:
    moments = list(match([(Fraction(n), n) for n in range(3)], [(Fraction(n), n) for n in (0, 2)]))
    assert moments[1] == Moment(Fraction(1), 1, 0, Fraction(1), Fraction(0), True, False)


def test_before_its_first_frame_a_side_shows_nothing() -> None:
    first = next(match([(Fraction(0), "a"), (Fraction(1), "b")], [(Fraction(1), "c")]))
    assert (first.b, first.b_time, first.b_here) == (None, None, False)


def test_half_a_frame_is_the_limit() -> None:
    assert paired([0, 40, 80], [20, 60, 100]) == [(0, 20), (40, 60), (80, 100)]
    assert paired([0, 40], [21, 61])[0] == (0, None)


def test_twice_the_rate_pairs_every_second() -> None:
    assert paired([0, 20, 40, 60], [0, 40]) == [(0, 0), (20, None), (40, 40), (60, None)]


def test_every_frame_comes_once_and_times_rise() -> None:
    chance = random.Random(0)
    for _ in range(200):
        sides = [sorted(chance.sample(range(2000), chance.randint(1, 60))) for _ in "ab"]
        moments = list(match(*([(Fraction(t, 1000), t) for t in side] for side in sides)))
        assert [m.a for m in moments if m.a_here] == sides[0]
        assert [m.b for m in moments if m.b_here] == sides[1]
        times = [m.time for m in moments]
        assert times == sorted(set(times))
