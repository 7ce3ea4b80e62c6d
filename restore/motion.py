"""Motion as a service: one estimate per pair of frames, shared by every stage, and where to believe it."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from restore import flow, lucas_kanade
from restore.interrupts import interrupts
from restore.options import Options
from restore.planes import gaussian_blur, pool, stretch, to_codes
from restore.video import FrameInfo
from restore.warping import as_field, as_flow, resize_flow, warp_reference

T = TypeVar("T")
Pair = tuple[int, int]
"""Target and reference, by FrameInfo.index."""


NEAR, WIDE = 1.5, 2.0
"""Standard deviations, in samples, of the neighbourhoods in which pictures are compared."""
LEAN = 3.0
"""What codecs leave averages out over a neighbourhood, what shows something else does not: how much more the square of
the mean difference counts than the mean square."""
LEAST = -60.0
"""e to this is nothing beside 1."""
LOST = 3.0
"""Samples of doubt at which a sample counts 1/e."""


class Difference(NamedTuple):
    """Of two pictures, in nominal units, squared: (N, 1, H/2, W/2) each, for what is a mean around samples needs no more."""

    error: Tensor
    """Mean square around each sample."""
    lean: Tensor
    """Square of the mean around each sample."""


class MotionOptions(Options):
    """Table [motion]: how motion between frames is estimated."""

    method: Literal["dis", "lk"] = "dis"
    """Estimator, on the source luma: dis = dense inverse search (Kroeger et al. 2016), on the CPU; lk = dense
    Lucas-Kanade in PyTorch, where the stages run: twice as exact, for 7 to 10 times the work."""
    preset: Literal["ultrafast", "fast", "medium"] = "fast"
    """Speed against accuracy of dis: about 2, 4 and 7 ms for a pair of 352x288 frames."""


class Estimator(Protocol):
    """Finds the motion between two frames, in any thread, one pair at a time."""

    def take(self, luma: Tensor) -> Any:
        """What of one frame's luma, (1, H, W) uint8, `between` wants."""

    def between(self, first: Any, last: Any) -> tuple[Tensor, Tensor]:
        """Flow from the first to the last, and back: (1, 2, h, w) each, in samples of their own grid, which may be coarser
        than the luma's. What is found depends on the two alone."""


class InverseSearch:
    """On the CPU, whatever the device of the rest."""

    def __init__(self, preset: str, device: torch.device) -> None:
        self._estimator, self._device = flow.Estimator(preset), device

    def take(self, luma: Tensor) -> flow.Picture:
        return self._estimator.take(luma[0].cpu().numpy())

    def between(self, first: flow.Picture, last: flow.Picture) -> tuple[Tensor, Tensor]:
        forth, back = self._estimator.between(first, last)
        return as_flow(forth).to(self._device), as_flow(back).to(self._device)


