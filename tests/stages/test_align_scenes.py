"""Alignment where the truth is known: things that move, cuts, flashes, fades, still and repeated frames, captions."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from restore.motion import MotionOptions, MotionService
from restore.stages.align import Align
from restore.video import FrameBatch, FrameInfo, QuantMap, VideoFormat
from restore.windowing import run_stage

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from motion_scenes import Scene

Film = NDArray[np.float32]
"""(T, H, W) luma, 8-bit codes."""
STEP = 12.0
NOISE = 2.5
"""Deviation of the error, in codes: about what such a step leaves."""


def spoilt(clean: Film, noise: float = NOISE) -> Film:
    """With an error in three blocks of four, as codecs leave some alone; the same for the same picture."""
    frames = []
    for frame in clean:
        seed = int(frame.astype(np.float64).sum()) % 2**32
        rough = np.random.default_rng(seed).standard_normal(frame.shape).astype(np.float32)
        y, x = np.mgrid[: frame.shape[0], : frame.shape[1]] // 8
        rough[(y % 2 == 0) & (x % 2 == 0)] = 0
        frames.append(frame + noise * rough)
    return np.clip(np.rint(np.stack(frames)), 0, 255).astype(np.float32)


def aligned(
    film: Film, scenes: list[int] | None = None, step: float = STEP, method: str = "dis"
) -> Film:
    """After `align`, coded with one quantiser; `scenes`: of each frame, all one if None; `method`: of [motion]."""
    count, height, width = film.shape
    fmt = VideoFormat(width, height, None, 8, Fraction(1, 25))
    infos = tuple(FrameInfo(i, i, 1, (scenes or [0] * count)[i]) for i in range(count))
    luma = (torch.from_numpy(film)[:, None] - 16) / 219
    options = MotionOptions.model_validate({"method": method})
    motion = MotionService(options, torch.device("cpu"))
    motion.add(infos, luma)
    quant = (QuantMap(torch.full((1, 1), step)),) * count
    video = FrameBatch((luma,), infos, fmt, quant=quant, motion=motion)
    done = FrameBatch.cat(list(run_stage(Align(), [video], fmt)))
    return np.asarray(done.planes[0][:, 0].numpy() * 219 + 16, np.float32)


def psnr(found: Film, clean: Film, where: NDArray[np.bool_] | None = None) -> float:
    error = (found.astype(np.float64) - clean) ** 2
    return float(10 * np.log10(255**2 / (error if where is None else error[where]).mean()))


def band(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The 8 samples around a thing, on both sides of its outline."""
    kernel = np.ones((17, 17), np.uint8)
    codes = mask.astype(np.uint8)
    return (cv2.dilate(codes, kernel) - cv2.erode(codes, kernel)).astype(bool)


@pytest.mark.parametrize("method", ["dis", "lk"])
@pytest.mark.parametrize("pace", [1, 2, 4, 8, 16, 32])
def test_no_ghosts_around_a_moving_thing(pace: int, method: str) -> None:
    scene = Scene("", thing=(0.8 * pace, 0.6 * pace), height=144, width=176)
    clean = np.stack([scene.frame(t) for t in range(1, 6)])
    film = spoilt(clean)
    around = band(scene.thing_mask(3))
    done = aligned(film, method=method)
    assert psnr(done[2], clean[2], around) > psnr(film[2], clean[2], around) - 0.1
    # And the rest gains.
    assert psnr(done[2], clean[2]) > psnr(film[2], clean[2]) + 1


def pan(count: int, seed: int = 1, pace: float = 2.0) -> Film:
    scene = Scene("", pan=(0.8 * pace, 0.6 * pace), height=96, width=128, seed=seed)
    return np.stack([scene.frame(t) for t in range(count)])


def test_nothing_leaks_across_a_cut() -> None:
    """What is on one side of a cut does not depend on what is on the other, a scene of one frame included."""
    one, single, other = spoilt(pan(4)), spoilt(pan(1, 5)), spoilt(pan(4, 9))
    scenes = [0] * 4 + [1] + [2] * 4
    whole = aligned(np.concatenate((one, single, other)), scenes)
    changed = aligned(np.concatenate((255 - one, single, 255 - other)), scenes)
    assert np.array_equal(whole[:4], aligned(one))
    assert np.array_equal(whole[4], single[0]) or np.allclose(whole[4], single[0], atol=1e-4)
    assert np.array_equal(whole[4], changed[4])
    assert np.array_equal(whole[5:], aligned(np.concatenate((single, other)), [0, *[1] * 4])[1:])


