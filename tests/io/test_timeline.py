from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest

from restore.io.timeline import LOOK_AHEAD, Repair, Stamp, Timed, repair_times


def repaired(stamps: list[int | None], spacing: Fraction | None = None) -> list[Timed[int]]:
    return list(repair_times((Stamp(i, s) for i, s in enumerate(stamps)), spacing))


def times(stamps: list[int | None]) -> list[int]:
    return [t.pts for t in repaired(stamps)]


def test_increasing_stamps_come_through_bit_for_bit() -> None:
    rng = random.Random(1)
    stamps: list[int | None] = [7]
    for _ in range(500):
        stamps.append((stamps[-1] or 0) + rng.choice([1, 2, 33, 40, 40, 40, 80, 5000]))
    out = repaired(stamps)
    assert [t.pts for t in out] == stamps
    assert all(t.repair is None for t in out)
    assert [t.item for t in out] == list(range(501))


def test_a_stamp_contradicted_by_the_next_is_the_false_one() -> None:
    """RealVideo 2 as found in the wild: each B frame claims a tick more than the P frame after it, the time of which
    is that greater one."""
    claimed: list[int | None] = [1]
    for pair in range(1, 72):
        claimed += [82 * pair + 1, 82 * pair]
    claimed.append(82 * 72 + 1)
    out = repaired(claimed)
    steps = {b.pts - a.pts for a, b in pairwise(out)}
    assert [t.pts for t in out[:5]] == [1, 42, 83, 124, 165]
    assert steps == {41}  # the last frame too, which nothing contradicts
    assert {t.repair for t in out[1::2]} == {"ahead"}
    assert [t.repair for t in out[::2]] == [None] + 71 * ["backward"]


@pytest.mark.parametrize(
    ("stamps", "expected", "why"),
    [
        ([0, 40, 80, 80, 160, 200], [0, 40, 80, 120, 160, 200], "duplicate"),
        ([0, 40, 120, 120, 160, 200], [0, 40, 80, 120, 160, 200], "ahead"),
        ([0, 40, 80, 9000, 160, 200], [0, 40, 80, 120, 160, 200], "ahead"),
        ([0, 40, 80, 5, 160, 200], [0, 40, 80, 120, 160, 200], "backward"),
        ([0, 40, None, None, 160, 200], [0, 40, 80, 120, 160, 200], "missing"),
        ([None, None, 80, 120, 160, 200], [0, 40, 80, 120, 160, 200], "missing"),
        ([0, 40, 80, 120, None, None], [0, 40, 80, 120, 160, 200], "missing"),
        ([0, 40, 80, 120, 160, 120], [0, 40, 80, 120, 160, 200], "backward"),
    ],
)
def test_one_fault_is_interpolated(
    stamps: list[int | None], expected: list[int], why: Repair
) -> None:
    out = repaired(stamps)
    assert [t.pts for t in out] == expected
    assert {t.repair for t in out} == {None, why}
    assert {t.duration for t in out} == {40}


def test_swapped_stamps_with_one_tick_a_frame() -> None:
    """Packed B frames in AVI: no room between ticks, so both of a swapped pair go."""
    assert times([1, 2, 4, 3, 5, 7, 6, 8, 9]) == list(range(1, 10))


def test_pauses_among_faults_stay() -> None:
    assert times([0, 40, 80, 80, 160, 200, 1200, 1240, 1280]) == [
        0, 40, 80, 120, 160, 200, 1200, 1240, 1280,
    ]  # fmt: skip


def test_without_any_stamp_the_nominal_spacing_is_used() -> None:
    out = repaired([None] * 4, Fraction(40))
    assert [t.pts for t in out] == [0, 40, 80, 120]
    assert [t.duration for t in out] == [40] * 4


def test_a_clock_that_begins_again_is_continued() -> None:
    first = [1000 + 40 * i for i in range(30)]
    second = [40 * i for i in range(30)]
    out = repaired([*first, *second])
    assert [t.pts for t in out] == [1000 + 40 * i for i in range(60)]
    assert [t.repair for t in out] == [None] * 30 + ["restarted"] * 30


@pytest.mark.parametrize("bits", [31, 32, 33])
def test_an_overflow_is_unwound_exactly(bits: int) -> None:
    true = [(1 << bits) - 90 + 40 * i for i in range(40)]
    out = repaired([t % (1 << bits) for t in true])
    assert [t.pts for t in out] == true
    assert [t.repair for t in out] == [None] * 3 + ["wrapped"] * 37


def test_the_last_duration_is_the_usual_one() -> None:
    out = repaired([0, 40, 80, 120, 160, 1000])
    assert out[-2].duration == 840
    assert out[-1].duration == 40


def test_noise_never_stops_time() -> None:
    rng = random.Random(2)
    for _ in range(30):
        stamps = [rng.choice([None, rng.randrange(-50, 3000), 40 * i]) for i in range(60)]
        out = repaired(stamps)
        assert all(b.pts > a.pts for a, b in pairwise(out))
        assert all(b.pts == a.pts + a.duration for a, b in pairwise(out))


def test_holds_no_more_than_it_must() -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield Stamp(i, 40 * i)

    stream = repair_times(endless())  # type: ignore[arg-type]
    next(stream)
    assert taken <= LOOK_AHEAD + 3


def test_nothing_in_nothing_out() -> None:
    assert repaired([]) == []
