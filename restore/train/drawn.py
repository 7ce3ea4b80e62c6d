"""Stills that nobody photographed: overlapping shapes, line art, titles and subtitles, drawn from a random generator.

Photographs are mostly smooth, and those at hand were compressed once. Shapes that occlude each other, with sizes by a power law
("dead leaves", Lee, Mumford and Huang 2001; for restoration networks Achddou, Gousseau and Ladjal 2021), have the
photograph's statistics with edges as sharp as sampling allows, in every direction; old film also has its intertitles and
subtitles, which no photograph shows.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NAME = "drawn"
"""Stands in the records where a file's name would."""

HEIGHT, WIDTH = 640, 800
_FINER = 2
"""Drawn at this many times the size and averaged: what a lens and a sensor do to an edge."""

Canvas = NDArray[np.float32]

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)  # fmt: skip
_LETTERS = np.array(list("etaoinshrdlucmfwypvbgkjqxz" * 3 + "ETAOINSHRDLU0123456789.,!?-'"))


def draw_still(rng: np.random.Generator) -> Canvas:
    """(HEIGHT, WIDTH) luma in 8-bit limited-range codes."""
    size = HEIGHT * _FINER, WIDTH * _FINER
    canvas = _surface(size, float(rng.random()), rng)
    if rng.random() < 0.15:
        canvas[:] = rng.uniform(0, 0.15)
        _title(canvas, rng)
    else:
        _leaves(canvas, rng)
        if rng.random() < 0.4:
            _lines(canvas, rng)
        if rng.random() < 0.4:
            _subtitle(canvas, rng)
    still = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:  # not everything is in focus
        still = cv2.GaussianBlur(still, (0, 0), float(rng.uniform(0.3, 1.2)))
    return np.asarray(16 + 219 * np.clip(still, 0, 1), np.float32)


def _leaves(canvas: Canvas, rng: np.random.Generator) -> None:
    """Shapes over shapes, radii as r**-3 between bounds, until a random number of them is laid."""
    height, width = canvas.shape
    least, most = rng.uniform(2, 12) * _FINER, rng.uniform(60, 250) * _FINER
    contrast = rng.uniform(0.4, 1.0)
    middle = rng.uniform(contrast / 2, 1 - contrast / 2)
    u = rng.random(int(rng.integers(300, 1500)))
    radii = (least**-2 + u * (most**-2 - least**-2)) ** -0.5
    # The large ones lie behind, so that small detail is not all covered.
    for radius in np.sort(radii)[::-1] if rng.random() < 0.5 else radii:
        centre = rng.uniform((0, 0), (width, height))
        outline = _outline(radius, rng) + centre
        x0, y0 = np.maximum(np.floor(outline.min(0)).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(outline.max(0)).astype(int) + 1, (width, height))
        if x0 >= x1 or y0 >= y1:
            continue
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [np.rint(outline - (x0, y0)).astype(np.int32)], 1)
        level = middle + contrast * (rng.random() - 0.5)
        place = canvas[y0:y1, x0:x1]
        np.copyto(place, _surface(mask.shape, level, rng), where=mask.astype(bool))


