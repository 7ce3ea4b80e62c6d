"""Randomised trials of every detector: made with the fault and without, how often is it found?

Every trial is a function (rng, whether the fault is there) -> whether the detector says so. benchmarks/detectors.py
counts them too, with more seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.inspect import trials_file as file
from tests.inspect import trials_film as on_film
from tests.inspect.synthetic import Rng

Trial = Callable[[Rng, bool], bool]


@dataclass(frozen=True)
class Rates:
    positives: int
    found: int
    negatives: int
    false: int

    @property
    def recall(self) -> float:
        return self.found / self.positives

    @property
    def false_alarms(self) -> float:
        return self.false / self.negatives


def count(name: str, trials: int = 50) -> Rates:
    """The first `trials` seeds with the fault, and without it."""
    trial = TRIALS[name]
    found = sum(trial(np.random.default_rng(seed), True) for seed in range(trials))
    false = sum(trial(np.random.default_rng(1000 + seed), False) for seed in range(trials))
    return Rates(trials, found, trials, false)


TRIALS: dict[str, Trial] = {
    "variable spacing": file.variable_spacing,
    "frames left out": file.left_out_frames,
    "colour": file.colour,
    "one tint": file.one_tint,
    "black and white": file.black_and_white,
    "full range taken as limited": file.full_range_in_limited,
    "faded": file.faded,
    "grain": on_film.noisy,
    "flicker": on_film.flickers,
    "weave": on_film.weaves,
    "dirt": on_film.dirty,
    "scratches": on_film.scratched,
    "blocks": on_film.blocky,
    "soft or enlarged": on_film.enlarged,
    "logo": on_film.with_logo,
    "subtitles": on_film.with_subtitles,
}
