"""What is measured of two videos on the way through: per frame, per scene, and where there is something to see."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import fmean

import cv2
import numpy as np
import torch
from torch import Tensor

from restore.compare.pairs import Pairs
from restore.grid import find_grid
from restore.metrics.fidelity import psnr, ssim
from restore.metrics.niqe import BLOCK, CleanModel, niqe
from restore.panels.match import Moment
from restore.panels.panel import Picture
from restore.planes import code_scale
from restore.preview.moments import STRIDE, Sampled, information
from restore.scenes import CutMarker, SceneOptions
from restore.video import FrameBatch

_GRID_FRAMES = 12
"""Of a scene, at most, that its block grid is measured on."""
_NIQE_FRAMES = 3
"""Of a scene, at most: NIQE is slow."""

Means = tuple[float, float, float]
"""Y, Cb, Cr of a frame, in 8-bit limited-range codes; 128 where there is no chroma."""


@dataclass
class Scene:
    """Measures of a run of frames, (A, B) each; None where they could not be taken."""

    first: int
    """Number of the frame among those compared."""
    stop: int = 0
    numbers: list[int] = field(default_factory=list)
    """Of the sampled frames."""
    sharpness: list[tuple[float, float]] = field(default_factory=list)
    """Of each sampled frame, mean absolute Laplacian of luma in codes, both at one size: more is sharper, or noisier."""
    blocks: tuple[float, float] | None = None
    """Mean excess of the step across block edges, in codes (restore.grid), at each one's own size."""
    niqe: list[tuple[float, float]] = field(default_factory=list)
    truth: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """psnr (dB) and ssim against the truth."""


@dataclass
class Survey:
    """All that was measured."""

    times: list[Fraction] = field(default_factory=list)
    """Seconds after A's first frame, of every moment."""
    means: list[tuple[Means, Means] | None] = field(default_factory=list)
    """(A, B); None where one has no frame."""
    damaged: list[Fraction] = field(default_factory=list)
    """Times of A's frames that the decoder found damaged."""
    lone: list[tuple[Fraction, str]] = field(default_factory=list)
    """Times of moments that one alone has a frame for, and which."""
    scenes: list[Scene] = field(default_factory=list)
    sampled: Sampled = field(default_factory=Sampled)

    def scene_of(self, time: Fraction) -> Scene | None:
        """The scene on screen then."""
        starts = [self.times[s.first] for s in self.scenes]
        at = bisect_right(starts, time) - 1
        return self.scenes[at] if at >= 0 else None

    def flicker(self, scene: Scene) -> tuple[float, float] | None:
        """How far a frame's mean brightness lies from the mean of its two neighbours', on average, in codes: what moves
        slowly counts nothing."""
        rows = [m for m in self.means[scene.first : scene.stop] if m is not None]
        if len(rows) < 3:
            return None
        found = []
        for side in (0, 1):
            luma = np.array([r[side][0] for r in rows])
            found.append(float(np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean()))
        return found[0], found[1]

    def drift(self, scene: Scene) -> tuple[float, float] | None:
        """B less A over the scene, in codes: (brightness, distance of the mean colours)."""
        rows = [m for m in self.means[scene.first : scene.stop] if m is not None]
        if not rows:
            return None
        apart = np.array([np.subtract(b, a) for a, b in rows]).mean(0)
        return float(apart[0]), float(np.hypot(apart[1], apart[2]))


def survey(pairs: Pairs, clean: CleanModel | None, progress: Callable[[Fraction], None]) -> Survey:
    """Decode both and measure. `clean`: for NIQE."""
    found, marker = Survey(), CutMarker(SceneOptions())
    cuts = [0]
    waiting: list[_Sample] = []
    """Those whose scene is not known yet: a cut is told two frames late."""
    scene = Scene(0)

    def settle(known: int) -> None:
        """Cuts before frame `known` are final."""
        nonlocal scene
        while len(cuts) > 1 and cuts[1] < known:
            _close(scene, cuts[1], waiting, clean)
            found.scenes.append(scene)
            scene = Scene(cuts[1])
            cuts.pop(0)

    last: np.ndarray | None = None
    for number, moment in enumerate(pairs):
        time = moment.time - pairs.first
        found.times.append(time)
        if moment.a is not None and moment.a_here:
            last = _luma8(moment.a)[0, 0].numpy()
            if moment.a.frames[0].damaged:
                found.damaged.append(time)
        if not moment.paired:
            found.lone.append((time, "A" if moment.a_here else "B"))
        a, b = moment.a, moment.b
        both = None if a is None or b is None or not moment.paired else (_means(a), _means(b))
        found.means.append(both)
        if last is not None:
            cuts += [c for c in marker.feed(last) if c not in cuts and c > scene.first]
            cuts.sort()
        if a is not None and b is not None and moment.paired and number % STRIDE == 0:
            shown = _both(pairs.pictures(moment))
            found.sampled.frames.append(number)
            found.sampled.information.append(information(np.array(shown[0][0])))
            sharpness = _sharpness(shown[0]), _sharpness(shown[1])
            # Of a long scene the first ones are enough, and memory does not grow with it.
            kept = (shown, (_luma8(a), _luma8(b))) if len(waiting) < _GRID_FRAMES else None
            waiting.append(_Sample(number, sharpness, kept))
        settle(number - 2)
        progress(time)
    cuts += [c for c in marker.finish() if c not in cuts and c > scene.first]
    cuts.sort()
    settle(len(found.times))
    if found.times:
        _close(scene, len(found.times), waiting, clean)
        found.scenes.append(scene)
    return found


