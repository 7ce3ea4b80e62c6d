"""Shipped pipelines from cut detection to codes, where the truth is known: cuts, flashes, fades, still frames, pans, captions."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from restore.color import ColorInfo, Matrix, Primaries, Transfer
from restore.evaluate.imresize import imresize
from restore.evaluate.subjects import Input, restored
from restore.pipeline import find_pipeline, read_pipeline
from restore.video import FrameBatch, FrameInfo, QuantMap, VideoFormat

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from motion_scenes import Scene

Film = NDArray[np.float32]
"""(T, H, W) luma, 8-bit codes."""
PIPELINES = ("bw_film_x2", "bw_film_x2_hq")
STEP = 12.0
COLOR = ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, False)


def pan(count: int, seed: int = 1, pace: float = 2.0, light: float = 0.0) -> Film:
    """128x96, what comes out; half of that goes in."""
    scene = Scene("", pan=(0.8 * pace, 0.6 * pace), height=96, width=128, seed=seed)
    return np.stack([scene.frame(t) for t in range(count)]) + np.float32(light)


def small(film: Film) -> Film:
    halves = [imresize(frame.astype(np.float64), Fraction(1, 2)) for frame in film]
    return np.clip(np.rint(np.stack(halves)), 0, 255).astype(np.float32)


def spoilt(low: Film) -> Film:
    """With an error such as a quantiser of STEP leaves: in three blocks of four, as codecs leave some alone."""
    rough = np.random.default_rng(3).standard_normal(low.shape)
    y, x = np.mgrid[: low.shape[1], : low.shape[2]] // 8
    rough[:, (y % 2 == 0) & (x % 2 == 0)] = 0
    return np.clip(np.rint(low + 2.5 * rough), 0, 255).astype(np.float32)


def given(low: Film) -> Input:
    """As decoded from a stream of one quantiser."""
    planes = torch.from_numpy(low.astype(np.uint8))[:, None]
    fmt = VideoFormat(low.shape[2], low.shape[1], None, 8, Fraction(1, 25), COLOR)
    infos = tuple(FrameInfo(i, i, 1) for i in range(len(planes)))
    quant = (QuantMap(torch.full((1, 1), STEP)),) * len(planes)
    whole = FrameBatch((planes,), infos, fmt, quant=quant)
    return Input(fmt, lambda _: (whole[i : i + 4] for i in range(0, len(infos), 4)))


def made(low: Film, pipeline: str = "bw_film_x2", *overrides: str) -> Film:
    chain = read_pipeline(find_pipeline(pipeline), overrides)
    done = restored(given(low), chain, torch.device("cpu"), 1)
    return np.asarray(done[:, 0].numpy(), np.float32)


def alone(low: Film) -> Film:
    """Each frame without its neighbours: a clip for each."""
    return np.concatenate([made(frame[None]) for frame in low])


def psnr(found: Film, clean: Film) -> float:
    return float(10 * np.log10(255**2 / ((found.astype(np.float64) - clean) ** 2).mean()))


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("pace", [2, 8, 16, 32])
def test_no_ghosts_around_a_moving_thing(pace: int, pipeline: str) -> None:
    """In the 16 samples around its outline the neighbours do no harm, and elsewhere good."""
    scene = Scene("", thing=(0.8 * pace, 0.6 * pace), height=144, width=192)
    clean = np.stack([scene.frame(t) for t in range(5)])
    low = spoilt(small(clean))
    thing = scene.thing_mask(2).astype(np.uint8)
    kernel = np.ones((33, 33), np.uint8)
    band = (cv2.dilate(thing, kernel) - cv2.erode(thing, kernel)).astype(bool)
    # Things as fast as this before so small a picture are taken for cuts; here they are not to be.
    done, base = made(low, pipeline, "scenes.detector=none")[2], made(low[2:3])[0]
    assert psnr(done[band], clean[2][band]) > psnr(base[band], clean[2][band]) - 0.1
    assert psnr(done, clean[2]) > psnr(base, clean[2]) + 0.1


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_no_sample_leaks_across_a_cut(pipeline: str) -> None:
    """A scene, one of a single frame, another one: each stays what it is whatever the others are."""
    scenes = [spoilt(small(f)) for f in (pan(4, 1), pan(1, 5, light=20), pan(4, 9, light=-20))]
    others = [spoilt(small(f)) for f in (pan(4, 2), pan(1, 6, light=20), pan(4, 8, light=-20))]
    # So tolerant that what lies beyond a cut would show if it were looked at.
    tolerant = "align.strength=4"
    whole = made(np.concatenate(scenes), pipeline, tolerant)
    for n, where in enumerate((slice(0, 4), slice(4, 5), slice(5, 9))):
        mixed = [*others[:n], scenes[n], *others[n + 1 :]]
        assert np.array_equal(made(np.concatenate(mixed), pipeline, tolerant)[where], whole[where])
    # And it does look at neighbours where there is no cut.
    assert not np.array_equal(made(scenes[0][2:3], pipeline, tolerant)[0], whole[2])


def test_a_flash_stays_where_it_is() -> None:
    clean = pan(9)
    clean[4] = np.clip(clean[4] + 70, 16, 235)
    low = spoilt(small(clean))
    done, base = made(low), alone(low)
    for n in range(9):
        assert abs(float((done[n] - base[n]).mean())) < 0.3
        assert psnr(done[n], clean[n]) > psnr(base[n], clean[n]) - 0.02


def test_a_fade_keeps_its_pace() -> None:
    levels = np.linspace(1.0, 0.1, 8, dtype=np.float32)[:, None, None]
    clean = 16 + (pan(8) - 16) * levels
    low = spoilt(small(clean))
    done, base = made(low), alone(low)
    for n in range(8):
        assert abs(float((done[n] - base[n]).mean())) < 0.4
        assert psnr(done[n], clean[n]) > psnr(base[n], clean[n]) - 0.02


def test_still_frames_come_out_alike() -> None:
    """Nothing is to be gained from equal frames, and nothing lost: a network that sees them on both sides may use that."""
    clean = pan(1)
    low = spoilt(small(clean))
    still, base = made(np.repeat(low[:1], 6, 0)), made(low[:1])
    assert np.array_equal(still[2], still[3])
    assert np.abs(np.diff(still, axis=0)).mean((1, 2)).max() < 0.5
    assert min(psnr(frame, clean[0]) for frame in still) > psnr(base, clean) - 0.05


def test_one_frame_is_a_film() -> None:
    low = spoilt(small(pan(1)))
    assert np.array_equal(made(low), alone(low))


def test_a_pan_off_the_frame() -> None:
    """A tenth of the picture leaves it with each frame: its edges stay, the rest gains."""
    clean = pan(6, pace=8)
    low = spoilt(small(clean))
    # So fast a pan of so small a picture is taken for cuts; here it is not to be.
    done, base = made(low, "bw_film_x2", "scenes.detector=none"), alone(low)
    edges = np.zeros(clean.shape, bool)
    edges[:, :, :12] = edges[:, :, -12:] = edges[:, :12] = edges[:, -12:] = True
    assert psnr(done, clean) > psnr(base, clean) + 0.1
    assert psnr(done[edges], clean[edges]) > psnr(base[edges], clean[edges]) - 0.05


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_caption_before_a_moving_scene_stays_sharp_and_still(pipeline: str) -> None:
    clean = pan(7, pace=5)
    rng = np.random.default_rng(2)
    letters = np.where(rng.random((5, 20)) > 0.5, 225, 30).repeat(4, 0).repeat(4, 1)
    clean[:, 64:84, 24:104] = letters
    low = spoilt(small(clean))
    done, base = made(low, pipeline), alone(low)
    inside = np.s_[:, 66:82, 26:102]
    assert psnr(done[inside], clean[inside]) > psnr(base[inside], clean[inside])
    # The scene behind does not shine through.
    assert done[inside].std(0).mean() < base[inside].std(0).mean()