class LucasKanade:
    """Where the luma is; both ways at once."""

    def take(self, luma: Tensor) -> Tensor:
        return luma[None].float()

    def between(self, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            found = lucas_kanade.estimate(torch.cat((first, last)), torch.cat((last, first)))
        return found[:1], found[1:]


class MotionService:
    """Flow between frames of one stream, computed once on the source luma, in a thread of its own: on demand, and
    from the first question on as soon as frames come in, while the chain works on those before.

    Neighbours are estimated; flow over more frames is followed from neighbour to neighbour. That costs a fifth of
    an estimate, and tracks what has moved too far to be found at once. What is found for a pair depends on its two
    pictures alone.
    """

    def __init__(self, options: MotionOptions, device: torch.device) -> None:
        """`device`: of the luma that will come."""
        inverse = options.method == "dis"
        self._estimator: Estimator = (
            InverseSearch(options.preset, device) if inverse else LucasKanade()
        )
        self._device = device
        self._thread: ThreadPoolExecutor | None = None
        self._luma: dict[int, Any] = {}
        self._last: FrameInfo | None = None
        self._asked = False
        self._steps: dict[Pair, Future[tuple[Tensor, Tensor]]] = {}
        """By (earlier, later)."""
        self._doubts: dict[Pair, Tensor] = {}
        self._paths: dict[Pair, Tensor] = {}
        self._shared: dict[Pair, dict[int, Any]] = {}
        """By number of repairs."""

    def add(self, frames: tuple[FrameInfo, ...], luma: Tensor) -> None:
        """Take the source luma, (T, 1, H, W) nominal, of frames about to enter the chain, in order."""
        codes = to_codes(luma.float(), 8, full_range=False, chroma=False)
        for info, plane in zip(frames, codes, strict=True):
            self._luma[info.index] = self._estimator.take(plane)
            last, self._last = self._last, info
            if last is None or last.scene != info.scene or last.index not in self._luma:
                continue
            if self._asked:
                self._begin((last.index, info.index))

    def forget(self, before: int) -> None:
        """Drop everything about frames with a smaller index."""
        for index in [i for i in self._luma if i < before]:
            del self._luma[index]
        for pair in [p for p in self._steps if min(p) < before]:
            self._steps.pop(pair).cancel()
        for known in (self._doubts, self._paths, self._shared):
            for pair in [p for p in known if min(p) < before]:
                del known[pair]

    def close(self) -> None:
        """End the thread; what is not begun is left."""
        if self._thread is not None:
            self._thread.shutdown(wait=not interrupts.stopping, cancel_futures=True)

    def flow(self, target: int, reference: int, size: tuple[int, int]) -> Tensor:
        """See restore.video.Motion. KeyError for a frame that was never added or is forgotten."""
        _, _ = self._luma[target], self._luma[reference]
        if target == reference:
            return torch.zeros(1, 2, *size, device=self._device)
        return resize_flow(self._path(target, reference), size)

    def doubt(self, target: int, reference: int, size: tuple[int, int]) -> Tensor:
        """See restore.video.Motion. KeyError for a frame that was never added or is forgotten."""
        _, _ = self._luma[target], self._luma[reference]
        if target == reference:
            return torch.zeros(1, 1, *size, device=self._device)
        field = self._doubt(target, reference)
        height, width = field.shape[-2:]
        if (height, width) == size:
            return field
        return stretch(field, size) * ((size[0] / height + size[1] / width) / 2)

    def once(self, target: int, reference: int, repairs: int, make: Callable[[], T]) -> T:
        """See restore.video.Motion. KeyError for a frame that was never added or is forgotten."""
        _, _ = self._luma[target], self._luma[reference]
        made = self._shared.setdefault((target, reference), {})
        if repairs not in made:
            made[repairs] = make()
        found: T = made[repairs]
        return found

    def _path(self, target: int, reference: int) -> Tensor:
        before = self._before(target, reference)
        if before is None:
            return self._step(target, reference)
        self._keep_paths_of(target)
        if (target, reference) not in self._paths:
            path = self._path(target, before)
            self._paths[target, reference] = follow(path, self._step(before, reference))
        return self._paths[target, reference]

    def _doubt(self, target: int, reference: int) -> Tensor:
        pair, before = (target, reference), self._before(target, reference)
        if pair not in self._doubts:
            if before is None:
                forth, back = self._step(*pair), self._step(reference, target)
                self._doubts[pair] = doubt(forth, back)
            else:
                path = self._path(target, before)
                there = moved(self._doubt(before, reference), path)
                self._doubts[pair] = self._doubt(target, before) + there
        return self._doubts[pair]

    def _before(self, target: int, reference: int) -> int | None:
        """The frame before `reference` on the way from `target`; None: it is a single step. Repeats leave gaps."""
        step = 1 if reference > target else -1
        between = range(reference - step, target, -step)
        return next((index for index in between if index in self._luma), None)

    def _keep_paths_of(self, target: int) -> None:
        # Paths of one target build on each other; those of the last target are not asked for again.
        if any(start != target for start, _ in self._paths):
            self._paths.clear()

    def _step(self, target: int, reference: int) -> Tensor:
        self._asked = True
        pair = (min(target, reference), max(target, reference))
        self._begin(pair)
        forth, back = self._steps[pair].result()
        return forth if target < reference else back

    def _begin(self, pair: Pair) -> None:
        if pair in self._steps:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "motion")
        first, last = (self._luma[n] for n in pair)
        self._steps[pair] = self._thread.submit(self._estimator.between, first, last)