def against_truth(found: Survey, pairs: Pairs, side: int, offset: Fraction) -> None:
    """PSNR and SSIM of one side (0: A, 1: B) against a truth; `pairs` are (side's video, truth), `offset` the seconds by
    which the side's first frame lies behind A's. Both are compared at the larger one's size."""
    for number, moment in enumerate(pairs):
        if number % STRIDE or not moment.paired:
            continue
        time = moment.time - pairs.first + offset
        scene = found.scene_of(time)
        if scene is None or time > found.times[-1]:
            continue
        shown = pairs.pictures(moment)
        a, b = (torch.from_numpy(np.array(p[0]))[None, None] for p in _both(shown))
        border = 8 if min(a.shape[-2:]) >= 40 else 0
        values = {"psnr": psnr(a, b, border), "ssim": ssim(a, b, border)}
        for name, value in values.items():
            rows = scene.truth.setdefault(f"{name}{side}", [])
            rows.append((value, float(time)))


def _both(shown: Moment[Picture, Picture]) -> tuple[Picture, Picture]:
    assert shown.a is not None
    assert shown.b is not None
    return shown.a, shown.b


@dataclass(frozen=True)
class _Sample:
    """A pair whose scene will be known."""

    number: int
    sharpness: tuple[float, float]
    kept: tuple[tuple[Picture, Picture], tuple[Tensor, Tensor]] | None
    """Pictures in the panel's size, and 8-bit luma at their own sizes."""


def _close(scene: Scene, stop: int, waiting: list[_Sample], clean: CleanModel | None) -> None:
    """End the scene before frame `stop` and measure what was sampled of it."""
    scene.stop = stop
    mine = [w for w in waiting if w.number < stop]
    waiting[:] = [w for w in waiting if w.number >= stop]
    scene.numbers = [w.number for w in mine]
    scene.sharpness = [w.sharpness for w in mine]
    kept = [w.kept for w in mine if w.kept is not None]
    if not kept:
        return
    strengths = []
    for side in (0, 1):
        grid = find_grid(torch.cat([luma[side] for _, luma in kept]))
        strengths.append(0.0 if grid is None else grid.strength)
    scene.blocks = strengths[0], strengths[1]
    rows, columns = kept[0][0][0][0].shape
    if clean is not None and (rows // BLOCK) * (columns // BLOCK) >= 2:
        for shown, _ in kept[:_NIQE_FRAMES]:
            scores = [niqe(np.array(p[0], np.float64), clean) for p in shown]
            scene.niqe.append((scores[0], scores[1]))


def _sharpness(picture: Picture) -> float:
    return float(np.abs(cv2.Laplacian(np.array(picture[0]), cv2.CV_32F)).mean())


def _means(batch: FrameBatch) -> Means:
    """In 8-bit limited-range codes, whatever the frame's own are."""
    fmt = batch.format
    found = []
    for number, plane in enumerate(batch.planes):
        offset, scale = code_scale(fmt.depth, bool(fmt.color.full_range), number > 0)
        nominal = (float(plane.float().mean()) - offset) / scale
        found.append(128 + 224 * nominal if number else 16 + 219 * nominal)
    return (found[0], found[1], found[2]) if len(found) == 3 else (found[0], 128.0, 128.0)


def _luma8(batch: FrameBatch) -> Tensor:
    """(1, 1, H, W) uint8."""
    depth = batch.format.depth
    luma = batch.planes[0]
    return luma if depth == 8 else (luma.to(torch.int32) >> (depth - 8)).to(torch.uint8)


def mean_pair(rows: list[tuple[float, float]]) -> tuple[float, float] | None:
    """Of (A, B) values."""
    if not rows:
        return None
    return fmean(r[0] for r in rows), fmean(r[1] for r in rows)


def spans(found: Survey) -> Iterator[tuple[Fraction, Fraction]]:
    """(start, end) of each scene, in seconds."""
    starts = [found.times[s.first] for s in found.scenes]
    step = found.times[-1] - found.times[-2] if len(found.times) > 1 else Fraction(1, 25)
    yield from pairwise([*starts, found.times[-1] + step])
