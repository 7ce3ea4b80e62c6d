"""The record of a run, and runs that refuse damage."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import av
import ffmpeg
import imageio_ffmpeg
import pytest

from restore.errors import InputError, OutputError
from restore.io.decode import Event
from restore.machine import cpu_level
from restore.nets.candidates import processor
from restore.pipeline import read_pipeline
from restore.run import finish as last_steps
from restore.run import local
from restore.run.job import Job, Listener, Summary, prepare

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s of MPEG-4 at 25 frames a second, each picture shown twice; MP2 sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    picture = ffmpeg.input("testsrc2=size=64x48:rate=25:duration=2,shuffleframes=0 0", f="lavfi")
    sound = ffmpeg.input("sine=frequency=440:duration=2", f="lavfi")
    options = {"vcodec": "mpeg4", "acodec": "mp2", "qscale:v": 3, "g": 10}
    ffmpeg.output(picture, sound, str(path), **options).run(cmd=FFMPEG, quiet=True)
    return path


@pytest.fixture(scope="module")
def damaged(clip: Path) -> Path:
    """The clip, some bytes inverted in two pictures."""
    data = bytearray(clip.read_bytes())
    with av.open(str(clip)) as file:
        spots = [(p.pos, p.size) for p in file.demux(video=0) if p.size > 300]
    for at, size in (spots[1], spots[2]):
        for k in range(10, 60):
            data[at + size // 2 + k] ^= 0xFF
    path = clip.with_name("damaged.mkv")
    path.write_bytes(data)
    return path


def job(input: Path, folder: Path, **more: Any) -> Job:
    (folder / "p.toml").write_text(
        '[[stage]]\nkind = "upscale"\nmodel = "lanczos"\n[output]\npreset = "ultrafast"'
    )
    spec = read_pipeline(folder / "p.toml")
    return Job(spec, (input,), folder / "out.mkv", threads=1, report=folder / "r.json", **more)


def run(job: Job) -> Summary:
    return local.run(prepare(job), Listener())


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "r.json").read_text("utf-8"))
    return found


def test_a_record_of_a_run(clip: Path, tmp_path: Path) -> None:
    summary = run(job(clip, tmp_path))
    record = read(tmp_path)
    assert (record["outcome"], record["error"], record["complete"]) == ("done", None, True)
    (file,) = record["input"]["files"]
    assert file["sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()
    assert (
        record["output"]["sha256"]
        == hashlib.sha256((tmp_path / "out.mkv").read_bytes()).hexdigest()
    )
    assert record["output"]["bytes"] == summary.size
    assert record["machine"] == {"class": str(cpu_level()), "cpu": processor()}
    assert record["frames"] == record["verification"]["frames"] == 50
    assert len(record["repeated_frames"]) == summary.repeats >= 10
    assert record["pipeline"]["settings"]["output"]["preset"] == "ultrafast"
    assert [s["action"] for s in record["streams"]] == ["copy"]
    assert record["verification"]["av_offset_error_ms"] <= 1
    assert record["repaired_frames"] == record["damaged_frames"] == []
    assert not (tmp_path / "r.json.part").exists()


def test_every_repair_is_in_it(damaged: Path, tmp_path: Path) -> None:
    summary = run(job(damaged, tmp_path))
    record = read(tmp_path)
    assert summary.damaged
    assert [d["pts_ms"] for d in record["damaged_frames"]] == [
        float(s * 1000) for s in summary.damaged
    ]
    told = {r["index"]: r for r in record["repaired_frames"]}
    assert {d["index"] for d in record["damaged_frames"]} <= set(told)
    assert {r["action"] for r in told.values()} <= {"interpolated", "concealed", "repeated", "kept"}
    assert record["counts"]["damaged"] == len(summary.damaged)


def test_repaired_times_say_from_and_to(tmp_path: Path) -> None:
    """RealVideo 2 with B frames out of order is not to be had from an encoder: an index tells the same."""
    from fractions import Fraction

    from restore.index import Index
    from restore.run.report import _picture

    index = Index(Fraction(1, 90), pts=[0, 90, 180], durations=[90] * 3)
    index.log.add("stamp", Fraction(1), "backward: 7 became 90", 7, 90)
    (told,) = _picture(index)["repaired_time_stamps"]
    assert told == {"from": 7, "to": 90, "to_ms": 1000.0, "why": "backward"}
    assert index.log.events == [Event("stamp", 1000, "backward: 7 became 90", 7, 90)]


def test_a_run_that_fails_midway_leaves_its_record(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(last_steps, "join", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run(job(clip, tmp_path))
    record = read(tmp_path)
    assert (record["outcome"], record["error"]) == ("failed", "the disk is full")
    assert (record["frames"], record["output"], record["verification"]) == (50, None, None)


def test_an_existing_record_is_safe(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("precious")
    with pytest.raises(OutputError, match=r"--json .*r.json: exists already"):
        prepare(job(clip, tmp_path))
    prepare(job(clip, tmp_path, overwrite=True))
    assert (tmp_path / "r.json").read_text() == "precious"


def test_strict_refuses_damage(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run(job(damaged, tmp_path, strict=True))
    text = str(caught.value)
    assert text.startswith(f"{damaged}: expected a file without faults (--strict), found ")
    record = read(tmp_path)
    assert re.search(r"found \d+ damaged frames?(, .*)?; the first at \d+ ms: ", text)
    assert (record["outcome"], record["error"]) == ("failed", text)
    assert record["counts"]["damaged"] >= 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.toml", "r.json"]


def test_strict_lets_a_whole_file_pass_and_changes_nothing(clip: Path, tmp_path: Path) -> None:
    run(job(clip, tmp_path, strict=True))
    found = (tmp_path / "out.mkv").read_bytes()
    run(job(clip, tmp_path, overwrite=True))
    assert (tmp_path / "out.mkv").read_bytes() == found


@pytest.mark.parametrize("container", ["mkv", "avi", "ts", "mpg"])
def test_strict_refuses_a_file_that_was_cut(tmp_path: Path, container: str) -> None:
    whole = tmp_path / f"whole.{container}"
    codec = {"mpg": "mpeg1video", "ts": "mpeg2video"}.get(container, "mpeg4")
    picture = ffmpeg.input("testsrc2=size=64x48:rate=25:duration=2", f="lavfi")
    ffmpeg.output(picture, str(whole), vcodec=codec, **{"b:v": "400k"}).run(cmd=FFMPEG, quiet=True)
    prepare(job(whole, tmp_path, strict=True))
    cut = tmp_path / f"cut.{container}"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 3 // 5 // 188 * 188 + 100])
    with pytest.raises(InputError, match="expected a file without faults"):
        run(job(cut, tmp_path, strict=True))


def test_strict_counts_a_fault_of_the_file_once(tmp_path: Path) -> None:
    """Picture and sound are read apart, and both readings meet it."""
    whole = tmp_path / "whole.rm"
    picture = ffmpeg.input("testsrc2=size=176x144:rate=25:duration=2", f="lavfi")
    tone = ffmpeg.input("sine=duration=2:sample_rate=44100", f="lavfi")
    ffmpeg.output(picture, tone, str(whole), vcodec="rv10", acodec="ac3").run(
        cmd=FFMPEG, quiet=True
    )
    cut = tmp_path / "cut.rm"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2 + 37])
    with pytest.raises(InputError, match=r"found .*errors? of the container"):
        run(job(cut, tmp_path, strict=True))
    errors = [e["why"] for e in read(tmp_path)["container_errors"]]
    assert sum("Invalid data found when processing input" in why for why in errors) == 1
