"""A frame between two others: motion-compensated interpolation, and where to believe it. NumPy and OpenCV, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.motion import MotionOptions, MotionService
from restore.video import FrameInfo

Plane = NDArray[np.float32]
"""(h, w), in 8-bit codes, whatever the depth."""

AGREE = 20.0
"""8-bit codes: mean difference around a sample up to which two pictures show the same."""
SPREAD = 4.0
"""Standard deviation, in luma samples, of the neighbourhood in which pictures are compared: about a macroblock."""
DOUBT = 1.6
"""How many times the neighbours' disagreement (plus FLOOR) the decoder's picture must err to be replaced."""
FLOOR = 4.0
"""8-bit codes."""
FAR = (0.0, 8.0, 16.0, 24.0)
"""8-bit codes of further doubt, by how many frames lie between a frame and the nearer neighbour: motion is seldom even
for long, and what is thin and moves would vanish; what is left is gross damage."""
MOVES = 12
"""Luma samples that damage moves in a frame, at most."""
ODD = 16.0
"""8-bit codes: mean difference around a sample from which on a picture shows something else than another."""
SOFT = 0.6
"""The replacement is complete at 1 + SOFT times the difference at which it begins."""


@dataclass(frozen=True, slots=True)
class Picture:
    planes: tuple[Plane, ...]
    """Luma first."""

    @staticmethod
    def of(planes: tuple[Tensor, ...] | None, depth: int) -> Picture:
        """From code planes, (1, h, w) each."""
        scale = np.float32(1 / (1 << (depth - 8)))
        return Picture(tuple(p[0].numpy().astype(np.float32) * scale for p in planes or ()))

    def codes(self, depth: int) -> tuple[Tensor, ...]:
        """Code planes, (1, h, w) each, of the type that holds them."""
        top = (1 << depth) - 1
        kind = np.uint8 if depth == 8 else np.uint16 if depth <= 16 else np.int32
        scale = 1 << (depth - 8)
        whole = [np.clip(np.rint(p * scale), 0, top).astype(kind) for p in self.planes]
        return tuple(torch.from_numpy(p)[None] for p in whole)


@dataclass(frozen=True, slots=True)
class Guess:
    """An interpolated picture."""

    picture: Picture
    doubt: Plane
    """Luma-sized: local mean difference of the two neighbours, in 8-bit codes."""

    @property
    def agreement(self) -> float:
        """Share of the picture over which the neighbours agree."""
        return float((self.doubt < AGREE).mean())


class Between:
    """All moments between two pictures of the same size."""

    def __init__(self, first: Picture, last: Picture) -> None:
        self._first, self._last = first, last
        # Flow splits its work by thread count, and with it its result.
        cv2.setNumThreads(1)
        self._forth, self._back = _flow(first, last), _flow(last, first)

    def at(self, place: float) -> Guess:
        """`place`: 0 at the first picture, 1 at the last."""
        t = np.float32(min(max(place, 0.0), 1.0))
        to_first = -(1 - t) * t * self._forth + t * t * self._back
        to_last = (1 - t) ** 2 * self._forth - t * (1 - t) * self._back
        ones = [_moved(p, to_first) for p in self._first.planes]
        others = [_moved(p, to_last) for p in self._last.planes]
        mixed = tuple((1 - t) * a + t * b for a, b in zip(ones, others, strict=True))
        return Guess(Picture(mixed), _around(np.abs(ones[0] - others[0])))


def mend(
    decoded: Picture, guess: Guess, distance: int, suspected: Plane | None
) -> tuple[Picture, Plane]:
    """The decoder's picture with the guess where it errs more than the neighbours disagree, and where that was done:
    a luma-sized mask, 0 to 1. `distance`: frames between this one and the nearer neighbour. `suspected`, such a mask, says where damage can be at all; None: anywhere."""
    error = _around(np.abs(decoded.planes[0] - guess.picture.planes[0]))
    limit = DOUBT * (guess.doubt + FLOOR + FAR[min(distance, len(FAR) - 1)])
    mask: Plane = np.clip((error / limit - 1) / SOFT, 0, 1)
    if suspected is not None:
        mask = np.minimum(mask, suspected)
    planes = []
    for mine, other in zip(decoded.planes, guess.picture.planes, strict=True):
        weight = mask if mine.shape == mask.shape else _resized(mask, mine.shape)
        planes.append(mine + weight * (other - mine))
    return Picture(tuple(planes)), mask


def strange(picture: Picture, others: Sequence[Picture], where: Plane | None) -> Plane | None:
    """Where `picture` shows what none of `others`, moved onto it, does, as a mask, 0 to 1; within the mask `where`."""
    for other in others:
        odd: Plane = np.clip((_unlike(picture, other) / ODD - 1) / SOFT, 0, 1)
        where = odd if where is None else np.minimum(where, odd)
    return where


def spread(mask: Plane) -> Plane:
    """Where damage in `mask` may have moved by the next frame."""
    grown: Any = cv2.dilate(mask, np.ones((2 * MOVES + 1, 2 * MOVES + 1), np.uint8))
    result: Plane = grown
    return result


def resemblance(picture: Picture, other: Picture) -> float:
    """Share of `picture` that `other`, moved onto it, shows too: 0 to 1."""
    return float((_unlike(picture, other) < AGREE).mean())


def _unlike(picture: Picture, other: Picture) -> Plane:
    """Local mean difference of `picture` from `other` moved onto it."""
    cv2.setNumThreads(1)
    moved = _moved(other.planes[0], _flow(picture, other))
    return _around(np.abs(moved - picture.planes[0]))


def _flow(target: Picture, reference: Picture) -> NDArray[np.float32]:
    """(H, W, 2): displacement from `target` to `reference` in luma samples, x then y."""
    service = MotionService(MotionOptions(preset="medium"), torch.device("cpu"))
    luma = np.stack([target.planes[0], reference.planes[0]])[:, None]
    nominal = (torch.from_numpy(luma) - 16) / 219
    service.add((FrameInfo(0, 0, 1), FrameInfo(1, 1, 1)), nominal)
    height, width = luma.shape[-2:]
    field: NDArray[np.float32] = service.flow(0, 1, (height, width))[0].permute(1, 2, 0).numpy()
    return field


def _moved(plane: Plane, flow: NDArray[np.float32]) -> Plane:
    """plane(p + flow(p)); the flow is scaled to the plane; edges repeat."""
    height, width = plane.shape
    if flow.shape[:2] != plane.shape:
        ratio = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) * ratio
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    moved: Any = cv2.remap(plane, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    result: Plane = moved
    return result


def _around(error: Plane) -> Plane:
    blurred: Any = cv2.GaussianBlur(error, (0, 0), SPREAD, borderType=cv2.BORDER_REPLICATE)
    result: Plane = blurred
    return result


def _resized(mask: Plane, shape: tuple[int, ...]) -> Plane:
    resized: Any = cv2.resize(mask, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    result: Plane = resized
    return result
