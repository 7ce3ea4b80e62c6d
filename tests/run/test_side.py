"""`restore run --compare`: the comparison of the same pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest

from restore.errors import OutputError
from restore.io.decode import decode
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.panels.view import View
from restore.pipeline import read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, Progress, prepare

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.6 s of 64x48, and sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mpg"
    picture = ffmpeg.input("testsrc2=size=64x48:rate=25:duration=1.6", f="lavfi")
    sound = ffmpeg.input("sine=frequency=440:duration=1.6", f="lavfi")
    options = {"vcodec": "mpeg1video", "acodec": "mp2", "qscale:v": 3}
    ffmpeg.output(picture, sound, str(path), **options).run(cmd=FFMPEG, quiet=True)
    return path


@pytest.fixture
def job(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr("restore.run.onepass.SEGMENT_FRAMES", 15)
    (tmp_path / "p.toml").write_text(
        '[[stage]]\nkind = "upscale"\nmodel = "lanczos"\n[output]\npreset = "ultrafast"\n'
    )
    spec = read_pipeline(tmp_path / "p.toml")
    folder = tmp_path / "out"
    folder.mkdir()
    return Job(spec, (clip,), folder / "out.mkv", threads=1, compare=folder / "side.mp4",
               view=View(labels=None))  # fmt: skip


def frames(path: Path) -> list[tuple[float, np.ndarray]]:
    found = []
    for batch in decode(open_source([path], InputOptions())):
        for n, info in enumerate(batch.frames):
            time = float(info.pts * batch.format.time_base)
            found.append((time, batch.planes[0][n, 0].numpy().astype(float)))
    return found


def test_before_stands_left_and_after_right_at_the_times_of_the_run(job: Job) -> None:
    local.run(prepare(job), Listener())
    assert job.compare is not None
    assert sorted(p.name for p in job.output.parent.iterdir()) == ["out.mkv", "side.mp4"]
    source, made, side = (frames(p) for p in (job.inputs[0], job.output, job.compare))
    assert len(source) == len(made) == len(side) == 40
    for (_, before), (at, after), (time, both) in zip(source, made, side, strict=True):
        assert time == pytest.approx(at, abs=0.001)
        assert both.shape == (96, 256)
        left, right = np.split(both, 2, axis=1)
        assert np.abs(right - after).mean() < 3
        assert np.abs(left.reshape(48, 2, 64, 2).mean((1, 3)) - before).mean() < 3
    assert len(open_source([job.compare], InputOptions()).audio) == 1


def test_the_output_is_the_same_with_and_without(job: Job) -> None:
    local.run(prepare(job), Listener())
    first = job.output.read_bytes()
    job.output.unlink()
    local.run(prepare(replace(job, compare=None)), Listener())
    assert job.output.read_bytes() == first


def stop(job: Job, frames: int) -> None:
    class Bomb(Listener):
        def progress(self, now: Progress) -> None:
            if now.frames >= frames:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local.run(prepare(job), Bomb())


def test_a_resumed_run_makes_the_same_comparison(job: Job) -> None:
    assert job.compare is not None
    local.run(prepare(job), Listener())
    wanted = [job.output.read_bytes(), job.compare.read_bytes()]
    job.output.unlink()
    job.compare.unlink()
    stop(job, 34)
    assert not job.compare.exists()
    assert local.run(prepare(job), Listener()).kept == 2
    assert [job.output.read_bytes(), job.compare.read_bytes()] == wanted


@pytest.mark.parametrize("earlier", [None, View(mode="wipe", labels=None)])
def test_segments_without_this_comparison_are_made_again(job: Job, earlier: View | None) -> None:
    """Of a run that was begun without --compare, or with another view."""
    assert job.compare is not None
    local.run(prepare(job), Listener())
    wanted = [job.output.read_bytes(), job.compare.read_bytes()]
    job.output.unlink()
    job.compare.unlink()
    stop(replace(job, view=earlier) if earlier else replace(job, compare=None), 34)
    assert local.run(prepare(job), Listener()).kept == 0
    assert [job.output.read_bytes(), job.compare.read_bytes()] == wanted


Change = Callable[[Job], Job]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda j: replace(j, compare=j.output), "is the input or the output"),
        (lambda j: replace(j, compare=j.inputs[0]), "is the input or the output"),
        (lambda j: replace(j, compare=j.output.parent / "no" / "s.mp4"), "folder that exists"),
        (
            lambda j: replace(j, compare=j.output.with_name("side.xyz")),
            r"^--compare: side\.xyz: expected",
        ),
        (lambda j: replace(j, compare=j.output.with_name("there.mp4")), "--overwrite"),
    ],
)
def test_a_wrong_name_is_said_before_the_run(job: Job, change: Change, expected: str) -> None:
    job.output.with_name("there.mp4").write_bytes(b"precious")
    with pytest.raises(OutputError, match=expected):
        prepare(change(job))
    assert [p.name for p in job.output.parent.iterdir()] == ["there.mp4"]


@pytest.mark.parametrize("codec", ["ffv1", "prores_ks"])
def test_any_encoder_of_the_run_goes_with_it(job: Job, codec: str) -> None:
    """R, G, B and 10 bits come out of the worker; the comparison is 8-bit 4:2:0."""
    assert job.compare is not None
    output = job.spec.output.model_copy(update={"codec": codec, "preset": "medium"})
    output = output.model_copy(update={"pixel_format": "gbrp10le" if codec == "ffv1" else "auto"})
    other = replace(job, spec=replace(job.spec, output=output), output=job.output.with_suffix(".mov"
                    if codec == "prores_ks" else ".mkv"))  # fmt: skip
    local.run(prepare(other), Listener())
    shown = frames(job.compare)[5][1]
    left, right = np.split(shown, 2, axis=1)
    assert np.abs(left - right).mean() < 4