def follow(path: Tensor, step: Tensor) -> Tensor:
    """Displacement from A over B to C: `path` leads from A to B, `step` from B to C; all (1, 2, H, W)."""
    return path + moved(step, path)


def moved(planes: Tensor, path: Tensor) -> Tensor:
    """(1, C, H, W) -> the same, planes(p + path(p)), bilinear; edges repeat."""
    if planes.device.type != "cpu":
        return warp_reference(planes, path, "bilinear")
    found = flow.moved(as_field(planes), as_field(path))
    return as_flow(found.reshape(*found.shape[:2], -1))


def doubt(forth: Tensor, back: Tensor) -> Tensor:
    """(1, 1, H, W): samples by which going `forth` and `back` again, both (1, 2, H, W), misses the start, and by which
    the way leads out of the picture. What the other picture hides has no way back (Sundaram et al. 2010)."""
    if forth.device.type != "cpu":
        return doubt_reference(forth, back)
    return torch.from_numpy(flow.doubt(as_field(forth), as_field(back)))[None, None]


def doubt_reference(forth: Tensor, back: Tensor) -> Tensor:
    """`doubt`, on any device."""
    height, width = forth.shape[-2:]
    missed = forth + warp_reference(back, forth, "bilinear")
    x = torch.arange(width, device=forth.device) + forth[:, :1]
    y = torch.arange(height, device=forth.device)[:, None] + forth[:, 1:]
    out = (x - x.clamp(0, width - 1)).abs() + (y - y.clamp(0, height - 1)).abs()
    return missed.square().sum(1, keepdim=True).sqrt() + out


def coarse(size: tuple[int, int]) -> tuple[int, int]:
    """The grid on which pictures of this size are compared: half as high and as wide."""
    return max(1, size[0] // 2), max(1, size[1] // 2)


def compare(target: Tensor, warped: Tensor) -> Difference:
    """Of two (N, 1, H, W) planes, nominal."""
    difference = (warped - target).float()
    size = coarse((difference.shape[-2], difference.shape[-1]))
    lean = gaussian_blur(pool(difference, size), _half(WIDE)).square_()
    error = gaussian_blur(pool(difference.square_(), size), _half(NEAR))
    return Difference(error, lean)


def trust(doubt: Tensor) -> Tensor:
    """0 to 1, of the shape of `doubt`: what `doubt`, in samples, leaves of the confidence in motion."""
    return _exp(-((doubt / LOST) ** 2))


def confidence(
    found: Difference, h: Tensor | float, doubt: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """0 to 1, on the grid of `found`: exp of minus the difference and its lean, in units of `h`, the difference at which a
    sample counts 1/e, and of minus the `doubt`, in samples of that grid, that the motion is true. `h` and `doubt` are numbers
    or planes on that grid; a `share` of the tolerance is granted (its square)."""
    power = torch.add(found.error, found.lean, alpha=LEAN)
    power *= -1 / (share * torch.as_tensor(h, device=power.device) ** 2)
    if doubt is not None:
        power.addcmul_(doubt, doubt, value=-((2 / LOST) ** 2))
    return _exp(power)


def _half(sigma: float) -> float:
    """Of the blur on a grid half as fine that, with the pooling that leads there, spreads as far as `sigma` here."""
    return math.sqrt(sigma**2 - 1 / 4) / 2


def _exp(power: Tensor) -> Tensor:
    """e^power, in place; what is under LEAST counts as that: processors take twenty times as long over numbers
    too small for a float's exponent, and over those that become 0."""
    return power.clamp_(min=LEAST).exp_()
