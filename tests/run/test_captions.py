"""Closed captions from the decoder to the encoder. Sources are MPEG-2 whose user data is written here by hand."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from restore.conceal import conceal
from restore.io.captions import captioned_frame, captions_of, spread_captions
from restore.io.decode import decode
from restore.io.encoder import carries_captions
from restore.io.filters import undo_fields
from restore.io.join import open_source
from restore.io.picture import Picture
from restore.io.pixels import WRITTEN, from_planes
from restore.io.probe import InputOptions
from restore.io.source import ScanPlan
from restore.pipeline import read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, Progress, Summary, prepare
from restore.video import FrameBatch, FrameInfo, VideoFormat

FRAMES = 25
TEXT = [bytes([0xFC, 0x20 + n, 0x40 + n]) for n in range(FRAMES)]
"""One triplet a frame, each another: field 1, valid, two characters."""


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-v", "error", *arguments]
    subprocess.run(command, check=True)


def captioned(stream: bytes, captions: Sequence[bytes]) -> bytes:
    """An MPEG-2 elementary stream with the captions of each picture put before its first slice (ATSC A/53-4, 6.2.3)."""
    pictures = stream.split(b"\0\0\1\0")
    assert len(pictures) == len(captions) + 1
    made = [pictures[0]]
    for picture, text in zip(pictures[1:], captions, strict=True):
        at = picture.index(b"\0\0\1\1")
        data = b"GA94\3" + bytes([0x40 | len(text) // 3, 0xFF]) + text + b"\xff"
        made.append(picture[:at] + (b"\0\0\1\xb2" + data if text else b"") + picture[at:])
    return b"\0\0\1\0".join(made)


def make_clip(
    folder: Path,
    captions: Sequence[bytes] = TEXT,
    picture: str = "testsrc2=duration=9",
    name: str = "clip.mkv",
) -> Path:
    """64x48 at 25 frames a second, no B frames, so that pictures lie in the order in which they are shown."""
    plain, path = folder / "plain.m2v", folder / name
    source = f"{picture}:size=64x48:rate=25,trim=end_frame={len(captions)}"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "mpeg2video", "-qscale:v", "2", "-bf", "0", plain)
    plain.write_bytes(captioned(plain.read_bytes(), captions))
    ffmpeg("-fflags", "+genpts", "-r", "25", "-i", plain, "-c", "copy", path)
    return path


def captions_in(path: Path) -> list[bytes]:
    """Of every frame, as FFmpeg's decoder has them."""
    with av.open(str(path)) as file:
        return [captions_of(frame) for frame in file.decode(video=0)]


def pictures_in(path: Path) -> str:
    with av.open(str(path)) as file:
        codes = [f.to_ndarray().tobytes() for f in file.decode(video=0)]
    return hashlib.sha256(b"".join(codes)).hexdigest()


def run(clip: Path, out: Path, pipeline: str = "", *settings: str, **more: object) -> Summary:
    file = clip.parent / "p.toml"
    file.write_text(pipeline)
    job = Job(read_pipeline(file, settings), (clip,), out, threads=1)
    return local.run(prepare(replace(job, **more)), Listener())  # type: ignore[arg-type]


LANCZOS = '[[stage]]\nkind = "upscale"\nmodel = "lanczos"\n'
AROUND = '[[stage]]\nkind = "align"\nradius = 1\n'
"""Looks at neighbours: an index runs ahead."""


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.mkv", "libx264"),
        ("out.mp4", "libx264"),
        ("out.ts", "libx264"),
        ("out.avi", "libx264"),
        ("out.mp4", "libx265"),
        ("out.mkv", "libx265"),
        ("out.ts", "mpeg2video"),
    ],
)
def test_every_frame_keeps_its_captions(tmp_path: Path, name: str, codec: str) -> None:
    clip = make_clip(tmp_path)
    assert captions_in(clip) == TEXT
    run(clip, tmp_path / name, LANCZOS, f"output.codec={codec}", "output.preset=ultrafast")
    assert captions_in(tmp_path / name) == TEXT


def test_captions_change_no_picture(tmp_path: Path) -> None:
    """The frame that carries them is made another way; the encoder must not be told to make it a key frame."""
    (tmp_path / "without").mkdir()
    for folder, captions in ((tmp_path, TEXT), (tmp_path / "without", [b""] * FRAMES)):
        run(make_clip(folder, captions), folder / "out.mkv", LANCZOS)
    outputs = [tmp_path / "out.mkv", tmp_path / "without" / "out.mkv"]
    assert len({pictures_in(path) for path in outputs}) == 1
    types = [[f.pict_type for f in av.open(str(p)).decode(video=0)] for p in outputs]
    assert types[0] == types[1]
    assert captions_in(outputs[1]) == [b""] * FRAMES


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    names = [tmp_path / "a.mkv", tmp_path / "b.mkv"]
    for name in names:
        run(clip, name, LANCZOS)
    assert names[0].read_bytes() == names[1].read_bytes()


