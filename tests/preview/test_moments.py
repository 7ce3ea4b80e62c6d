"""Which moments of a film are shown."""

import numpy as np

from restore.preview.moments import Sampled, choose, information


def test_black_says_nothing_and_a_crowd_more_than_fog() -> None:
    chance = np.random.default_rng(0)
    black = np.full((120, 160), 16, np.uint8)
    fog = np.clip(120 + 10 * np.linspace(0, 1, 160)[None] + np.zeros((120, 1)), 0, 255)
    crowd = chance.integers(20, 220, (120, 160))
    found = [information(np.asarray(p, np.uint8)) for p in (black, fog, crowd)]
    assert found[0] == 0
    assert found[0] < found[1] < found[2]


def test_grain_of_a_large_picture_counts_little() -> None:
    chance = np.random.default_rng(0)
    grain = np.clip(chance.normal(120, 6, (480, 640)), 0, 255).astype(np.uint8)
    assert information(grain) < 0.7 * information(grain[:120, :160])


def sampled(weights: list[float]) -> Sampled:
    return Sampled([12 * n for n in range(len(weights))], weights)


def test_one_of_each_scene_where_there_are_enough() -> None:
    cuts = [0, 100, 200, 300, 400]
    chosen = choose(sampled([1.0] * 40), cuts, 5)
    assert [sum(c <= f for c in cuts) for f in chosen] == [1, 2, 3, 4, 5]


def test_a_scene_shows_its_fullest_frame() -> None:
    weights = [1.0] * 40
    weights[11] = 1.5
    assert 132 in choose(sampled(weights), [0, 100, 200, 300, 400], 5)


def test_black_is_not_shown() -> None:
    weights = [0.0] * 20 + [3.0] * 20
    assert min(choose(sampled(weights), [0, 240], 2)) >= 240
    assert choose(sampled([0.0, 0.0]), [0], 2) == [0, 12]  # nothing else is there


def test_lively_parts_get_more() -> None:
    weights = [1.0] * 30 + [9.0] * 30
    cuts = list(range(0, 720, 24))
    chosen = choose(sampled(weights), cuts, 10)
    assert len(set(chosen)) == 10
    assert sum(f >= 360 for f in chosen) >= 8


def test_one_scene_is_spread_over_its_length() -> None:
    chosen = choose(sampled([1.0] * 100), [0], 4)
    assert chosen == [12 * n for n in (12, 37, 62, 87)]


def test_fewer_frames_than_wanted_are_all_shown() -> None:
    assert choose(sampled([1.0, 0.5]), [0], 6) == [0, 12]
    assert choose(sampled([]), [0], 6) == []


def test_a_long_scene_leaves_room_for_the_others() -> None:
    cuts = [0, 33 * 12, 36 * 12, 37 * 12]
    chosen = choose(sampled([1.0] * 40), cuts, 3)
    assert len({sum(c <= f for c in cuts) for f in chosen}) == 3
