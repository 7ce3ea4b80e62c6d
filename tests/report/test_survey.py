"""What is measured of two videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest

from restore.compare.pairs import Pairs
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.report.survey import Survey, against_truth, mean_pair, spans, survey

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def make(
    path: Path, *filters: tuple[str, dict[str, object]], cut: int = 20, **options: object
) -> Path:
    """Two scenes, of `cut` and 20 frames, 64x48, lossless unless `options` say otherwise."""
    first = ffmpeg.input(f"testsrc2=size=64x48:rate=25:duration={cut / 25}", f="lavfi")
    second = ffmpeg.input("testsrc=size=64x48:rate=25:duration=0.8", f="lavfi").filter("negate")
    film = ffmpeg.concat(first, second).filter("format", "yuv420p")
    for name, value in filters:
        film = film.filter(name, **value)
    wanted = {"vcodec": "ffv1", **options}
    ffmpeg.output(film, str(path), **wanted).run(cmd=FFMPEG, quiet=True, overwrite_output=True)
    return path


def measured(a: Path, b: Path) -> Survey:
    one, two = (open_source([p], InputOptions()) for p in (a, b))
    return survey(Pairs(one, two), None, lambda _: None)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("film") / "film.mkv")


def test_scenes_and_every_frame_are_found(film: Path) -> None:
    found = measured(film, film)
    assert [(s.first, s.stop) for s in found.scenes] == [(0, 20), (20, 40)]
    assert len(found.times) == 40
    assert found.lone == found.damaged == []
    assert [float(t) for pair in spans(found) for t in pair] == [0, 0.8, 0.8, 1.6]
    for scene in found.scenes:
        assert found.drift(scene) == (0, 0)
        both = mean_pair(scene.sharpness)
        assert both is not None
        assert both[0] == both[1] > 0


def test_a_blurred_film_is_less_sharp(film: Path, tmp_path: Path) -> None:
    found = measured(film, make(tmp_path / "soft.mkv", ("boxblur", {"luma_radius": 2})))
    for scene in found.scenes:
        both = mean_pair(scene.sharpness)
        assert both is not None
        assert both[1] < 0.7 * both[0]


def test_a_brighter_film_drifts_by_so_many_codes(film: Path, tmp_path: Path) -> None:
    found = measured(
        film, make(tmp_path / "bright.mkv", ("lutyuv", {"y": "val+10", "u": "val+6", "v": "val-8"}))
    )
    drift = found.drift(found.scenes[0])
    assert drift is not None
    assert drift[0] == pytest.approx(10, abs=0.8)
    assert drift[1] == pytest.approx(10, abs=1.2)


def test_flicker_is_that_of_brightness_alone(film: Path, tmp_path: Path) -> None:
    """Every second frame 8 codes brighter: each lies 8 codes from its neighbours' mean."""
    shown = make(
        tmp_path / "flicker.mkv",
        ("geq", {"lum": "lum(X,Y)*0.8+8*mod(N,2)", "cb": "cb(X,Y)", "cr": "cr(X,Y)"}),
    )
    found = measured(film, shown)
    flicker = found.flicker(found.scenes[0])
    assert flicker is not None
    assert flicker[0] < 1
    assert flicker[1] == pytest.approx(8, abs=1)


def test_blocks_are_seen_where_they_are(film: Path, tmp_path: Path) -> None:
    noise = {"f": "lavfi", "i": "mandelbrot=size=160x128:rate=25"}
    clean = tmp_path / "clean.mkv"
    source = ffmpeg.input(noise["i"], f="lavfi", t=0.8).filter("format", "yuv420p")
    source.output(str(clean), vcodec="ffv1").run(cmd=FFMPEG, quiet=True)
    coded = tmp_path / "coded.avi"
    coder = {"vcodec": "mpeg4", "qscale:v": 31}
    ffmpeg.input(str(clean)).output(str(coded), **coder).run(cmd=FFMPEG, quiet=True)
    blocks = measured(clean, coded).scenes[0].blocks
    assert blocks is not None
    assert blocks[1] > blocks[0] + 0.3


def test_a_lost_frame_stands_alone(film: Path, tmp_path: Path) -> None:
    lost = make(tmp_path / "lost.mkv", ("select", {"expr": "not(eq(n,7))"}), fps_mode="passthrough")
    found = measured(film, lost)
    assert found.lone == [(Fraction(7, 25), "A")]
    assert found.means[7] is None


def test_the_truth_tells_which_is_nearer(film: Path, tmp_path: Path) -> None:
    bad = make(tmp_path / "bad.mkv", ("boxblur", {"luma_radius": 3}))
    better = make(tmp_path / "better.mkv", ("boxblur", {"luma_radius": 1}))
    found = measured(bad, better)
    sources = [open_source([p], InputOptions()) for p in (bad, better, film)]
    for side in (0, 1):
        against_truth(found, Pairs(sources[side], sources[2]), side, Fraction(0))
    for scene in found.scenes:
        psnr = [np.mean([v for v, _ in scene.truth[f"psnr{side}"]]) for side in (0, 1)]
        ssim = [np.mean([v for v, _ in scene.truth[f"ssim{side}"]]) for side in (0, 1)]
        assert psnr[1] > psnr[0] + 2
        assert ssim[1] > ssim[0]


def test_a_frame_that_begins_a_scene_is_measured_with_it(tmp_path: Path) -> None:
    """A cut is told two frames late, and frame 24 is a sampled one."""
    film = make(tmp_path / "film.mkv", cut=24)
    found = measured(film, film)
    assert [s.numbers for s in found.scenes] == [[0, 12], [24, 36]]
    assert [len(s.sharpness) for s in found.scenes] == [2, 2]
    assert found.sampled.frames == [0, 12, 24, 36]
