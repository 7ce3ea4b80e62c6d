"""Motion by Lucas-Kanade: as exact as dense inverse search where the truth is known, and the same on every path."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore import lucas_kanade
from restore.flow import Estimator
from restore.lucas_kanade import estimate
from restore.motion import MotionOptions, MotionService
from restore.planes import gaussian_blur_reference
from restore.video import FrameInfo
from restore.warping import warp_reference

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from motion_scenes import CAMERAS, THINGS, Scene

SMALL = [
    replace(s, height=144, width=176)
    for s in [*CAMERAS, *THINGS]
    if s.title in ("pan 2", "pan 16", "zoom 1.05", "turn 2.0 degrees", "thing 4", "thing 16")
]


def planes(*pictures: NDArray[np.float32]) -> list[Tensor]:
    return [torch.from_numpy(np.rint(p))[None, None].float() for p in pictures]


def found(target: Tensor, reference: Tensor) -> NDArray[np.float32]:
    field: NDArray[np.float32] = estimate(target, reference)[0].permute(1, 2, 0).numpy()
    return field


def miss(flow: NDArray[np.float32], truth: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    return float(np.hypot(*(flow - truth).transpose(2, 0, 1))[where].mean())


@pytest.mark.parametrize("scene", SMALL, ids=lambda s: s.title)
def test_no_further_off_than_inverse_search(scene: Scene) -> None:
    pictures = [scene.frame(t) for t in (3, 4)]
    truth, visible = scene.flow(3, 4)
    if scene.thing:
        visible &= scene.thing_mask(3)
    codes = [np.rint(p).astype(np.uint8) for p in pictures]
    other = miss(Estimator("fast")(codes[0], codes[1]), truth, visible)
    assert miss(found(*planes(*pictures)), truth, visible) < min(0.25, 1.05 * other)


def test_a_thing_that_moves_half_its_width_is_found() -> None:
    scene = next(s for s in THINGS if s.title == "thing 32")
    truth, visible = scene.flow(3, 4)
    flow = found(*planes(scene.frame(3), scene.frame(4)))
    assert miss(flow, truth, visible & scene.thing_mask(3)) < 0.5
    assert miss(flow, truth, visible & ~scene.thing_mask(3)) < 0.2


def test_brightness_does_not_matter() -> None:
    scene = SMALL[0]
    target, reference = planes(scene.frame(3), scene.frame(4))
    truth, visible = scene.flow(3, 4)
    assert miss(found(target, reference + 25), truth, visible) < 0.05


def test_what_stands_still_before_a_moving_scene_is_not_dragged_along() -> None:
    scene = Scene("", pan=(4.0, 3.0), height=96, width=128)
    pictures = [scene.frame(t) for t in (3, 4)]
    rough = np.random.default_rng(2).random((7, 35)) > 0.5
    for picture in pictures:
        picture[70:84, 30:100] = np.where(rough, 235, 16).repeat(2, 0).repeat(2, 1)
    flow = found(*planes(*pictures))
    caption = np.hypot(*flow[73:81, 36:94].transpose(2, 0, 1))
    assert caption.mean() < 0.05
    truth, visible = scene.flow(3, 4)
    visible[60:94, 20:110] = False
    assert miss(flow, truth, visible) < 0.4


def test_equal_pictures_have_no_motion() -> None:
    noise = 255 * torch.rand(1, 1, 48, 64, generator=torch.Generator().manual_seed(1))
    assert not estimate(noise, noise.clone()).any()


def test_pairs_do_not_depend_on_each_other() -> None:
    """Nor does it matter whether motion between them is wide (looked for as a shift) or not."""
    near, far = SMALL[0], SMALL[1]
    one = planes(near.frame(3), near.frame(4))
    other = planes(far.frame(3), far.frame(4))
    both = estimate(torch.cat((one[0], other[0])), torch.cat((one[1], other[1])))
    for n, pair in enumerate((one, other)):
        torch.testing.assert_close(both[n : n + 1], estimate(*pair), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (9, 7), (15, 40), (33, 97)])
def test_any_size(size: tuple[int, int]) -> None:
    target, reference = 255 * torch.rand(2, 1, 1, *size, generator=torch.Generator().manual_seed(3))
    flow = estimate(target, reference)
    assert flow.shape == (1, 2, *size)
    assert bool(torch.isfinite(flow).all())


def test_agrees_with_what_runs_on_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = SMALL[4]
    pair = planes(scene.frame(3), scene.frame(4))
    fast = estimate(*pair)
    monkeypatch.setattr(lucas_kanade, "warp", warp_reference)
    monkeypatch.setattr(lucas_kanade, "gaussian_blur", gaussian_blur_reference)
    off = (estimate(*pair) - fast).norm(dim=1)
    # At the thing's rim a hair decides which side's motion is taken.
    assert float(off.median()) < 0.005
    assert float((off > 0.1).float().mean()) < 0.02


def test_as_a_service() -> None:
    scene = SMALL[0]
    frames = torch.cat(planes(*(scene.frame(t) for t in range(3))))
    motion = MotionService(MotionOptions(method="lk"), torch.device("cpu"))
    motion.add(tuple(FrameInfo(i, i, 1) for i in range(3)), (frames - 16) / 219)
    for target, reference in ((0, 1), (1, 0), (0, 2), (2, 0)):
        truth, visible = scene.flow(target, reference)
        flow = motion.flow(target, reference, (144, 176))[0].permute(1, 2, 0).numpy()
        assert miss(flow, truth, visible) < 0.1
        doubt = motion.doubt(target, reference, (144, 176))
        assert doubt.shape == (1, 1, 144, 176)
        assert float(doubt[0, 0][torch.from_numpy(visible)].mean()) < 0.3
    assert not motion.flow(1, 1, (144, 176)).any()
    motion.close()
