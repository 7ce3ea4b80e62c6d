"""Whole runs: killed and resumed, changed in between, cut off by errors."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import ffmpeg
import imageio_ffmpeg
import pytest

from restore.errors import DeviceError, OutputError
from restore.io.decode import decode
from restore.nets.files import read_card, save_model
from restore.nets.plain import PlainSR
from restore.pipeline import read_pipeline
from restore.resources import models_dir
from restore.run import finish as last_steps
from restore.run import local
from restore.run.job import Job, Listener, Progress, Summary, prepare
from restore.run.parts import PartsFolder, parts_dir, read_sealed
from restore.video import FrameBatch

ROOT = Path(__file__).resolve().parents[2]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

FRAMES, SEGMENT = 102, 33
"""Of `clip`, and of each of its segments but the last."""

PIPELINE = """
[[stage]]
kind = "align"
radius = 1
[[stage]]
kind = "upscale"
model = "lanczos"
[output]
preset = "ultrafast"
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """34 s of 64x48 MPEG-4 at 3 frames a second, a new scene every 11 s: four segments; MP2 sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    picture = ffmpeg.input("testsrc2=size=64x48:rate=3:duration=34", f="lavfi").filter(
        "negate", enable="mod(floor(t/11),2)"
    )
    sound = ffmpeg.input("sine=frequency=440:duration=34", f="lavfi")
    options = {"vcodec": "mpeg4", "acodec": "mp2", "qscale:v": 3}
    ffmpeg.output(picture, sound, str(path), **options).run(cmd=FFMPEG, quiet=True)
    return path


@pytest.fixture
def job(clip: Path, tmp_path: Path) -> Job:
    return job_in(tmp_path, clip)


def job_in(folder: Path, clip: Path) -> Job:
    (folder / "p.toml").write_text(PIPELINE)
    spec = read_pipeline(folder / "p.toml")
    return Job(spec, (clip,), folder / "out" / "out.mkv", threads=1)


@pytest.fixture(scope="module")
def unbroken(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, str]:
    """What `job` gives where nothing stops it: (summary, hash of the output)."""
    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "out").mkdir()
    return finish(job_in(folder, clip))[:2]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "out").mkdir()
    yield


def finish(job: Job) -> tuple[Summary, str, list[str]]:
    """Run it; (summary, hash of the output, notes heard)."""
    notes: list[str] = []

    class Ear(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    summary = local.run(prepare(job), Ear())
    assert [p.name for p in job.output.parent.iterdir()] == [job.output.name]
    return summary, hashlib.sha256(job.output.read_bytes()).hexdigest(), notes


class StoppedError(Exception):
    pass


def stop_after(job: Job, frames: int) -> None:
    """Begin the job and break off when so many frames are through, as an error in the chain would."""

    class Bomb(Listener):
        def progress(self, now: Progress) -> None:
            if now.frames >= frames:
                raise StoppedError

    with pytest.raises(StoppedError):
        local.run(prepare(job), Bomb())


def test_a_run_is_whole_and_repeatable(job: Job, unbroken: tuple[Summary, str]) -> None:
    summary, first = unbroken
    assert (summary.frames, summary.segments, summary.kept) == (FRAMES, 4, 0)
    assert summary.verified.frames == FRAMES
    assert finish(job)[1] == first


@pytest.mark.parametrize("frames", [11, 36, 68, FRAMES - 1])
def test_resume_gives_the_same_bytes(job: Job, unbroken: tuple[Summary, str], frames: int) -> None:
    stop_after(job, frames)
    assert not job.output.exists()
    summary, found, notes = finish(job)
    assert found == unbroken[1]
    assert summary.kept == frames // SEGMENT
    assert any("resuming" in n for n in notes) == (summary.kept > 0)


def test_a_frame_by_frame_chain_decodes_once_and_resumes(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restore.run.onepass.SEGMENT_FRAMES", 24)
    (tmp_path / "empty.toml").write_text('[output]\npreset = "ultrafast"\n')
    job = replace(job, spec=read_pipeline(tmp_path / "empty.toml"), threads=2)
    decoded = 0

    def count(*given: Any, **more: Any) -> Iterator[FrameBatch]:
        nonlocal decoded
        for batch in decode(*given, **more):
            assert len(batch) <= 2, "more frames than are worked on at once"
            decoded += len(batch)
            yield batch

    monkeypatch.setattr("restore.run.local.decode", count)
    whole, wanted, _ = finish(job)
    assert (whole.frames, whole.segments, whole.scenes, decoded) == (FRAMES, 5, 0, FRAMES)
    job.output.unlink()
    stop_after(job, 60)
    summary, found, _ = finish(job)
    assert found == wanted
    assert (summary.frames, summary.kept) == (FRAMES, 2)


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 130)],
)
def test_a_killed_or_interrupted_run_resumes_to_the_same_bytes(
    job: Job, unbroken: tuple[Summary, str], tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    command = [
        *(sys.executable, "-m", "restore", "run", tmp_path / "p.toml", *job.inputs, job.output),
        "--threads=1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs have Ctrl-C ignored, and children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(parts_dir(job.output).glob("segment-00001*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sent)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert ("the same command goes on" in said) == (code == 130)
    assert not job.output.exists()
    summary, found, _ = finish(job)
    assert found == unbroken[1]
    assert summary.kept >= 1


def test_a_changed_pipeline_starts_afresh_and_says_so(job: Job) -> None:
    stop_after(job, 36)
    other = replace(
        job, spec=replace(job.spec, output=job.spec.output.model_copy(update={"crf": 30}))
    )
    summary, _, notes = finish(other)
    assert summary.kept == 0
    assert any(n == "starting afresh: pipeline changed since the last run" for n in notes)


def test_other_threads_go_on_with_the_same_bytes(job: Job, unbroken: tuple[Summary, str]) -> None:
    stop_after(job, 36)
    _, found, notes = finish(replace(job, threads=3))
    assert found == unbroken[1]
    assert not any("starting afresh" in n for n in notes)
    job.output.unlink()
    stop_after(job, 36)
    _, _, notes = finish(replace(job, tile=32))
    assert any(n == "starting afresh: tile changed since the last run" for n in notes)


def test_the_first_runs_back_end_is_kept(job: Job, tmp_path: Path) -> None:
    card = read_card(models_dir() / "film_x2_fast.toml")
    shape = {"name": "tiny", "channels": 4, "blocks": 1}
    save_model(PlainSR(4, 1, 2), card.model_copy(update=shape), tmp_path)
    text = PIPELINE.replace("lanczos", str(tmp_path / "tiny.safetensors"))
    (tmp_path / "p.toml").write_text(text)
    job = replace(job, spec=read_pipeline(tmp_path / "p.toml"))
    begun = replace(job, backend="torch-fp32")
    stop_after(begun, 36)
    journal = read_sealed(parts_dir(job.output) / "journal.json")
    assert journal is not None
    assert journal["terms"]["back ends"] == {"tiny 64x48": "torch-fp32"}
    resumed = finish(job)
    assert {k: str(c) for k, c in resumed[0].backends.items()} == {
        "tiny 64x48": "torch-fp32, as the run began"
    }
    job.output.unlink()
    assert finish(begun)[1] == resumed[1]
    job.output.unlink()
    with pytest.raises(DeviceError, match="--backend cuda-graph-fp16: cannot run tiny 64x48"):
        finish(replace(job, backend="cuda-graph-fp16"))


def test_another_device_is_refused(job: Job) -> None:
    stop_after(job, 36)
    parts = PartsFolder(job.output)
    journal = parts.read("journal.json")
    assert journal is not None
    journal["terms"]["device"] = "Some GPU"
    parts.write("journal.json", journal)
    parts.release()
    with pytest.raises(DeviceError, match="segments were made on Some GPU and this is cpu"):
        local.run(prepare(job), Listener())


def test_another_class_of_machine_is_refused(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTORE_CPU", "baseline")
    stop_after(job, 36)
    parts = PartsFolder(job.output)
    journal = parts.read("journal.json")
    assert journal is not None
    assert journal["terms"]["machine"] == "baseline"
    journal["terms"]["machine"] = "amx"
    parts.write("journal.json", journal)
    parts.release()
    with pytest.raises(DeviceError) as caught:
        local.run(prepare(job), Listener())
    assert "made on a machine of class amx and this is baseline" in str(caught.value)
    assert "set RESTORE_CPU=amx where" in str(caught.value)


def test_an_existing_output_is_safe(job: Job) -> None:
    job.output.write_bytes(b"precious")
    with pytest.raises(OutputError, match="--overwrite"):
        prepare(job)
    assert job.output.read_bytes() == b"precious"


def test_what_fails_its_check_is_kept_under_another_name(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: the second segment is lost when the file is joined."""
    whole = last_steps.join
    with monkeypatch.context() as faulty:
        faulty.setattr(
            last_steps, "join", lambda files, *rest: whole([files[0], *files[2:]], *rest)
        )
        with pytest.raises(OutputError) as caught:
            local.run(prepare(job), Listener())
    first, *_, last = str(caught.value).splitlines()
    assert f"expected {FRAMES} frames, found {FRAMES - SEGMENT}" in first
    assert "out.mkv.failed: " in first
    assert "is kept as out.mkv.failed; the finished segments stay in out.mkv.parts" in last
    assert sorted(p.name for p in job.output.parent.iterdir()) == [
        "out.mkv.failed",
        "out.mkv.parts",
    ]
    # Nothing was lost: the next run only joins.
    (job.output.parent / "out.mkv.failed").unlink()
    assert finish(job)[0].kept == 4


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 s at 24 frames a second, each picture shown three times in a row, lossless."""
    path = tmp_path_factory.mktemp("held") / "held.mkv"
    picture = ffmpeg.input("testsrc2=size=64x48:rate=24:duration=12,shuffleframes=0 0 0", f="lavfi")
    ffmpeg.output(picture, str(path), vcodec="ffv1").run(cmd=FFMPEG, quiet=True)
    return path


def with_input(job: Job, **settings: str) -> Job:
    return replace(job, spec=replace(job.spec, input=job.spec.input.model_copy(update=settings)))


def test_repeats_are_restored_once_and_keep_their_times(job: Job, held: Path) -> None:
    """A chain that looks at one frame at a time makes the same bytes either way."""
    single = replace(job.spec, stages=job.spec.stages[1:])
    job = replace(job, inputs=(held,), spec=single)
    summary, found, _ = finish(job)
    assert (summary.frames, summary.repeats) == (288, 193)  # testsrc2 itself stands still once
    job.output.unlink()
    every, wanted, _ = finish(with_input(job, duplicates="off"))
    assert (every.frames, every.repeats) == (288, 0)
    assert found == wanted


def test_resume_among_repeats_gives_the_same_bytes(job: Job, held: Path) -> None:
    job = replace(job, inputs=(held,))
    wanted = finish(job)[1]
    job.output.unlink()
    stop_after(job, 270)
    assert finish(job)[1] == wanted


@pytest.fixture(scope="module")
def damaged(clip: Path) -> Path:
    """The clip with four bytes of every ninth picture inverted."""
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as file:
        spots = [(p.pos, p.size) for p in file.demux(video=0) if p.size]
    for at, size in spots[20::9]:
        for k in range(4):
            data[at + size // 2 + 7 * k] ^= 0xFF
    path = clip.with_name("damaged.mkv")
    path.write_bytes(data)
    return path


def test_resume_among_damage_gives_the_same_bytes(job: Job, damaged: Path) -> None:
    job = replace(job, inputs=(damaged,))
    summary, wanted, _ = finish(job)
    assert summary.damaged
    assert len(summary.repairs) >= len(summary.damaged)
    job.output.unlink()
    stop_after(job, 68)
    again, found, _ = finish(job)
    assert found == wanted
    assert again.kept == 2
    # Also what is told: the decode that found it was another process's.
    assert (again.repairs, again.damaged, again.log) == (
        summary.repairs,
        summary.damaged,
        summary.log,
    )
