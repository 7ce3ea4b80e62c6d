"""A preview shows what a run would make."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from restore.errors import InputError, PipelineFileError
from restore.io.decode import decode
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.pipeline import PipelineSpec, read_pipeline
from restore.preview.render import BURST, Preview, preview
from restore.preview.sheet import busiest, stills
from restore.run import local
from restore.run.job import Job, Listener, prepare

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of 20 frames, 64x48, through MPEG-1 at a coarse quantiser."""
    path = tmp_path_factory.mktemp("clip") / "clip.mpg"
    first = ffmpeg.input("testsrc2=size=64x48:rate=25:duration=0.8", f="lavfi")
    second = ffmpeg.input("testsrc=size=64x48:rate=25:duration=0.8", f="lavfi").filter("negate")
    joined = ffmpeg.concat(first, second.filter("format", "yuv420p"))
    options = {"vcodec": "mpeg1video", "qscale:v": 8, "g": 10}
    ffmpeg.output(joined, str(path), **options).run(cmd=FFMPEG, quiet=True)
    return path


def spec_of(folder: Path, text: str, name: str = "p") -> PipelineSpec:
    (folder / f"{name}.toml").write_text(text)
    return read_pipeline(folder / f"{name}.toml")


CHAIN = """
[[stage]]
kind = "deblock"
[[stage]]
kind = "align"
radius = 1
[[stage]]
kind = "upscale"
model = "lanczos"
[output]
codec = "ffv1"
"""
LANCZOS = '[[stage]]\nkind = "upscale"\nmodel = "lanczos"\n'


@pytest.fixture
def made(clip: Path, tmp_path: Path) -> Preview:
    return preview(clip, [spec_of(tmp_path, CHAIN)], CPU, 1, count=3)


def test_the_pictures_are_those_of_the_run(clip: Path, tmp_path: Path, made: Preview) -> None:
    """Sample by sample: neighbours, scenes and facts included."""
    output = tmp_path / "out.mkv"
    local.run(prepare(Job(spec_of(tmp_path, CHAIN), (clip,), output, threads=1)), Listener())
    source = open_source([output], InputOptions())
    base = source.video.format.time_base
    times = [f.pts * base for b in decode(source) for f in b.frames]
    frames = [b.planes[0][n, 0].numpy() for b in decode(source) for n in range(len(b))]
    assert len(made.times) == 3
    for time, picture in zip(made.times, made.after[0].pictures, strict=True):
        nearest = min(range(len(times)), key=lambda n: abs(times[n] - times[0] - time))
        assert abs(times[nearest] - times[0] - time) < Fraction(1, 500)
        assert np.array_equal(frames[nearest], picture[0])


def test_each_scene_is_there_and_the_film_is_known(made: Preview) -> None:
    assert (made.frames, made.scenes, made.whole) == (40, 2, True)
    assert made.duration == Fraction(8, 5)
    assert min(made.times) < Fraction(4, 5) <= max(made.times)


def test_time_and_size_of_the_whole_are_foretold(clip: Path, tmp_path: Path) -> None:
    """Time is only counted: what a busy machine takes is its own affair."""
    text = LANCZOS + '[output]\npreset = "ultrafast"\n'
    shown = preview(clip, [spec_of(tmp_path, text)], CPU, 1, count=4).after[0]
    output = tmp_path / "out.mkv"
    local.run(prepare(Job(spec_of(tmp_path, text), (clip,), output, threads=1)), Listener())
    assert shown.cost is not None
    assert shown.cost.bytes == pytest.approx(output.stat().st_size, rel=0.5)
    assert shown.cost.seconds is not None
    assert shown.cost.seconds >= 40 * shown.cost.per_frame * 0.9 > 0


def test_a_time_gives_the_frame_on_screen_then(clip: Path, tmp_path: Path) -> None:
    at = (Fraction(50, 1000), Fraction(1210, 1000))
    made = preview(clip, [spec_of(tmp_path, LANCZOS)], CPU, 1, at=at)
    assert [round(float(t), 2) for t in made.times] == [0.04, 1.2]
    assert not made.whole
    assert made.after[0].cost is not None
    assert made.after[0].cost.seconds is None


def test_a_time_behind_the_end_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--at: expected a time before its end at 1\.600 s"):
        preview(clip, [spec_of(tmp_path, LANCZOS)], CPU, 1, at=(Fraction(2),))


def test_several_pipelines_make_a_matrix(clip: Path, tmp_path: Path) -> None:
    plain = spec_of(tmp_path, '[output]\nuse = "preview"\n', "plain")
    made = preview(clip, [plain, spec_of(tmp_path, LANCZOS)], CPU, 1, count=2)
    assert (made.panel.width, made.panel.height) == (128, 96)
    shapes = {p[0].shape for c in (made.before, *(s.pictures for s in made.after)) for p in c}
    assert shapes == {(96, 128)}
    found = stills(made)
    pictures = [name for name in found if name[0].isdigit()]
    assert len(pictures) == 2 * 3
    assert {"sheet.png", "details.png"} < set(found)
    assert found["sheet.png"].shape[1] > 3 * 128


def test_pipelines_that_read_alike_are_asked_for(clip: Path, tmp_path: Path) -> None:
    other = spec_of(tmp_path, LANCZOS + '[input]\ncrop = "8:0:0:0"\n', "other")
    with pytest.raises(PipelineFileError, match=r"\[input\]: expected the same as in p\.toml"):
        preview(clip, [spec_of(tmp_path, LANCZOS), other], CPU, 1)


def test_a_burst_stays_in_its_scene(clip: Path, tmp_path: Path) -> None:
    """The last frame of a scene is rendered alone."""
    spec = spec_of(tmp_path, CHAIN)
    at = (Fraction(19, 25),)
    made = preview(clip, [spec], CPU, 1, at=at)
    assert BURST > 1
    assert len(made.after[0].pictures) == 1


def test_the_busiest_place_is_found() -> None:
    image = np.full((480, 640, 3), 100, np.uint8)
    image[200:420, 300:600] = np.random.default_rng(0).integers(0, 255, (220, 300, 3))
    x, y = busiest(image)
    assert 280 <= x <= 301
    assert 180 <= y <= 201


def test_settings_reach_the_chain(clip: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LANCZOS)
    crf = spec.output.model_copy(update={"crf": 40.0, "preset": "ultrafast"})
    coarse = preview(clip, [replace(spec, output=crf)], CPU, 1, count=2).after[0].cost
    fine = preview(clip, [spec], CPU, 1, count=2).after[0].cost
    assert coarse is not None
    assert fine is not None
    assert (coarse.bytes or 0) < 0.5 * (fine.bytes or 0)