def test_a_cut_that_was_missed_leaves_no_trace() -> None:
    one, other = pan(4), pan(4, 9)
    clean = np.concatenate((one, other))
    film = spoilt(clean)
    done = aligned(film)
    for n in (3, 4):
        assert psnr(done[n], clean[n]) > psnr(film[n], clean[n]) - 0.02


def test_a_flash_stays_where_it_is() -> None:
    clean = pan(7)
    clean[3] = np.clip(clean[3] + 80, 16, 235)
    film = spoilt(clean)
    done = aligned(film)
    for n in range(7):
        assert psnr(done[n], clean[n]) > psnr(film[n], clean[n]) - 0.02
        assert abs(float((done[n] - film[n]).mean())) < 0.1


def test_a_fade_keeps_its_pace() -> None:
    levels = np.linspace(1.0, 0.1, 8, dtype=np.float32)[:, None, None]
    clean = 16 + (pan(8) - 16) * levels
    film = spoilt(clean)
    done = aligned(film)
    for n in range(8):
        assert psnr(done[n], clean[n]) > psnr(film[n], clean[n]) - 0.02
        # The ends have neighbours on one side alone, so the level may lean to them, below what is seen.
        assert abs(float((done[n] - clean[n]).mean())) < 0.5


def test_still_and_repeated_frames() -> None:
    """The same frame again and again stays as it is; among others it is no more than itself."""
    frame = spoilt(pan(1))
    still = np.repeat(frame, 6, 0)
    assert np.abs(aligned(still) - still).max() < 0.01
    clean = pan(6)
    clean[3] = clean[2]
    film = spoilt(clean)
    assert np.array_equal(film[3], film[2])
    done = aligned(film)
    for n in range(6):
        assert psnr(done[n], clean[n]) > psnr(film[n], clean[n])


def test_a_pan_off_the_frame() -> None:
    """At 20 samples a frame a fifth of the picture is in no neighbour: it stays, the rest gains."""
    clean = pan(6, pace=20)
    film = spoilt(clean)
    done = aligned(film)
    for n in range(6):
        assert psnr(done[n], clean[n]) > psnr(film[n], clean[n]) - 0.02
        edges = np.zeros(clean[n].shape, bool)
        edges[:, :12] = edges[:, -12:] = True
        assert psnr(done[n], clean[n], edges) > psnr(film[n], clean[n], edges) - 0.1


@pytest.mark.parametrize("method", ["dis", "lk"])
def test_a_caption_before_a_moving_scene_stays_sharp_and_still(method: str) -> None:
    clean = pan(7, pace=5)
    letters = np.zeros((14, 70), np.float32)
    letters[:, ::5] = 1
    letters[:, 1::5] = 1
    where = np.zeros(clean[0].shape, bool)
    where[70:84, 30:100] = True
    for frame in clean:
        frame[70:84, 30:100] = 30 + 200 * letters
    film = spoilt(clean)
    done = aligned(film, method=method)
    kernel = np.ones((9, 9), np.uint8)
    around = cv2.dilate(where.astype(np.uint8), kernel).astype(bool)
    assert psnr(done[3], clean[3], around) > psnr(film[3], clean[3], around) - 0.02
    assert done[1:-1, where].std(0).mean() < film[1:-1, where].std(0).mean()


def test_grain_is_not_averaged_away() -> None:
    """A film grainier than its quantiser: its grain is the truth."""
    clean = spoilt(pan(5), 4.0)
    noise = np.random.default_rng(8).standard_normal(clean.shape).astype(np.float32)
    film = np.rint(clean + 0.8 * noise)
    done = aligned(film, step=4.0)
    assert psnr(done[2], clean[2]) > psnr(film[2], clean[2]) - 0.05


def test_a_frame_without_a_quantiser_takes_that_of_its_neighbour() -> None:
    clean = pan(5)
    film = spoilt(clean)
    known = aligned(film)
    fmt = VideoFormat(128, 96, None, 8, Fraction(1, 25))
    luma = (torch.from_numpy(film)[:, None] - 16) / 219
    infos = tuple(FrameInfo(i, i, 1) for i in range(5))
    motion = MotionService(MotionOptions(), torch.device("cpu"))
    motion.add(infos, luma)
    one = QuantMap(torch.full((1, 1), STEP))
    video = FrameBatch((luma,), infos, fmt, quant=(one, one, None, one, one), motion=motion)
    done = Align().process(video)[0][0, 0].numpy() * 219 + 16
    assert np.allclose(done, known[2], atol=1e-3)
    bare = Align().process(replace(video, quant=()))[0][0, 0].numpy() * 219 + 16
    assert psnr(done, clean[2]) > psnr(bare, clean[2]) + 0.5
