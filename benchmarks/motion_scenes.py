"""Scenes whose motion is known at every sample: a camera that pans, zooms and turns, and a thing that moves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.flow import Field
from restore.sample.scenes import fractal

FINE = 2
"""The scenery is drawn so many times finer than it is photographed, so that moved samples need no guessing."""
THING = 64
"""Side of the thing that moves, in samples."""
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """Frame t, t = 0, 1, ...; lengths in samples, angles in degrees, all for one frame."""

    title: str
    pan: tuple[float, float] = (0.0, 0.0)
    """How far the scenery moves in the picture, x then y."""
    zoom: float = 1.0
    """How many times larger it becomes."""
    turn: float = 0.0
    thing: tuple[float, float] | None = None
    """How far a thing before the scenery moves, x then y; None: there is none."""
    height: int = 288
    width: int = 352
    seed: int = 1

    def frame(self, t: int) -> Plane:
        """(height, width) luma, 8-bit limited-range codes, not rounded."""
        x, y = self._grid()
        picture = _sampled(self._scenery, *self._seen(x, y, t))
        if self.thing is not None:
            left, top = self._thing_at(t)
            thing = _sampled(self._surface, x - left, y - top)
            cover = self._cover(x, y, t)
            picture = cover * thing + (1 - cover) * picture
        return np.asarray(np.clip(picture, 16, 235), np.float32)

    def flow(self, t: int, other: int) -> tuple[Field, NDArray[np.bool_]]:
        """Where each sample of frame t lies in frame `other`, relative to its own place, (height, width, 2), x then y;
        and whether it can be seen there."""
        x, y = self._grid()
        there = self._shown(*self._seen(x, y, t), other)
        visible = np.ones(x.shape, bool)
        if self.thing is not None:
            mine = self._cover(x, y, t)
            moved = [n * (other - t) for n in self.thing]
            there = (
                np.where(mine > 0.5, x + moved[0], there[0]),
                np.where(mine > 0.5, y + moved[1], there[1]),
            )
            hidden = (mine <= 0.5) & (self._cover(*there, other) > 0)
            # At the thing's soft rim a sample shows both.
            visible &= ~hidden & ((mine == 0) | (mine == 1))
        visible &= (there[0] >= 0) & (there[0] <= self.width - 1)
        visible &= (there[1] >= 0) & (there[1] <= self.height - 1)
        return np.stack((there[0] - x, there[1] - y), -1).astype(np.float32), visible

    def thing_mask(self, t: int) -> NDArray[np.bool_]:
        """Where frame t shows the thing."""
        return self._cover(*self._grid(), t) > 0.5

    @cached_property
    def _scenery(self) -> Plane:
        side = 2 * max(self.height, self.width) * FINE
        return _texture((side, side), self.seed)

    @cached_property
    def _surface(self) -> Plane:
        return 255 - _texture((THING * FINE + 16, THING * FINE + 16), self.seed + 1)

    def _grid(self) -> tuple[Plane, Plane]:
        y, x = np.mgrid[: self.height, : self.width].astype(np.float32)
        return x, y

    def _seen(self, x: Plane, y: Plane, t: int) -> tuple[Plane, Plane]:
        """Places in frame t -> places in the scenery, in samples of a frame."""
        turned = _turned(x - self.width / 2, y - self.height / 2, -self.turn * t, self.zoom**-t)
        centre = max(self.height, self.width)
        return turned[0] + centre - self.pan[0] * t, turned[1] + centre - self.pan[1] * t

    def _shown(self, x: Plane, y: Plane, t: int) -> tuple[Plane, Plane]:
        """The way back from `_seen`."""
        centre = max(self.height, self.width)
        across, down = x - centre + self.pan[0] * t, y - centre + self.pan[1] * t
        turned = _turned(across, down, self.turn * t, self.zoom**t)
        return turned[0] + self.width / 2, turned[1] + self.height / 2

    def _thing_at(self, t: int) -> tuple[float, float]:
        dx, dy = self.thing or (0.0, 0.0)
        # Frame 3 finds it in the middle, so that fast ones stay inside for a few frames.
        left, top = (self.width - THING) / 2, (self.height - THING) / 2
        return left + dx * (t - 3), top + dy * (t - 3)

    def _cover(self, x: Plane, y: Plane, t: int) -> Plane:
        """1 where the thing hides the scenery, 0 where it does not; soft over a sample."""
        left, top = self._thing_at(t)
        inside = np.minimum.reduce([x - left, left + THING - x, y - top, top + THING - y])
        return np.asarray(np.clip(inside + 0.5, 0, 1), np.float32)


def _texture(shape: tuple[int, int], seed: int) -> Plane:
    rng = np.random.default_rng(seed)
    rough = 120 + 38 * fractal(shape, rng, 1.1)
    soft: Any = cv2.GaussianBlur(rough, (0, 0), 0.6 * FINE)
    return np.asarray(soft, np.float32)


def _turned(x: Plane, y: Plane, degrees: float, scale: float) -> tuple[Plane, Plane]:
    angle = np.deg2rad(degrees)
    c, s = np.float32(scale * np.cos(angle)), np.float32(scale * np.sin(angle))
    return c * x - s * y, s * x + c * y


def _sampled(fine: Plane, x: Plane, y: Plane) -> Plane:
    moved: Any = cv2.remap(
        fine,
        np.asarray(x * FINE, np.float32),
        np.asarray(y * FINE, np.float32),
        cv2.INTER_LANCZOS4,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(moved, np.float32)


CAMERAS = [
    Scene("still"),
    *(Scene(f"pan {n}", pan=(0.8 * n, -0.6 * n)) for n in (0.5, 2, 8, 16, 32)),
    *(Scene(f"zoom {z}", zoom=z) for z in (1.01, 1.05)),
    *(Scene(f"turn {d} degrees", turn=d) for d in (0.5, 2.0)),
]
THINGS = [Scene(f"thing {n}", thing=(0.8 * n, 0.6 * n)) for n in (1, 2, 4, 8, 16, 32)]