def _outline(radius: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, 2) points around 0: an ellipse, a polygon, a bar or a blob."""
    kind = rng.random()
    count = 48 if kind < 0.45 else int(rng.integers(3, 8))
    angles = 2 * np.pi * np.arange(count) / count
    reach: NDArray[np.float64] = np.ones(count)
    if kind < 0.15:  # blob
        for order in range(2, 6):
            reach += rng.normal(0, 0.35 / order) * np.cos(order * angles + rng.uniform(0, 6.3))
    elif kind >= 0.45:
        reach = rng.uniform(0.5, 1.0, count)
    flat = rng.uniform(0.06, 0.3) if kind > 0.85 else rng.uniform(0.4, 1.0)
    points = radius * reach[:, None] * np.stack([np.cos(angles), flat * np.sin(angles)], 1)
    turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.8 else 0.0
    c, s = np.cos(turn), np.sin(turn)
    return np.asarray(points @ np.array([[c, s], [-s, c]]), np.float64)


def _surface(shape: tuple[int, ...], level: float, rng: np.random.Generator) -> Canvas:
    """A grey, a slope, stripes or grain around `level`."""
    height, width = shape
    y, x = (axis.astype(np.float32) for axis in np.ogrid[:height, :width])
    kind, turn = rng.random(), rng.uniform(0, 2 * np.pi)
    along = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    found: NDArray[np.floating] = np.full(shape, level, np.float32)
    if kind < 0.35:
        found = found + np.float32(rng.normal(0, 0.3) / max(shape)) * (along - along.mean())
    elif kind < 0.5:
        wave = np.sin(along * np.float32(2 * np.pi / (_FINER * rng.uniform(2.5, 16))))
        if rng.random() < 0.5:
            wave = np.sign(wave)
        found = found + np.float32(rng.uniform(0.03, 0.35)) * wave
    elif kind < 0.7:
        fine = rng.standard_normal(shape, np.float32)
        grain = cv2.GaussianBlur(fine, (0, 0), float(_FINER * rng.uniform(0.6, 4)))
        spread = max(float(grain.std()), 1e-6)
        found = found + grain * np.float32(rng.uniform(0.02, 0.12) / spread)
    return np.asarray(found, np.float32)


def _lines(canvas: Canvas, rng: np.random.Generator) -> None:
    height, width = canvas.shape
    for _ in range(int(rng.integers(3, 40))):
        points = np.cumsum(rng.normal(0, rng.uniform(10, 80), (int(rng.integers(2, 12)), 2)), 0)
        points += rng.uniform((0, 0), (width, height))
        thick = int(rng.integers(1, 4 * _FINER))
        ink = np.zeros(canvas.shape, np.uint8)
        cv2.polylines(ink, [np.rint(points).astype(np.int32)], False, 255, thick, cv2.LINE_AA)
        _lay(canvas, ink, float(rng.random()))


def _title(canvas: Canvas, rng: np.random.Generator) -> None:
    height, _ = canvas.shape
    size = rng.uniform(0.8, 2.2) * _FINER
    y, level = rng.uniform(0.1, 0.3) * height, float(rng.uniform(0.6, 1))
    while y < 0.95 * height:
        _write(canvas, (rng.uniform(0.02, 0.2), y), size, level, rng)
        y += 40 * size
    if rng.random() < 0.5:
        _lines(canvas, rng)


def _subtitle(canvas: Canvas, rng: np.random.Generator) -> None:
    height, _ = canvas.shape
    size = rng.uniform(0.6, 1.4) * _FINER
    top, outline = height * rng.uniform(0.1, 0.95), rng.random() < 0.7
    for line in range(int(rng.integers(1, 3))):
        place = rng.uniform(0, 0.4), top + 40 * size * line
        _write(canvas, place, size, 1.0, rng, outline=outline)


def _write(
    canvas: Canvas,
    place: tuple[float, float],
    size: float,
    level: float,
    rng: np.random.Generator,
    *,
    outline: bool = False,
) -> None:
    """A line of words nobody knows, from `place` (share of the width, row)."""
    words = ("".join(rng.choice(_LETTERS, int(rng.integers(1, 9)))) for _ in range(6))
    text = " ".join(words)
    font = _FONTS[int(rng.integers(len(_FONTS)))]
    thick = max(1, round(size * float(rng.uniform(0.7, 2))))
    start = round(place[0] * canvas.shape[1]), round(place[1])
    for wider, shade in ((2 * _FINER, 0.0), (0, level)) if outline else ((0, level),):
        ink = np.zeros(canvas.shape, np.uint8)
        cv2.putText(ink, text, start, font, size, 255, thick + wider, cv2.LINE_AA)
        _lay(canvas, ink, shade)


def _lay(canvas: Canvas, ink: NDArray[np.uint8], level: float) -> None:
    """Where `ink` is 255 the canvas gets `level`; in place."""
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        return
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    alpha = ink[box] * np.float32(1 / 255)
    canvas[box] += alpha * (level - canvas[box])
