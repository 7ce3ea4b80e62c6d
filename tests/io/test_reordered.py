"""Pictures that are coded in another order than they are shown, in containers that do not say when that is."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from media_clips import flip_bytes, frame_times, make_clip

from restore.io.decode import DecodeLog, decode
from restore.io.join import open_source
from restore.io.probe import InputOptions

X264 = ("-c:v", "libx264", "-b_strategy", "0", "-bf")


def times(path: Path, log: DecodeLog | None = None) -> list[Fraction]:
    """Seconds of all frames, as they are decoded and repaired."""
    source = open_source([path], InputOptions())
    base = source.video.format.time_base
    return [info.pts * base for batch in decode(source, log=log) for info in batch.frames]


@pytest.mark.parametrize(
    "encoder",
    [
        (*X264, "1"),
        (*X264, "3"),
        (*X264, "5", "-x264-params", "b-pyramid=normal"),
        (*X264, "0"),
        ("-c:v", "mpeg4", "-bf", "2"),
        ("-c:v", "mpeg2video", "-bf", "2"),
    ],
    ids=["1 B", "3 B", "pyramid", "no B", "MPEG-4", "MPEG-2"],
)
@pytest.mark.parametrize("suffix", ["avi", "ts", "mpg", "asf"])
def test_the_times_are_ffmpegs(tmp_path: Path, suffix: str, encoder: tuple[str, ...]) -> None:
    if suffix == "asf" and "mpeg2video" in encoder:
        pytest.skip("FFmpeg itself gives uneven times")
    clip = make_clip(tmp_path / f"clip.{suffix}", *encoder)
    log = DecodeLog()
    found = times(clip, log)
    assert len(found) == 25
    assert {b - a for a, b in pairwise(found)} == {Fraction(1, 25)}
    assert found == frame_times(clip)
    if suffix == "avi":
        assert log.counts == {}, "nothing was repaired: these times were never the file's"


@pytest.mark.parametrize(
    ("suffix", "encoder"), [("h264", (*X264, "3")), ("hevc", ("-c:v", "libx265"))]
)
def test_a_bare_stream_is_even(tmp_path: Path, suffix: str, encoder: tuple[str, ...]) -> None:
    clip = make_clip(tmp_path / f"clip.{suffix}", *encoder)
    assert times(clip) == frame_times(clip) == [Fraction(n, 25) for n in range(25)]


def test_a_damaged_stream_stays_even(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.avi", *X264, "3", size="176x144", seconds=2)
    broken = flip_bytes(clip, tmp_path / "broken.avi", first=clip.stat().st_size // 2, every=2003)
    found = times(broken)
    assert len(found) > 30
    assert {b - a for a, b in pairwise(found[:20])} == {Fraction(1, 25)}
    assert all((b - a) % Fraction(1, 25) == 0 and b > a for a, b in pairwise(found))
