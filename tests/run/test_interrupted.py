"""Whole runs whose input, disk or neighbours change while they are at work."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

from restore.errors import InputError, OutputError
from restore.pipeline import read_pipeline
from restore.placing import claimed
from restore.run import finish as last_steps
from restore.run import local
from restore.run.commit import finish_interrupted
from restore.run.job import Job, Listener, Progress, prepare
from restore.run.parts import parts_dir

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """1.6 s of 64x48, and sound."""
    path = tmp_path_factory.mktemp("film") / "film.mpg"
    picture = ffmpeg.input("testsrc2=size=64x48:rate=25:duration=1.6", f="lavfi")
    sound = ffmpeg.input("sine=frequency=440:duration=1.6", f="lavfi")
    options = {"vcodec": "mpeg1video", "acodec": "mp2", "qscale:v": 3}
    ffmpeg.output(picture, sound, str(path), **options).run(cmd=FFMPEG, quiet=True)
    return path.read_bytes()


@pytest.fixture
def job(film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr("restore.run.onepass.SEGMENT_FRAMES", 15)
    (tmp_path / "film.mpg").write_bytes(film)
    (tmp_path / "p.toml").write_text('[output]\npreset = "ultrafast"\n')
    (tmp_path / "out").mkdir()
    spec = read_pipeline(tmp_path / "p.toml")
    return Job(spec, (tmp_path / "film.mpg",), tmp_path / "out" / "out.mkv", threads=1)


def run(job: Job, at: int = 10_000, act: Callable[[], None] = lambda: None) -> str:
    """Hash of the output; `act` happens once so many frames are through."""

    class Hand(Listener):
        acted = False

        def progress(self, now: Progress) -> None:
            if now.frames >= at and not self.acted:
                self.acted = True
                act()

    local.run(prepare(job), Hand())
    return hashlib.sha256(job.output.read_bytes()).hexdigest()


def names(job: Job) -> list[str]:
    return sorted(p.name for p in job.output.parent.iterdir())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.write_bytes(b"other" * 1000), "changed during the run"),
        (lambda p: os.truncate(p, 9000), "changed during the run"),
        (lambda p: p.unlink(), "went away during the run"),
        (lambda p: p.write_bytes(p.read_bytes()), "changed during the run"),
    ],
    ids=["overwritten", "truncated", "deleted", "written"],
)
@pytest.mark.parametrize("frames", [20, 40])
def test_an_input_that_changes_is_an_error_and_the_segments_stay(
    job: Job, film: bytes, change: Callable[[Path], None], said: str, frames: int
) -> None:
    wanted = run(job)
    job.output.unlink()
    with pytest.raises(InputError, match=said):
        run(job, frames, lambda: change(job.inputs[0]))
    assert names(job) == ["out.mkv.parts"]
    assert list(parts_dir(job.output).glob("segment-*.nut"))
    job.inputs[0].write_bytes(film)
    assert run(job) == wanted
    assert names(job) == ["out.mkv"]


def test_content_that_changes_behind_the_file_systems_back_is_seen(job: Job) -> None:
    state = job.inputs[0].stat()

    def change() -> None:
        with job.inputs[0].open("r+b") as file:
            file.seek(5000)
            file.write(bytes(100))
        os.utime(job.inputs[0], ns=(state.st_atime_ns, state.st_mtime_ns))

    with pytest.raises(InputError, match="its content changed during the run"):
        run(job, 40, change)


@pytest.mark.parametrize("name", ["out.mkv", "side.mp4", "record.json"])
def test_a_file_that_appears_while_the_run_is_at_work_stays(job: Job, name: str) -> None:
    folder = job.output.parent
    job = replace(job, compare=folder / "side.mp4", report=folder / "record.json")
    with pytest.raises(OutputError, match=f"{name}: exists already: it was made while"):
        run(job, 20, lambda: (folder / name).write_bytes(b"precious") and None)
    assert (folder / name).read_bytes() == b"precious"
    (folder / name).rename(folder.parent / "moved")
    run(job)
    assert names(job) == ["out.mkv", "record.json", "side.mp4"]
    assert json.loads((folder / "record.json").read_text())["outcome"] == "done"


def test_two_runs_do_not_write_one_file(job: Job) -> None:
    side = job.output.parent / "side.mp4"
    with claimed([side]), pytest.raises(OutputError, match=r"side\.mp4: another process"):
        run(replace(job, compare=side))
    assert names(job) == []


def test_the_record_of_an_aborted_run_gives_way_and_no_other(job: Job) -> None:
    record = job.output.parent / "record.json"
    job = replace(job, report=record)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, 20, stop)
    assert json.loads(record.read_text())["outcome"] == "interrupted"
    with pytest.raises(OutputError, match="--overwrite"):
        prepare(replace(job, output=job.output.with_name("other.mkv")))
    link = job.output.parent / "link"
    link.symlink_to(".")
    prepare(replace(job, output=link / job.output.name))  # the same file by another path
    link.unlink()
    run(job)
    assert names(job) == ["out.mkv", "record.json"]
    job.output.unlink()
    with pytest.raises(OutputError, match="--overwrite"):
        prepare(job)


def test_nothing_is_kept_of_a_run_without_a_finished_segment(job: Job) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, 1, stop)
    assert names(job) == []


def test_a_full_disk_names_what_was_written_also_with_a_record(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = run(job)
    job.output.unlink()
    job = replace(job, report=job.output.parent / "record.json")

    def full(path: Path, content: bytes, mode: int = 0) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def join(*_: object) -> None:
        raise OutputError("film/out.mkv: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(last_steps, "join", join)
        patch.setattr("restore.writing.write_new", full)
        with pytest.raises(OutputError) as caught:
            run(job)
    first, second = str(caught.value).splitlines()
    assert first.startswith("film/out.mkv: cannot be written: No space left")
    assert second.startswith(f"--json {job.report}: cannot be written: ")
    assert names(job) == ["out.mkv.parts"]
    assert not (parts_dir(job.output) / "film").exists()
    assert run(job) == wanted


def test_a_page_that_cannot_be_made_keeps_no_film_back(job: Job) -> None:
    def fail(*_: object) -> None:
        raise InputError("no frames of both at the same times")

    job = replace(job, page=job.output.parent / "page.html")
    with pytest.raises(InputError, match="no frames of both"):
        local.run(prepare(job), Listener(), fail)
    assert names(job) == ["out.mkv"]


def test_a_page_for_which_the_disk_has_no_room_is_made_the_next_time(job: Job) -> None:
    def full(*_: object) -> None:
        raise OutputError("page.html: cannot be written") from OSError(errno.ENOSPC, "full")

    def write(_: Path, record: object, page: Path) -> None:
        page.write_text("page")

    job = replace(job, page=job.output.parent / "page.html")
    with pytest.raises(OutputError):
        local.run(prepare(job), Listener(), full)
    assert names(job) == ["out.mkv.parts"]
    assert finish_interrupted(job) is None
    local.run(prepare(job), Listener(), write)
    assert names(job) == ["out.mkv", "page.html"]
