"""Runs over several files: the output holds all of them, killed and resumed too."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from restore.pipeline import read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, Progress, prepare
from tests.io.media_clips import PARTS, ffmpeg, ffmpeg_bytes, frame_times, make_part

MS = Fraction(1, 1000)

SHAPES = [(1.3, 0.0), (0.7, 0.1), (1.0, 0.0)]
"""Seconds of sound, and its delay, of each part."""


def job_of(folder: Path, kind: str, audio: str, *, stage: str = "") -> Job:
    (folder / "p.toml").write_text(
        f'[output]\npreset = "ultrafast"\naudio = "{audio}"\n{stage}', encoding="utf-8"
    )
    parts = [
        make_part(folder / f"{n}.{kind}", n, *PARTS[kind], sound=sound, late=late)
        for n, (sound, late) in enumerate(SHAPES)
    ]
    spec = read_pipeline(folder / "p.toml")
    return Job(spec, tuple(parts), folder / "out.mkv", threads=1)


@pytest.mark.parametrize("audio", ["copy", "flac"])
@pytest.mark.parametrize("kind", ["mpg", "avi", "rm"])
def test_picture_and_sound_of_every_part_keep_step(kind: str, audio: str, tmp_path: Path) -> None:
    job = job_of(tmp_path, kind, audio)
    prepared = prepare(job)
    summary = local.run(prepared, Listener())
    starts, stamps, played = frame_times(job.output), sound_times(job.output), sound_of(job.output)
    for path, part in zip(job.inputs, prepared.source.parts, strict=True):
        moved = part.offset - prepared.source.start
        first = frame_times(path)[0] + moved
        assert min(abs(t - first) for t in starts) <= MS
        sound = sound_times(path)[0] + moved
        if audio == "copy":
            assert min(abs(t - sound) for t in stamps) <= MS
        else:
            where = find(sound_of(path)[2000:8000], played, round(sound * 44100) + 2000)
            assert abs(Fraction(where - 2000, 44100) - sound) <= MS
    assert summary.verified.frames == summary.frames == len(starts)


def sound_times(path: Path) -> list[Fraction]:
    """Of each decoded block of sound, as the static FFmpeg has them."""
    text = ffmpeg("-copyts", "-i", path, "-map", "0:a", "-af", "ashowinfo", "-f", "null", "-")
    return [Fraction(t) for t in re.findall(r"pts_time:(\S+)", text)]


def sound_of(path: Path) -> np.ndarray:
    raw = ffmpeg_bytes("-i", path, "-map", "0:a", "-f", "s16le")
    return np.frombuffer(raw, np.int16).astype(float)


def find(piece: np.ndarray, sound: np.ndarray, near: int) -> int:
    """Where `piece` lies in `sound`, looked for within 25 ms of `near`."""
    places = range(max(0, near - 1100), near + 1100)
    errors = [np.abs(sound[p : p + len(piece)] - piece).sum() for p in places]
    return places[int(np.argmin(errors))]


def test_a_joined_run_that_broke_off_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        '[[stage]]\nkind = "align"\nradius = 1\n[output]\npreset = "ultrafast"\n'
    )
    parts = [tmp_path / f"CD{n}.avi" for n in (1, 2, 3)]
    for n, path in enumerate(parts):
        picture = "testsrc2=size=64x48:rate=3:duration=11" + ",negate" * (n % 2)
        tone = f"sine=frequency={300 + 100 * n}:duration=11.2"
        inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
        ffmpeg("-v", "error", *inputs, "-c:v", "mpeg4", "-c:a", "mp2", path)
    spec = read_pipeline(tmp_path / "p.toml")
    job = Job(spec, tuple(parts), tmp_path / "out.mkv", threads=1)
    whole = local.run(prepare(job), Listener())
    wanted = job.output.read_bytes()
    assert (whole.frames, whole.scenes) == (99, 3)

    class Bomb(Listener):
        def progress(self, now: Progress) -> None:
            if now.frames >= 49:
                raise StoppedError

    job.output.unlink()
    with pytest.raises(StoppedError):
        local.run(prepare(job), Bomb())
    resumed = local.run(prepare(job), Listener())
    assert resumed.kept >= 1
    assert job.output.read_bytes() == wanted
    # Any part counts: another second one starts afresh.
    job.output.unlink()
    with pytest.raises(StoppedError):
        local.run(prepare(job), Bomb())
    parts[1].write_bytes(parts[2].read_bytes())
    assert local.run(prepare(job), Listener()).kept == 0


class StoppedError(Exception):
    pass


def test_a_folder_of_images_is_a_film(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('[input]\nframe_rate = "16"\n[output]\ncodec = "ffv1"\n')
    (tmp_path / "scans").mkdir()
    pattern = tmp_path / "scans" / "f%03d.tif"
    picture = "testsrc2=size=64x48:rate=16:duration=1,format=gray"
    ffmpeg("-v", "error", "-f", "lavfi", "-i", picture, "-c:v", "tiff", pattern)
    spec = read_pipeline(tmp_path / "p.toml")
    job = Job(spec, (pattern.parent,), tmp_path / "out.mkv", threads=1)
    assert local.run(prepare(job), Listener()).frames == 16
    found = frame_times(job.output)
    assert all(abs(t - Fraction(n, 16)) <= MS for n, t in enumerate(found))
    raw = ["-f", "rawvideo", "-pix_fmt", "gray"]
    assert ffmpeg_bytes("-i", job.output, *raw) == ffmpeg_bytes("-i", pattern, *raw)


@pytest.mark.parametrize(
    ("suffix", "codec", "why"),
    [
        ("mp4", "aac", "delay of the encoder"),
        ("mkv", "libopus", "delay of the encoder|fills up the end"),
    ],
)
def test_sound_with_a_delay_is_not_copied_over_a_joint(
    suffix: str, codec: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "p.toml").write_text('[output]\npreset = "ultrafast"\n')
    parts = [tmp_path / f"{n}.{suffix}" for n in (1, 2)]
    for n, path in enumerate(parts):
        picture = "testsrc2=size=64x48:rate=25:duration=1"
        tone = f"sine=frequency={300 + 200 * n}:sample_rate=48000:duration=1.01"
        inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]
        ffmpeg("-v", "error", *inputs, "-c:v", "libx264", "-c:a", codec, path)
    spec = read_pipeline(tmp_path / "p.toml")
    one = prepare(Job(spec, (parts[0],), tmp_path / "out.mkv"))
    assert [s.action for s in one.streams.streams] == ["copy"]
    job = Job(spec, (parts[0], parts[1]), tmp_path / "out.mkv")
    both = prepare(job)
    (action,) = both.streams.streams
    assert action.action == "convert"
    assert re.search(f"the parts do not join as they are .*({why}) of 2|{why}", action.reason)
    local.run(both, Listener())
    # A tone that begins where its picture does: the second part's.
    played = sound_of(job.output)
    at = round(both.source.parts[1].offset * 48000)
    assert tone_of(played[at - 4800 - 960 : at - 960]) == 300
    assert tone_of(played[at + 960 : at + 960 + 4800]) == 500


def tone_of(sound: np.ndarray) -> int:
    """Hz of the loudest tone of a tenth of a second at 48 kHz."""
    return int(np.argmax(np.abs(np.fft.rfft(sound)))) * 10
