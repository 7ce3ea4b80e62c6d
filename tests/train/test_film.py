"""A worn print: what each defect looks like, and on which side of a pair it is."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from clean import moving, picture

from restore.train.degrade import degrade
from restore.train.film import Film, age, draw_film
from restore.train.plan import Plan, draw
from restore.train.recipe import Degrade

NOTHING = {"dust": 0.0, "scratches": 0, "flicker": 0.0, "weave": 0.0}


def still(count: int = 16) -> np.ndarray:
    return np.repeat(picture(144, 176, 3)[None].astype(np.float32), count, 0)


def aged(seed: int = 0, **film: float) -> tuple[np.ndarray, np.ndarray]:
    return age(still(), Film(**NOTHING | film), np.random.default_rng(seed))


def test_a_new_print_is_left_alone() -> None:
    whole, shown = aged()
    np.testing.assert_array_equal(whole, still())
    np.testing.assert_array_equal(shown, still())


def test_dust_lives_for_one_frame_and_is_as_frequent_as_asked() -> None:
    whole, shown = aged(dust=160.0)
    np.testing.assert_array_equal(whole, still())
    dirty = np.abs(shown - whole) > 15
    # 176x144 is a sixteenth of 704x576: ten a frame, some of which touch or lie at the edge.
    counts = [cv2.connectedComponents(mask.astype(np.uint8))[0] - 1 for mask in dirty]
    assert 6 <= np.mean(counts) <= 13
    both = np.mean([(a & b).sum() for a, b in itertools.pairwise(dirty)])
    assert both < 0.25 * dirty.sum((1, 2)).mean(), "elsewhere in the next frame"
    signed = (shown - whole)[dirty]
    assert 0.4 < (signed > 0).mean() < 0.95, "mostly white"


def test_a_scratch_runs_down_the_picture_and_stays() -> None:
    whole, shown = aged(seed=2, scratches=1)
    difference = np.abs(shown - whole)
    assert (difference.max(2) > 1).mean() > 0.9, "every row"
    places = difference.sum(1).argmax(1)
    assert np.abs(np.diff(places)).max() <= 3
    wide = (difference.max(1) > 5).sum(1)
    assert 1 <= wide.min() <= wide.max() <= 6


def test_flicker_moves_the_brightness_and_leaves_black() -> None:
    frames = np.stack([np.full((32, 32), 116, np.float32)] * 400)
    frames[:, :16] = 16
    whole, shown = age(frames, Film(0.0, 0, 0.03, 0.0), np.random.default_rng(0))
    np.testing.assert_array_equal(whole, shown)
    assert (shown[:, :16] == 16).all()
    assert (shown[:, 20, 20] - 16).std() == pytest.approx(3.0, rel=0.15)


def test_weave_moves_the_picture_and_brings_it_back() -> None:
    whole, shown = aged(weave=0.6)
    np.testing.assert_array_equal(whole, shown)
    offsets = []
    for frame in shown:
        (dx, dy), _ = cv2.phaseCorrelate(still(1)[0], frame, cv2.createHanningWindow((176, 144), 5))
        offsets.append((dx, dy))
    assert 0.25 < np.std(offsets) < 1.0
    assert np.abs(np.mean(offsets, 0)).max() < 0.6


@pytest.mark.parametrize("repaired", [False, True])
def test_dust_is_in_the_truth_unless_it_is_repaired(repaired: bool, tmp_path: Path) -> None:
    clean = moving(6, 96, 96).astype(np.float32)
    film = Film(dust=400.0, scratches=1, flicker=0.02, weave=0.3)
    plan = Plan("clean", "area", (), film=film, film_repaired=repaired)
    pair = degrade(clean, plan, 2, np.random.default_rng(0), tmp_path)
    small = pair.truth.reshape(6, 48, 2, 48, 2).mean((2, 4))
    worst = np.abs(small - pair.decoded).max()
    assert (worst > 30) if repaired else (worst < 2)
    assert pair.record["film"]["dust"] == 400.0
    assert pair.record["film_repaired"] is repaired
    again = degrade(clean, plan, 2, np.random.default_rng(0), tmp_path)
    np.testing.assert_array_equal(again.decoded, pair.decoded)


def test_prints_are_drawn_as_often_and_as_bad_as_asked() -> None:
    options = Degrade(film_share=0.5, film_strength=(0.5, 0.5), film_repaired=True)
    plans = [draw(options, np.random.default_rng(seed)) for seed in range(300)]
    films = [p.film for p in plans if p.film is not None]
    assert len(films) / 300 == pytest.approx(0.5, abs=0.08)
    assert all(p.film_repaired == (p.film is not None) for p in plans)
    assert np.mean([f.dust for f in films]) == pytest.approx(3.75, rel=0.2)
    assert np.mean([f.scratches for f in films]) == pytest.approx(0.4, abs=0.15)
    assert max(f.flicker for f in films) <= 0.02
    assert draw_film(0.0, np.random.default_rng(0)) == Film(**NOTHING)
