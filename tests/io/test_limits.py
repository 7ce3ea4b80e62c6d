"""What a file claims costs neither memory nor time: beyond a limit it is refused, or cut, and that is said."""

from __future__ import annotations

import struct
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.codec.context import Flags
from media_clips import ffmpeg, make_clip, make_sounding_clip

from restore.errors import InputError
from restore.io import reader
from restore.io import sound as sound_module
from restore.io.decode import DecodeLog, decode
from restore.io.probe import MAX_TAGS, InputOptions, Source, probe
from restore.io.sound import SoundCount, sound_of, timed_samples, to_samples
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


def test_a_picture_that_grows_midway_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MPEG-1 states its size before every group of pictures."""
    clip = make_clip(tmp_path / "clip.m1v", "-c:v", "mpeg1video", "-g", "5", seconds=0.6)
    sequence = b"\0\0\1\xb3"
    data = clip.read_bytes()
    again = data.rindex(sequence)
    grown = data[: again + 4] + b"\xff\xff\xff" + data[again + 7 :]
    clip.write_bytes(grown)
    source = look(clip)

    def refusals() -> set[str]:
        log = DecodeLog()
        assert {batch.planes[0].shape[-2:] for batch in decode(source, log=log)} == {(48, 64)}
        return {event.text for event in log.events}

    assert "Invalid argument" not in refusals()
    monkeypatch.setattr(reader, "MAX_PIXELS", 1 << 20)
    assert "Invalid argument" in refusals()


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


def wave(clip: Path, target: Path, rate: int, channels: int) -> Path:
    """A copy of an AVI file with 16-bit sound whose header claims another rate and more channels."""
    data = bytearray(clip.read_bytes())
    header = data.index(b"strf", data.index(b"auds")) + 8
    claims = struct.pack("<HIIH", channels, rate, min(rate * channels * 2, 2**32 - 1), 2 * channels)
    data[header + 2 : header + 14] = claims
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(("rate", "channels"), [(0x7FFFFFFF, 2), (44100, 9), (44100, 255)])
def test_sound_that_no_lossless_encoder_takes_is_left_out_before_the_render(
    tmp_path: Path, rate: int, channels: int
) -> None:
    clip = make_sounding_clip(tmp_path / "clip.avi", "-c:v", "mpeg4", "-c:a", "pcm_s16le")
    source = look(wave(clip, tmp_path / "odd.avi", rate, channels))
    (action,) = plan_streams(source, "mkv", "flac").streams
    assert (action.action, action.to) == ("drop", None)
    assert "nor what it could be converted to (flac: Invalid argument" in action.reason
    (action,) = plan_streams(source, "mkv", "copy").streams
    assert action.action == "copy"


def sound(values: list[float], pts: int, rate: int = 8000) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.array([values], np.float32), "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, pts, Fraction(1)
    return frame


def test_silence_is_not_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each packet an hour less a second after the one before it, and each of those gaps confirmed."""
    monkeypatch.setattr(sound_module, "MAX_SILENCE", Fraction(36))
    frames = [sound([0.5] * 8, 35 * (n // 2)) for n in range(40)]
    count = SoundCount()
    total = sum(len(s) for _, s in timed_samples(frames, 8000, 1, count))
    assert total == 40 * 8 + count.silence
    assert 34 * 8000 < count.silence <= 36 * 8000 + 40 * 8


def test_avi_gets_no_hours_of_silence(tmp_path: Path) -> None:
    """Its sound begins with its picture: what begins later is led by silence."""
    late = tmp_path / "late.mkv"
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", seconds=0.2)
    tone = ["-itsoffset", "90000", "-f", "lavfi", "-i", "sine=duration=0.2"]
    ffmpeg("-v", "error", "-i", clip, *tone, "-c:v", "copy", "-c:a", "libopus", late)
    (action,) = plan_streams(look(late), "avi", "flac").streams
    assert action.action == "drop"
    assert "late, and would need silence" in action.reason


def test_what_is_no_number_is_silence() -> None:
    count = SoundCount()
    values = [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 0.25]
    found = to_samples(sound(values, 0), count)
    top = ((1 << 23) - 1) << 8
    assert found[:, 0].tolist() == [0, top, -(1 << 31), top, -(1 << 31), 1 << 29]
    assert count.clipped == 4


class Stubborn:
    """A decoder that refuses to be flushed, for ever."""

    def __init__(self) -> None:
        self.thread_count, self.options, self.refused = 1, dict[str, str](), 0
        self.is_open, self.flags = False, Flags.bitexact

    def decode(self, _: object) -> list[av.VideoFrame]:
        self.refused += 1
        raise av.InvalidDataError(1, "no")


def test_a_decoder_that_is_never_flushed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Stubborn()
    monkeypatch.setattr(reader, "packets_of", lambda *_: iter(()))
    stream = SimpleNamespace(codec_context=decoder)
    assert list(reader.frames_of(None, stream, lambda *_: None)) == []  # type: ignore[arg-type]
    assert 0 < decoder.refused < 1000