@pytest.mark.parametrize("pipeline", [LANCZOS, AROUND + LANCZOS])
def test_segments_and_a_resumed_run_keep_them(
    tmp_path: Path, pipeline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames of the halo are seen by two segments, and encoded by one."""
    monkeypatch.setattr("restore.run.onepass.SEGMENT_FRAMES", 7)
    monkeypatch.setattr("restore.index.SEGMENT_CAP_SECONDS", Fraction(7, 25))
    clip = make_clip(tmp_path)
    whole = run(clip, tmp_path / "whole.mkv", pipeline)
    assert whole.segments == 4
    assert captions_in(tmp_path / "whole.mkv") == TEXT

    class Bomb(Listener):
        def progress(self, now: Progress) -> None:
            if now.frames >= 14:
                raise RuntimeError("stopped")

    job = Job(read_pipeline(clip.parent / "p.toml"), (clip,), tmp_path / "out.mkv", threads=1)
    with pytest.raises(RuntimeError, match="stopped"):
        local.run(prepare(job), Bomb())
    assert local.run(prepare(job), Listener()).kept >= 1
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()


@pytest.mark.parametrize("pipeline", [LANCZOS, AROUND])
def test_a_part_has_its_own(tmp_path: Path, pipeline: str) -> None:
    clip = make_clip(tmp_path)
    run(clip, tmp_path / "out.mkv", pipeline, start=Fraction(10, 25), end=Fraction(20, 25))
    assert captions_in(tmp_path / "out.mkv") == TEXT[10:20]


def test_a_picture_shown_again_brings_new_captions(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, picture="color=color=gray")
    summary = run(clip, tmp_path / "out.mkv", LANCZOS)
    assert summary.repeats == FRAMES - 1
    assert captions_in(tmp_path / "out.mkv") == TEXT


def test_a_lost_frame_has_none(tmp_path: Path) -> None:
    fmt = VideoFormat(16, 16, None, 8, Fraction(1, 25))
    infos = [
        FrameInfo(n, 2 * n if n > 1 else n, 1 if n != 1 else 3, captions=TEXT[n]) for n in range(4)
    ]
    infos = [replace(i, pts=p) for i, p in zip(infos, (0, 1, 4, 5), strict=True)]
    batch = FrameBatch((torch.zeros(4, 1, 16, 16, dtype=torch.uint8),), tuple(infos), fmt)
    made = [f for b in conceal([batch], [2, 3]) for f in b.frames]
    assert [f.captions for f in made] == [TEXT[0], TEXT[1], b"", b"", TEXT[2], TEXT[3]]


def test_a_picture_scaled_to_the_usual_size_keeps_them(tmp_path: Path) -> None:
    """The frame that the decoder gave is gone by then."""
    clip = tmp_path / "clip.m2v"
    with clip.open("wb") as file:
        for size, text in (("64x48", TEXT[:8]), ("32x24", TEXT[8:12])):
            source = f"testsrc2=size={size}:rate=25,trim=end_frame={len(text)}"
            part = tmp_path / "part.m2v"
            ffmpeg("-f", "lavfi", "-i", source, "-c:v", "mpeg2video", "-bf", "0", part)
            file.write(captioned(part.read_bytes(), text))
    frames = FrameBatch.cat(list(decode(open_source([clip], InputOptions())))).frames
    # FFmpeg's decoder keeps the last frame before the change for itself.
    assert [f.captions for f in frames] == captions_in(clip) == TEXT[:7] + TEXT[8:12]
    assert [f.scaled for f in frames] == [False] * 7 + [True] * 4


FMT = VideoFormat(64, 48, None, 8, Fraction(1, 25))


def pictures(film: Sequence[np.ndarray], captions: Sequence[bytes]) -> list[Picture]:
    return [
        Picture(from_planes([codes], FMT, "gray"), FrameInfo(n, n, 1, captions=text))
        for n, (codes, text) in enumerate(zip(film, captions, strict=True))
    ]


def moving(count: int) -> list[np.ndarray]:
    y, x = np.mgrid[0:48, 0:64]
    return [(128 + 90 * np.sin((x + 5 * n) / 6 + y / 9)).astype(np.uint8) for n in range(count)]


def test_two_frames_of_one_do_not_say_it_twice() -> None:
    plan = ScanPlan("bwdif", per_field=True, interlaced=True)
    made = list(undo_fields(pictures(moving(6), TEXT[:6]), plan, FMT, "gray"))
    assert [p.info.captions for p in made] == [t for text in TEXT[:6] for t in (text, b"")]


@pytest.mark.parametrize("last", [False, True])
def test_a_dropped_frames_captions_go_to_its_neighbours(last: bool) -> None:
    """Also where the one that repeats is the first or the last of its five."""
    film = moving(8)
    order = [0, 1, 2, 3, 3, 4, 5, 6, 7, 7] if last else [0, 1, 1, 2, 3, 4, 5, 5, 6, 7]
    plan = ScanPlan(telecine="decimate")
    made = list(undo_fields(pictures([film[n] for n in order], TEXT[:10]), plan, FMT, "gray"))
    assert len(made) == 8
    assert b"".join(p.info.captions for p in made) == b"".join(TEXT[:10])
    assert all(p.info.captions for p in made)


def test_no_frame_gets_more_than_it_can_hold() -> None:
    """20 triplets at 30 frames a second are 25 at 24; in all cases their order stays."""
    five = [bytes([0xFC, n, k]) * 20 for n in range(5) for k in (0,)]
    shares = spread_captions(five, 4)
    assert [len(s) // 3 for s in shares] == [25] * 4
    assert b"".join(shares) == b"".join(five)
    assert spread_captions([b"", b"abc", b""], 2) == [b"abc", b""]
    assert [len(s) for s in spread_captions([b"abc" * 31] * 5, 4)] == [93] * 4


@pytest.mark.parametrize("name", WRITTEN)
def test_frames_of_every_format_carry_them(name: str) -> None:
    frame = captioned_frame(65, 49, name, TEXT[0])
    assert (frame.width, frame.height, frame.format.name) == (65, 49, name)
    assert captions_of(frame) == TEXT[0]


def test_which_encoders_carry_them() -> None:
    able = {
        c
        for c in ("libx264", "libx265", "mpeg2video", "libsvtav1", "libvpx-vp9", "ffv1")
        if carries_captions(c)
    }
    assert able == {"libx264", "libx265", "mpeg2video"}
