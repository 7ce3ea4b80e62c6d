"""The truth of benchmarks/motion_scenes.py is true: frames moved along it are the other frame."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from motion_scenes import CAMERAS, THINGS, Scene

TITLES = ("pan 2", "pan 16", "zoom 1.05", "turn 2.0 degrees", "thing 2", "thing 16")
SMALL = [replace(s, height=96, width=128) for s in [*CAMERAS, *THINGS] if s.title in TITLES]


@pytest.mark.parametrize("scene", SMALL, ids=lambda s: s.title)
def test_truth_leads_to_the_same_thing(scene: Scene) -> None:
    other = 2 if scene.title == "pan 2" else 4
    flow, visible = scene.flow(3, other)
    y, x = np.mgrid[:96, :128].astype(np.float32)
    moved = cv2.remap(scene.frame(other), x + flow[..., 0], y + flow[..., 1], cv2.INTER_LANCZOS4)
    across, down = x + flow[..., 0], y + flow[..., 1]
    inner = (across > 4) & (across < 124) & (down > 4) & (down < 92)
    off = np.abs(moved - scene.frame(3))[visible & inner]
    assert off.size > 3000
    # A flow that is off by half a sample leaves 2 codes and more.
    assert off.mean() < 0.8


def test_what_is_covered_is_not_visible() -> None:
    """The thing moves right by 12: a strip of scenery before its right edge is hidden in the next frame."""
    scene = Scene("", thing=(12.0, 0.0), height=96, width=128)
    _, visible = scene.flow(3, 4)
    assert not visible[48, 97:107].any()
    assert visible[48, 110:].all()
    _, visible = scene.flow(3, 2)
    assert not visible[48, 22:31].any()
    assert visible[48, :18].all()
