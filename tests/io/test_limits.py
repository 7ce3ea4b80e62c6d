"""What a file claims costs neither memory nor time: beyond a limit it is refused, or cut, and that is said."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from media_clips import ffmpeg, make_clip, make_sounding_clip

from restore.errors import InputError
from restore.io import reader
from restore.io.decode import decode
from restore.io.probe import MAX_TAGS, InputOptions, Source, probe
from restore.io.sound import SoundCount, sound_of
from restore.io.streams import plan_streams
from restore.io.text import MAX_TEXT


def look(path: Path) -> Source:
    return probe(path, InputOptions())


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        look(path)
    return str(caught.value)


def gif(width: int, height: int) -> bytes:
    """One dot on a canvas of any size."""
    canvas = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6)
    return canvas + b"," + struct.pack("<HHHH", 0, 0, 2, 2) + b"\0\x02\x02\x44\x01\0;"


def test_a_picture_of_gigabytes_in_a_file_of_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "canvas.gif"
    path.write_bytes(gif(16000, 16000))
    assert "none can be decoded" in message(path)
    path.write_bytes(gif(400, 300))
    assert (look(path).video.format.width, look(path).video.format.height) == (400, 300)
    monkeypatch.setattr(reader, "MAX_PIXELS", 400 * 300 - 1)
    assert "none can be decoded" in message(path)


def test_a_picture_that_grows_midway_is_not_made(tmp_path: Path) -> None:
    """MPEG-1 states its size before every group of pictures."""
    clip = make_clip(tmp_path / "clip.m1v", "-c:v", "mpeg1video", "-g", "5", seconds=0.6)
    sequence = b"\0\0\1\xb3"
    data = clip.read_bytes()
    again = data.rindex(sequence)
    grown = data[: again + 4] + b"\xff\xff\xff" + data[again + 7 :]
    clip.write_bytes(grown)
    with pytest.raises(InputError, match="picture changes from 64x48 to 4095x4095"):
        list(decode(look(clip)))


def test_a_decoder_is_told_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.m1v", "-c:v", "mpeg1video", seconds=0.2)
    source = look(clip)
    monkeypatch.setattr(reader, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(InputError, match="not one frame can be decoded"):
        list(decode(source))


def tagged(clip: Path, target: Path, metadata: str) -> Path:
    text = target.with_suffix(".txt")
    text.write_text(f";FFMETADATA1\n{metadata}\n", "utf-8")
    ffmpeg("-v", "error", "-i", clip, "-i", text, "-map_metadata", "1", "-c", "copy", target)
    return target


def test_a_title_of_megabytes_is_cut(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", seconds=0.2)
    path = tagged(clip, tmp_path / "long.mkv", "title=" + "é" * 1_000_000)
    source = look(path)
    assert source.metadata["title"] == "é" * (MAX_TEXT // 2)
    assert f"title has 2000000 bytes: the first {MAX_TEXT} are kept" in source.notes
    # In GB 18030 every reading of every character would be weighed: minutes.
    path.write_bytes(path.read_bytes().replace("é".encode(), "的".encode("gb18030")))
    started = time.process_time()
    source = look(path)
    assert time.process_time() - started < 5
    assert source.metadata["title"] == "的" * (MAX_TEXT // 2)
    assert max(map(len, source.notes)) < 500


def test_entries_without_number_are_cut(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", seconds=0.2)
    lines = "\n".join(f"key{n}=value" for n in range(MAX_TAGS + 50))
    source = look(tagged(clip, tmp_path / "many.mkv", lines))
    assert len(source.metadata) == MAX_TAGS
    assert any(f"the first {MAX_TAGS} are kept" in note for note in source.notes)


def test_streams_are_counted_but_fonts_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font = tmp_path / "font.ttf"
    font.write_bytes(bytes(100))
    attached = [
        a for n in range(8) for a in ("-attach", font, f"-metadata:s:t:{n}", "mimetype=a/b")
    ]
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", *attached, seconds=0.2)
    monkeypatch.setattr(reader, "MAX_STREAMS", 2)
    assert len(look(clip).other) == 8
    twice = tmp_path / "three.mkv"
    ffmpeg("-v", "error", "-i", clip, *["-map", "0:v"] * 3, "-c", "copy", twice)
    assert message(twice) == f"{twice}: expected at most 2 streams, found 3"


def test_opening_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", seconds=0.2)
    monkeypatch.setattr(reader, "OPEN_SECONDS", 0)
    assert "expected a video that opens within 0 s, gave up" in message(clip)


def test_sound_of_no_known_codec_is_left_out(tmp_path: Path) -> None:
    clip = make_sounding_clip(tmp_path / "clip.avi", "-c:v", "mpeg4", "-c:a", "pcm_s16le")
    data = bytearray(clip.read_bytes())
    format_tag = data.index(b"strf", data.index(b"auds")) + 8
    data[format_tag : format_tag + 2] = b"\x77\x77"
    clip.write_bytes(data)
    source = look(clip)
    assert [a.codec for a in source.audio] == ["unknown"]
    assert list(sound_of(source, 1, SoundCount())) == []
    (action,) = plan_streams(source, "mkv", "copy").streams
    assert (action.action, action.reason) == ("drop", "FFmpeg does not know its codec")
