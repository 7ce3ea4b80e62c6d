"""Windows Media sound goes into Matroska packet by packet, under Microsoft's own record."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from media_clips import ffmpeg, ffmpeg_bytes, make_part, make_sounding_clip, stream_lines
from test_mux import encoded

from restore.io.join import open_source
from restore.io.output import OutputOptions
from restore.io.probe import InputOptions
from restore.io.streams import plan_streams
from restore.io.verify import verify

OPTIONS = OutputOptions(preset="ultrafast")


@pytest.mark.parametrize(
    ("codec", "rate", "channels"),
    [("wmav2", 44100, 2), ("wmav2", 22050, 1), ("wmav1", 11025, 1), ("wmav2", 8000, 2)],
)
def test_it_is_copied_bit_for_bit(tmp_path: Path, codec: str, rate: int, channels: int) -> None:
    shape = ("-ar", str(rate), "-ac", str(channels))
    clip = make_sounding_clip(tmp_path / "a.wmv", "-c:v", "wmv2", "-c:a", codec, *shape)
    job = encoded(clip, tmp_path, OPTIONS)
    out, theirs = tmp_path / "out.mkv", tmp_path / "theirs.mkv"
    plan = job.join(out)
    (sound,) = plan.kept()
    assert (sound.action, sound.shown_as) == ("copy", codec)
    assert sound.reason == "bit for bit; matroska plays it back unchanged"
    report = verify(out, job.pts_ms, job.format, job.source, plan)
    assert report.av_offset_error_ms is not None
    assert report.av_offset_error_ms <= 1
    decoded = ("-map", "0:a", "-f", "f32le")
    assert ffmpeg_bytes("-i", out, *decoded) == ffmpeg_bytes("-i", clip, *decoded) != b""
    packets = ("-map", "0:a", "-c", "copy", "-f", "data")
    assert ffmpeg_bytes("-i", out, *packets) == ffmpeg_bytes("-i", clip, *packets)
    # The header is as FFmpeg's own copy has it, the length of a block among it.
    ffmpeg("-i", clip, "-map", "0:a", "-c", "copy", theirs)
    (mine,) = [s.partition("Audio: ")[2] for s in stream_lines(out) if "Audio" in s][:1]
    (copy,) = [s.partition("Audio: ")[2] for s in stream_lines(theirs) if "Audio" in s][:1]
    assert mine.replace(" (default)", "") == copy.replace(" (default)", "")
    assert record(out) == record(theirs)


def record(path: Path) -> bytes:
    """WAVEFORMATEX of WMA with its setup, 22 or 28 bytes, in the file's header."""
    found = re.search(
        rb"\x63\xa2[\x96\x9c]([\x60\x61]\x01.{20,26})", path.read_bytes()[:4096], re.DOTALL
    )
    assert found is not None
    return found[1][: 18 + found[1][16]]


def test_two_files_are_converted(tmp_path: Path) -> None:
    """Their blocks may differ in length, and a track has one."""
    clips = [make_part(tmp_path / f"{n}.wmv", n, "-c:v", "wmv2", "-c:a", "wmav2") for n in (0, 1)]
    plan = plan_streams(open_source(clips, InputOptions()), "mkv", "copy")
    (sound,) = plan.kept()
    assert (sound.action, sound.to) == ("convert", "flac")
    assert "1.wmv may have blocks of another length" in sound.reason


def test_a_part_is_converted(tmp_path: Path) -> None:
    """What a packet holds of the one before it would be lost."""
    clip = make_sounding_clip(tmp_path / "a.wmv", "-c:v", "wmv2", "-c:a", "wmav2")
    plan = plan_streams(open_source([clip], InputOptions()), "mkv", "copy", part=True)
    (sound,) = plan.kept()
    assert (sound.action, sound.to) == ("convert", "flac")
    assert "wmav2 cannot be cut: each packet needs the one before it" in sound.reason
