"""Flicker goes, what is no flicker stays, and nothing depends on how a film was cut up."""

from __future__ import annotations

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import restore.index
from restore import flicker
from restore.color import ColorInfo, Matrix, Primaries, Transfer
from restore.evaluate.subjects import Input, restored
from restore.flicker import flickers
from restore.pipeline import read_pipeline
from restore.stages.deflicker import Deflicker
from restore.video import FrameBatch, FrameInfo, VideoFormat

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from motion_scenes import Scene

Film = NDArray[np.float64]
"""(T, H, W) luma, 8-bit codes."""
COLOR = ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, False)


def pan(count: int, seed: int = 1) -> Film:
    scene = Scene("", pan=(1.0, 0.4), height=72, width=96, seed=seed)
    film = np.stack([scene.frame(t) for t in range(count)])
    return np.asarray(np.rint(40 + (film - film.min()) * (160 / np.ptp(film))), np.float64)


def spoilt(film: Film, seed: int = 2) -> Film:
    """Gain that jumps by 4 %, and brightness that goes from side to side."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(-1, 1, film.shape[2])
    gain = 1 + 0.04 * rng.standard_normal((len(film), 1, 1))
    gain = gain + 0.03 * rng.standard_normal((len(film), 1, 1)) * slope
    return np.clip(np.rint((film - 16) * gain + 16), 0, 255)


def made(film: Film, tmp_path: Path, strength: str = '"auto"', batch: int = 7) -> Film:
    path = tmp_path / "p.toml"
    path.write_text(f'[[stage]]\nkind = "deflicker"\nstrength = {strength}\n')
    planes = torch.from_numpy(film.astype(np.uint8))[:, None]
    fmt = VideoFormat(film.shape[2], film.shape[1], None, 8, Fraction(1, 25), COLOR)
    infos = tuple(FrameInfo(i, i, 1) for i in range(len(planes)))
    whole = FrameBatch((planes,), infos, fmt)
    given = Input(fmt, lambda _: (whole[i : i + batch] for i in range(0, len(infos), batch)))
    done = restored(given, read_pipeline(path), torch.device("cpu"), 1)
    return np.asarray(done[:, 0].numpy(), np.float64)


def unrest(film: Film, clean: Film) -> float:
    return float(np.diff((film - clean).mean((1, 2))).std())


def test_flicker_goes(tmp_path: Path) -> None:
    clean = pan(40)
    film = spoilt(clean)
    done = made(film, tmp_path)
    assert unrest(film, clean) > 3
    assert unrest(done, clean) < 0.3
    # From side to side, too.
    sides = [
        (f - clean)[:, :, :32].mean((1, 2)) - (f - clean)[:, :, -32:].mean((1, 2))
        for f in (film, done)
    ]
    assert np.diff(sides[1]).std() < 0.2 * np.diff(sides[0]).std()


@pytest.mark.parametrize("event", ["none", "ramp", "fade", "flash", "lamp", "lightning"])
def test_a_film_that_does_not_flicker_stays_bit_by_bit(event: str, tmp_path: Path) -> None:
    t = np.arange(40)
    light = {
        "none": np.ones(40),
        "ramp": 1 - 0.4 * t / 40,
        "fade": np.clip(1 - (t - 10) / 24, 0.1, 1),
        "flash": 1 + 0.5 * (t == 20),
        "lamp": 1 + 0.25 * (t >= 20),
        "lightning": 1 + 0.4 * (t == 20) + 0.2 * (t == 21) + 0.1 * (t == 22),
    }[event]
    film = np.clip(np.rint((pan(40) - 16) * light[:, None, None] + 16), 0, 255)
    assert np.array_equal(made(film, tmp_path), film)


def test_a_flash_stays_where_the_film_flickers(tmp_path: Path) -> None:
    clean = pan(40)
    light = 1 + 0.6 * (np.arange(40) == 20)
    lit = np.clip((clean - 16) * light[:, None, None] + 16, 0, 255)
    done = made(spoilt(lit), tmp_path)
    assert done[20].mean() - done[[19, 21]].mean() > 0.8 * (lit[20].mean() - lit[[19, 21]].mean())


def test_a_black_border_stays_black(tmp_path: Path) -> None:
    """Though brightness flickers by an offset."""
    clean = pan(30)
    film = clean + np.rint(6 * np.random.default_rng(3).standard_normal((30, 1, 1)))
    for frames in (clean, film):
        frames[:, :, :20] = frames[:, :, -20:] = 16
    done = made(film, tmp_path)
    assert np.array_equal(done[:, :, :20], film[:, :, :20])
    assert np.abs(done - film).mean() > 1
    assert unrest(done[:, :, 20:-20], clean[:, :, 20:-20]) < 0.4 * unrest(
        film[:, :, 20:-20], clean[:, :, 20:-20]
    )


def test_strength_is_a_share(tmp_path: Path) -> None:
    clean = pan(30)
    film = spoilt(clean)
    assert np.array_equal(made(film, tmp_path, "0.0"), film)
    half, whole = made(film, tmp_path, "0.5"), made(film, tmp_path, "1.0")
    assert np.abs((film + whole) / 2 - half).mean() < 1


@pytest.mark.parametrize("batch", [1, 24])
def test_neither_batches_nor_segments_matter(
    batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = np.concatenate([spoilt(pan(41)), spoilt(pan(1, 5)), spoilt(pan(30, 9))])
    whole = made(film, tmp_path)
    monkeypatch.setattr(restore.index, "SEGMENT_SECONDS", Fraction(3, 25))
    monkeypatch.setattr(restore.index, "SEGMENT_CAP_SECONDS", Fraction(7, 25))
    assert np.array_equal(made(film, tmp_path, batch=batch), whole)


def test_a_frame_depends_on_its_reach_alone() -> None:
    rng = np.random.default_rng(4)
    steps = rng.standard_normal((500, flicker.WIDTH)) * np.array([0.04] * flicker.GAINS + [2, 4])
    steps[200, -1], steps[300:330, -1] = 40, -5
    whole = flickers(steps)
    for first, stop in ((180, 190), (230, 231), (290, 340)):
        low = first - flicker.REACH - 1
        part = flickers(steps[low : stop + flicker.REACH + 1])
        inside = slice(first - low, stop - low)
        assert np.array_equal(part.excess[inside], whole.excess[first:stop])
        assert np.array_equal(part.certainty[inside], whole.certainty[first:stop])


def test_scenes_of_one_frame_and_small_pictures(tmp_path: Path) -> None:
    film = pan(1)
    assert np.array_equal(made(film, tmp_path, "1.0"), film)
    tiny = spoilt(pan(8))[:, :9, :7]
    assert np.array_equal(made(tiny, tmp_path, "1.0"), tiny)


def test_both_ranges_are_treated_alike(make_video) -> None:  # type: ignore[no-untyped-def]
    """The same codes, read as limited and as full range."""
    video = make_video(chroma=None)
    codes = video.planes[0] * 219 + 16
    stage = Deflicker(strength=1.0)
    found = []
    for full, unit, black in ((False, 219, 16), (True, 255, 0)):
        fmt = replace(video.format, color=replace(video.format.color, full_range=full))
        part = replace(video, planes=((codes - black) / unit,), format=fmt)[:5]
        found.append(stage.process(part)[0] * unit + black)
    assert float((found[0] - codes[:5]).abs().max()) > 1
    torch.testing.assert_close(found[0], found[1], atol=1e-3, rtol=0)
