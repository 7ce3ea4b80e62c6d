"""What time does to a film: grain, dust, scratches, flicker, weave, and a crackling soundtrack."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.sample.scenes import DRAWN, HEIGHT, WIDTH, Picture, smaller, to_canvas

SOUND_RATE = 44100


def old_print(pictures: Iterator[Picture], rng: np.random.Generator) -> Iterator[Picture]:
    """The pictures as an old print shows them: soft, faded, grainy, dirty, scratched, flickering, weaving."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    vignette = 1 - 0.22 * (((x / WIDTH - 0.5) ** 2 + (y / HEIGHT - 0.5) ** 2) / 0.5)
    scratches = [[rng.uniform(30, WIDTH - 30), rng.uniform(-0.5, 0.5)] for _ in range(3)]
    gain, weave = 1.0, np.zeros(2)
    for picture in pictures:
        weave = 0.8 * weave + rng.normal(0, 0.22, 2)
        shift = np.array([[1, 0, weave[0]], [0, 1, weave[1]]], np.float64)
        film = cv2.warpAffine(picture, shift, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        film = 128 + 0.9 * (cv2.GaussianBlur(film, (0, 0), 0.55) - 128)
        gain = 1 + 0.75 * (gain - 1) + rng.normal(0, 0.025)
        film = film * gain * vignette
        grain = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH)), (0, 0), 0.6)
        film = film + grain * (5.0 + 5.0 * np.sin(np.pi * np.clip(film / 255, 0, 1)))
        for scratch in scratches:
            scratch[0] += scratch[1] + rng.normal(0, 0.25)
            if rng.random() < 0.7:
                line = np.exp(-((x[0] - scratch[0]) ** 2) / 0.5) * rng.uniform(25, 60)
                film = film + line * (rng.random((HEIGHT, 1)) > 0.06)
        yield _dust(film.astype(np.float32), rng)


def _dust(film: Picture, rng: np.random.Generator) -> Picture:
    """A few specks and now and then a hair, each on one frame only."""
    size = (WIDTH * DRAWN, HEIGHT * DRAWN)
    large = to_canvas(cv2.resize(film, size, interpolation=cv2.INTER_LINEAR))
    for _ in range(rng.poisson(3)):
        at = (int(rng.integers(WIDTH * DRAWN)), int(rng.integers(HEIGHT * DRAWN)))
        axes = (int(rng.integers(1, 5)), int(rng.integers(1, 7)))
        ink = 235 if rng.random() < 0.6 else 15
        cv2.ellipse(large, at, axes, float(rng.uniform(0, 180)), 0, 360, ink, -1, cv2.LINE_AA)
    if rng.random() < 0.12:
        start = rng.uniform((0, 0), (WIDTH * DRAWN, HEIGHT * DRAWN))
        bends = np.cumsum(rng.normal(0, 7, (14, 2)) + rng.normal(0, 5, (1, 2)), 0)
        hair = (start + bends).astype(np.int32)
        cv2.polylines(large, [hair], False, 25, 2, cv2.LINE_AA)
    return smaller(large)


def soundtrack(seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(samples,) mono in -1..1: plucked strings on a five-tone scale, with hiss and crackle."""
    count = round(seconds * SOUND_RATE)
    t = np.arange(count) / SOUND_RATE
    sound = 0.012 * rng.standard_normal(count)
    tones = 261.63 * 2.0 ** (np.array([0, 2, 4, 7, 9, 12]) / 12)
    for start in np.arange(0, seconds, 0.28):
        age = np.clip(t - start, 0, None)
        tone = float(rng.choice(tones))
        for overtone in (1, 2, 3):
            decay = np.exp(-age * (3.5 + 2 * overtone)) * (t >= start)
            sound = sound + 0.16 / overtone * np.sin(2 * np.pi * tone * overtone * age) * decay
    clicks = rng.random(count) < 18 / SOUND_RATE
    sound[clicks] += rng.uniform(-0.5, 0.5, int(clicks.sum()))
    return np.asarray(np.clip(sound, -1, 1), np.float32)
