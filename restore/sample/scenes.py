"""What the sample shows: a river town in a pan, a cut, and a walk down a street. Drawn, not photographed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""(height, width) luma, 0 black to 255 white."""
Canvas = NDArray[np.uint8]
"""The same in whole numbers: OpenCV draws smooth edges and text on these alone."""

RATE = 25
WIDTH, HEIGHT = 352, 288
LONGEST = 7 * RATE
"""Frames of both scenes together: by then the pan and the walk have reached the end."""
DRAWN = 2
"""Scenes are drawn this many times larger, so that edges are photographed and not stair-cased."""


def scenes(count: int, rng: np.random.Generator) -> Iterator[Picture]:
    """`count` clean pictures, HEIGHT x WIDTH, of two scenes with a cut a little after the middle. A longer film shows
    them again and again: what is drawn ends after LONGEST."""
    town, street = _Town(rng), _Street(rng)
    rounds = -(-count // LONGEST)
    for number in range(rounds):
        length = count * (number + 1) // rounds - count * number // rounds
        cut = round(length * 0.55)
        for n in range(length):
            large = town.frame(n / RATE) if n < cut else street.frame((n - cut) / RATE)
            yield smaller(large)


def smaller(large: Picture | Canvas) -> Picture:
    """DRAWN times the size -> HEIGHT x WIDTH."""
    small = cv2.resize(large.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def to_canvas(picture: NDArray[Any]) -> Canvas:
    """Rounded and clipped to 0..255."""
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)


def fractal(shape: tuple[int, int], rng: np.random.Generator, slope: float = 1.0) -> Picture:
    """Noise with amplitude falling as 1 / frequency^slope, zero mean, unit variance: clouds, plaster, leaves."""
    height, width = shape
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    f[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) / f**slope
    spectrum[0, 0] = 0.0
    noise = np.fft.irfft2(spectrum, s=shape)
    return np.asarray(noise / noise.std(), np.float32)


class _Town:
    """A river town under mountains: a panorama, panned and tilted, with a walker, a boat and moving water."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.height, self.width = HEIGHT * DRAWN, 1100
        h, w = self.height, self.width
        x = np.arange(w)
        clouds = np.clip(fractal((h, w), rng, 1.5), -1, 2)
        view = 205 - np.linspace(35, 0, h, dtype=np.float32)[:, None] + 16 * clouds
        row = np.arange(h)[:, None]
        # Three ridges, each nearer, darker and rougher than the one behind.
        for base, rise, tone, grain in ((250, 60, 165, 4), (300, 45, 128, 8), (345, 18, 92, 16)):
            crest = base - rise * fractal((1, w), rng, 1.3)[0] / 2
            face = tone + grain * fractal((h, w), rng, 0.7) + (row - base) * 0.08
            view = np.where(row > crest[x], face, view)
        self.view = to_canvas(view)
        for left, width, tall in ((60, 150, 90), (230, 120, 130), (520, 190, 105), (800, 130, 140)):
            self._house(left, 430 - tall, width, tall, rng)
        for at in (25, 400, 470, 740, 980):
            self._tree(at, 425, int(rng.integers(38, 62)), rng)
        bank = fractal((150, w), rng, 0.8)
        self.view[425:470] = to_canvas(118 + 14 * bank[:45])
        self.ripples = fractal((100, 2 * w), rng, 1.0)

    def _house(self, x: int, y: int, w: int, h: int, rng: np.random.Generator) -> None:
        wall = 172 + 9 * fractal((h, w), rng, 0.9)
        self.view[y : y + h, x : x + w] = to_canvas(wall)
        for wx in range(x + 14, x + w - 26, 34):
            for wy in range(y + 16, y + h - 30, 42):
                cv2.rectangle(self.view, (wx, wy), (wx + 20, wy + 26), 42, -1)
                for bar in (5, 10, 15):
                    cv2.line(self.view, (wx + bar, wy), (wx + bar, wy + 26), 120, 1)
                cv2.line(self.view, (wx, wy + 13), (wx + 20, wy + 13), 120, 2)
        roof = np.array(
            [(x - 18, y + 4), (x + w // 8, y - 34), (x + w * 7 // 8, y - 34), (x + w + 18, y + 4)]
        )
        cv2.fillPoly(self.view, [roof.astype(np.int32)], 70, cv2.LINE_AA)
        for tile in range(x - 14, x + w + 16, 7):  # rows of roof tiles run up to the ridge
            top = x + w // 8 + (tile - x) * 3 // 4
            cv2.line(self.view, (tile, y + 3), (top, y - 33), 98, 1, cv2.LINE_AA)

    def _tree(self, x: int, foot: int, size: int, rng: np.random.Generator) -> None:
        cv2.line(self.view, (x, foot), (x + 3, foot - size), 48, 7, cv2.LINE_AA)
        for _ in range(1500):
            angle, reach = rng.uniform(0, 2 * np.pi), size * rng.beta(2, 2)
            at = (
                int(x + reach * np.cos(angle)),
                int(foot - 1.6 * size + 0.9 * reach * np.sin(angle)),
            )
            cv2.circle(self.view, at, 2, float(rng.uniform(35, 125)), -1, cv2.LINE_AA)

    def frame(self, t: float) -> Canvas:
        """The picture `t` seconds into the scene."""
        canvas = self.view.copy()
        drift = int(60 + 40 * t)
        depth = np.linspace(5, 22, 100, dtype=np.float32)[:, None]
        mirror = canvas[425:325:-1] * 0.55 + 40
        water = mirror + depth * self.ripples[:, drift : drift + self.width]
        canvas[470:570] = to_canvas(water)
        canvas[570:] = canvas[569]
        boat = np.array([(0, 0), (120, 0), (100, 22), (22, 22)]) + np.array([640 - 55 * t, 500])
        cv2.fillPoly(canvas, [boat.astype(np.int32)], 40, cv2.LINE_AA)
        cv2.ellipse(canvas, (int(690 - 55 * t), 500), (30, 26), 0, 180, 360, 95, -1, cv2.LINE_AA)
        _walker(canvas, (180 + 62 * t, 462), 92, t)
        _walker(canvas, (560 - 48 * t, 456), 78, t + 0.3)
        pan = 30 + 48 * t
        tilt = 14 * np.sin(0.8 * t)
        seen = np.array(
            [(pan, tilt), (pan + 704, 0), (pan + 704, 576), (pan, 576 - tilt)], np.float32
        )
        picture = _onto(canvas, seen, (WIDTH * DRAWN, HEIGHT * DRAWN))
        _title(picture, "THE RIVER TOWN", (190, 540))
        return picture


class _Street:
    """A walk down a street: brick walls, shop signs and paving in true perspective, a figure coming nearer."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.sky = to_canvas(195 + 14 * fractal((HEIGHT * DRAWN, WIDTH * DRAWN), rng, 1.6))
        left, right = self._wall(rng, "TEA HOUSE"), self._wall(rng, "BOOKS")
        # Both textures run away from the eye; turned over, the right one reads from left to right.
        self.walls = [left, np.ascontiguousarray(right[:, ::-1])]
        self.paving = self._paving(rng)

    @staticmethod
    def _bricks(h: int, w: int, rng: np.random.Generator, long: int, tall: int) -> Picture:
        tone = rng.normal(0, 12, (h // tall + 1, w // long + 2)).astype(np.float32)
        row = np.arange(h)[:, None] // tall
        column = (np.arange(w)[None] + (row % 2) * (long // 2)) // long
        joint = (np.arange(h)[:, None] % tall < 3) | (
            (np.arange(w)[None] + (row % 2) * (long // 2)) % long < 3
        )
        return np.where(joint, 95, 140 + tone[row, column]) + 7 * fractal((h, w), rng, 0.8)

    def _wall(self, rng: np.random.Generator, sign: str) -> Canvas:
        wall = to_canvas(self._bricks(480, 2400, rng, 48, 20))
        for x in range(120, 2300, 260):
            cv2.rectangle(wall, (x, 70), (x + 90, 190), 36, -1)
            cv2.rectangle(wall, (x - 5, 65), (x + 95, 195), 185, 5)
            cv2.line(wall, (x + 45, 70), (x + 45, 190), 185, 4)
            cv2.line(wall, (x, 130), (x + 90, 130), 185, 4)
            door = 30 if x % 520 < 260 else 70
            cv2.rectangle(wall, (x + 110, 270), (x + 190, 480), door, -1)
            cv2.rectangle(wall, (x + 105, 262), (x + 195, 480), 165, 5)
        (plate, _), _ = cv2.getTextSize(sign, cv2.FONT_HERSHEY_TRIPLEX, 1.5, 3)
        for x in (330, 1100, 1900):
            cv2.rectangle(wall, (x, 205), (x + plate + 28, 258), 225, -1)
            at = (x + 14, 246)
            cv2.putText(wall, sign, at, cv2.FONT_HERSHEY_TRIPLEX, 1.5, 25, 3, cv2.LINE_AA)
        return wall

    def _paving(self, rng: np.random.Generator) -> Canvas:
        return to_canvas(self._bricks(2400, 600, rng, 60, 40) - 18)

    def frame(self, t: float) -> Canvas:
        """The picture `t` seconds into the scene. Units: the street is 2 wide, walls 2.4 tall, 12 long."""
        picture = self.sky.copy()
        eye, near, far = 0.9 * t, 0.45, 12.0
        sway = 0.05 * np.sin(3.1 * t)
        for side, texture in zip((-1.0, 1.0), self.walls, strict=True):
            corners = [(side, -1.4, near), (side, -1.4, far), (side, 1.0, far), (side, 1.0, near)]
            self._place(picture, texture, corners, eye, near, sway, along=1)
        floor = [(-1.0, 1.0, far), (1.0, 1.0, far), (1.0, 1.0, near), (-1.0, 1.0, near)]
        self._place(picture, self.paving, floor, eye, near, sway, along=0)
        z = max(1.2, 5.0 - 1.1 * t)
        foot = self._project(np.array([[0.25 - 0.1 * t, 1.0, z]]), sway)[0]
        _walker(picture, (foot[0], foot[1]), 620 / z, t)
        return picture

    @staticmethod
    def _project(points: NDArray[np.float64], sway: float) -> NDArray[np.float64]:
        """(n, 3) right, down, ahead -> (n, 2) pixels, pinhole with the eye swaying sideways."""
        x = WIDTH * DRAWN / 2 + 380 * (points[:, 0] - sway) / points[:, 2]
        y = HEIGHT * DRAWN * 0.47 + 380 * points[:, 1] / points[:, 2]
        return np.stack((x, y), 1)

    def _place(
        self,
        picture: Canvas,
        texture: Canvas,
        corners: list[tuple[float, float, float]],
        eye: float,
        near: float,
        sway: float,
        along: int,
    ) -> None:
        """Draw a textured rectangle of the street over `picture`; the texture runs away from the eye on
        its axis `along`, and the part behind the eye is cut off."""
        length = texture.shape[along]
        start = int(length * eye / 14.0)
        span = int(length * 11.0 / 14.0)
        if along:
            part = texture[:, start : start + span]
        else:
            part = texture[length - start - span : length - start]
        h, w = part.shape
        box = np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32)
        quad = self._project(np.array(corners), sway).astype(np.float32)
        size = (picture.shape[1], picture.shape[0])
        matrix = cv2.getPerspectiveTransform(box, quad)
        # A texture far away holds many texels per pixel: blurred by its distance it does not sparkle.
        drawn = cv2.warpPerspective(np.ascontiguousarray(part), matrix, size, flags=cv2.INTER_AREA)
        inside = cv2.warpPerspective(np.ones((h, w), np.float32), matrix, size)
        picture[:] = to_canvas(picture * (1 - inside) + drawn * inside)


def _onto(canvas: Canvas, corners: NDArray[np.float32], size: tuple[int, int]) -> Canvas:
    """The quadrangle `corners` of `canvas` (x, y, clockwise from top left), seen as a whole picture."""
    box = np.array([(0, 0), (size[0], 0), size, (0, size[1])], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, box)
    return np.asarray(cv2.warpPerspective(canvas, matrix, size, flags=cv2.INTER_CUBIC), np.uint8)


def _walker(canvas: Canvas, foot: tuple[float, float], tall: float, t: float) -> None:
    """A figure in a long coat and a hat, mid-stride at time `t`, standing `tall` pixels over `foot`."""
    x, y = foot
    swing = 0.16 * tall * np.sin(7.5 * t)

    def point(dx: float, up: float) -> tuple[int, int]:
        return round(x + dx), round(y - up * tall)

    thick = max(2, round(tall * 0.075))
    for step in (swing, -swing):
        cv2.line(canvas, point(0, 0.45), point(step, 0.0), 38, thick, cv2.LINE_AA)
        cv2.line(canvas, point(0, 0.78), point(-0.8 * step, 0.45), 60, thick, cv2.LINE_AA)
    coat = [
        point(dx * tall, up) for dx, up in ((-0.1, 0.82), (0.1, 0.82), (0.15, 0.36), (-0.15, 0.36))
    ]
    cv2.fillPoly(canvas, [np.array(coat, np.int32)], 66, cv2.LINE_AA)
    cv2.line(canvas, point(0.02 * tall, 0.8), point(0.02 * tall, 0.38), 100, max(1, thick // 3))
    cv2.circle(canvas, point(0, 0.9), max(2, round(tall * 0.07)), 150, -1, cv2.LINE_AA)
    cv2.ellipse(
        canvas,
        point(0, 0.95),
        (round(tall * 0.1), round(tall * 0.025)),
        0,
        0,
        360,
        30,
        -1,
        cv2.LINE_AA,
    )
    cv2.ellipse(
        canvas,
        point(0, 0.955),
        (round(tall * 0.06), round(tall * 0.06)),
        0,
        180,
        360,
        30,
        -1,
        cv2.LINE_AA,
    )


def _title(picture: Canvas, text: str, at: tuple[int, int]) -> None:
    shadow = (at[0] + 2, at[1] + 2)
    for place, ink in ((shadow, 10), (at, 240)):
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_TRIPLEX, 1.2, ink, 2, cv2.LINE_AA)
