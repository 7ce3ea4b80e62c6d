from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import ffmpeg, make_clip, make_sounding_clip

from restore.io import sound_trial
from restore.io.probe import InputOptions, Source, probe
from restore.io.sound import SoundCount, sound_of, timed_samples, to_samples
from restore.io.streams import plan_streams


def source_of(path: Path) -> Source:
    return probe(path, InputOptions())


def with_sound(path: Path, samples: np.ndarray, sample_format: str, codec: str) -> Path:
    """A picture and the given samples (n, channels), stored losslessly."""
    picture = make_clip(path.with_suffix(".picture.mkv"), "-c:v", "mpeg4", seconds=0.4)
    raw = path.with_suffix(".raw")
    raw.write_bytes(samples.tobytes())
    shape = ("-ar", "8000", "-ac", str(samples.shape[1]))
    ffmpeg(
        "-i", picture, "-f", sample_format, *shape, "-i", raw,
        "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", codec, path,
    )  # fmt: skip
    return path


# The plan ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["mkv", "mp4", "mov"])
def test_what_fits_is_copied(tmp_path: Path, container: str) -> None:
    clip = make_sounding_clip(tmp_path / "clip.mpg", "-c:v", "mpeg1video", "-c:a", "mp2")
    plan = plan_streams(source_of(clip), container, "copy")
    (sound,) = plan.streams
    assert (sound.action, sound.to, sound.skip) == ("copy", None, 0)
    name = "matroska" if container == "mkv" else container
    assert plan.lines() == [
        f"stream 1 (audio, mp2): copy: bit for bit; {name} plays it back unchanged"
    ]


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "flac"), ("mov", "alac"), ("avi", "pcm_s24le")],
)
def test_what_does_not_fit_becomes_lossless(tmp_path: Path, container: str, codec: str) -> None:
    clip = make_sounding_clip(tmp_path / "clip.wmv", "-c:v", "wmv2", "-c:a", "wmav2")
    plan = plan_streams(source_of(clip), container, "copy")
    sound = next(s for s in plan.streams if s.kind == "audio")
    assert (sound.action, sound.to) == ("convert", codec)
    assert "cannot hold wmav2" in sound.reason
    assert "; lossless, 24 bits" in sound.reason


@pytest.mark.parametrize(("container", "codec"), [("webm", "opus"), ("ts", "aac")])
def test_where_nothing_lossless_fits_it_is_said(tmp_path: Path, container: str, codec: str) -> None:
    """8 kHz, six channels: Opus knows one rate, and both take the layout."""
    clip = with_sound(tmp_path / "a.mkv", np.zeros((9000, 6), np.int16), "s16le", "pcm_s16le")
    (sound,) = plan_streams(source_of(clip), container, "copy").streams
    assert (sound.action, sound.to) == ("convert", codec)
    assert "; lossy, 960 kbit/s" in sound.reason
    assert ("resampled from 8000 to 48000 Hz" in sound.reason) == (codec == "opus")


def test_what_comes_back_as_other_sound_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_sounding_clip(tmp_path / "clip.mpg", "-c:v", "mpeg1video", "-c:a", "mp2")
    other = ["-af", "areverse", "-c:v", "mpeg1video", "-c:a", "mp2"]
    mixed_up = make_sounding_clip(tmp_path / "other.mpg", *other).read_bytes()
    monkeypatch.setattr(sound_trial, "muxed", lambda *_: av.open(io.BytesIO(mixed_up)))
    (sound,) = plan_streams(source_of(clip), "mkv", "copy").streams
    assert sound.action == "drop"  # FLAC comes back as it, too
    assert sound.reason.count("other sound comes out when it is read back") == 2


def test_wishes_are_kept(tmp_path: Path) -> None:
    clip = make_sounding_clip(tmp_path / "clip.mpg", "-c:v", "mpeg1video", "-c:a", "mp2")
    assert plan_streams(source_of(clip), "mkv", "none").kept() == []
    (sound,) = plan_streams(source_of(clip), "mkv", "flac").streams
    assert (sound.action, sound.reason) == (
        "convert",
        'audio = "flac" in [output]; lossless, 16 bits',
    )


def test_subtitles_go_where_they_can(tmp_path: Path) -> None:
    text = tmp_path / "words.srt"
    text.write_text("1\n00:00:00,100 --> 00:00:00,500\nHello\n")
    clip = make_clip(tmp_path / "a.mkv", "-c:v", "mpeg4", seconds=0.6)
    full = tmp_path / "b.mkv"
    ffmpeg("-i", clip, "-i", text, "-c", "copy", full)
    assert [s.action for s in plan_streams(source_of(full), "mkv", "copy").streams] == ["copy"]
    for container, codec in (("mp4", "mov_text"), ("mov", "mov_text"), ("webm", "webvtt")):
        (converted,) = plan_streams(source_of(full), container, "copy").streams
        assert (converted.action, converted.to) == ("convert", codec)
        assert converted.reason.endswith("the text and its simple styles stay")
    for container in ("avi", "ts"):
        (dropped,) = plan_streams(source_of(full), container, "copy").streams
        assert dropped.action == "drop"
        assert "cannot hold it" in dropped.reason
        assert dropped.reason.endswith("try an .mkv file")


# Samples -------------------------------------------------------------------------------------------


def samples_of(source: Source, count: SoundCount) -> np.ndarray:
    (sound,) = source.audio
    return np.concatenate([s for _, s in sound_of(source, sound.index, count)])


def test_float_is_rounded_to_the_nearest_of_24_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    exact = rng.uniform(-1, 1, (3000, 2)).astype(np.float32)
    clip = with_sound(tmp_path / "a.mkv", exact, "f32le", "pcm_f32le")
    count = SoundCount()
    found = samples_of(source_of(clip), count)
    assert found.shape == exact.shape
    assert np.all(found & 0xFF == 0)
    assert np.abs(found / 2**31 - exact.astype(np.float64)).max() <= 0.5 * 2.0**-23
    assert (count.samples, count.clipped, count.silence) == (3000, 0, 0)


def test_samples_beyond_full_scale_are_counted(tmp_path: Path) -> None:
    loud = np.array([[0.5], [1.0], [1.5], [-1.0], [-1.5]], np.float32)
    count = SoundCount()
    found = samples_of(source_of(with_sound(tmp_path / "a.mkv", loud, "f32le", "pcm_f32le")), count)
    assert found[:, 0].tolist() == [
        1 << 30,
        (1 << 31) - 256,
        (1 << 31) - 256,
        -(1 << 31),
        -(1 << 31),
    ]
    assert count.clipped == 3
    assert count.lines() == ["3 samples beyond full scale were clipped"]


@pytest.mark.parametrize(
    ("kind", "codec", "shift"), [("s16le", "pcm_s16le", 16), ("u8", "pcm_u8", 24)]
)
def test_short_integers_are_exact(tmp_path: Path, kind: str, codec: str, shift: int) -> None:
    rng = np.random.default_rng(2)
    low, high = (0, 256) if kind == "u8" else (-32768, 32768)
    exact = rng.integers(low, high, (2000, 1)).astype(np.uint8 if kind == "u8" else np.int16)
    found = samples_of(source_of(with_sound(tmp_path / "a.mkv", exact, kind, codec)), SoundCount())
    centred = exact.astype(np.int64) - (128 if kind == "u8" else 0)
    assert np.array_equal(found.astype(np.int64), centred << shift)


def frame_at(seconds: float, samples: int, rate: int = 8000) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ones((1, samples), np.float32) / 4, "fltp", "mono")
    frame.sample_rate, frame.time_base = rate, Fraction(1, 1000)
    frame.pts = round(seconds * 1000)
    return frame


def test_rounded_stamps_do_not_move_the_sound() -> None:
    """Cook: stamps fall behind by 17 ms and jump back, every 40 packets."""
    frames = [frame_at(0.046 + n * 0.064 - (n % 40) * 0.0004, 512) for n in range(200)]
    count = SoundCount()
    blocks = list(timed_samples(frames, 8000, 1, count))
    assert sum(len(s) for _, s in blocks) == 200 * 512
    assert {start for start, _ in blocks} == {Fraction(46, 1000)}
    assert count.silence == 0


def test_stamps_a_little_ahead_are_no_gap() -> None:
    frames = [frame_at(n * 0.064 + (n % 3) * 0.017, 512) for n in range(30)]
    count = SoundCount()
    assert sum(len(s) for _, s in timed_samples(frames, 8000, 1, count)) == 30 * 512
    assert count.silence == 0


def test_a_real_gap_is_filled_with_silence() -> None:
    frames = [frame_at(n * 0.064 + (0.2 if n >= 5 else 0), 512) for n in range(10)]
    count = SoundCount()
    sound = np.concatenate([s for _, s in timed_samples(frames, 8000, 1, count)])
    assert count.silence == 1600
    assert len(sound) == 10 * 512 + 1600
    assert np.flatnonzero(sound[:, 0] == 0).tolist() == list(range(2560, 4160))
    assert count.lines() == ["1600 samples of silence fill gaps of lost packets"]


def test_one_false_stamp_is_no_gap() -> None:
    frames = [frame_at(n * 0.064 + (5 if n == 5 else 0), 512) for n in range(10)]
    count = SoundCount()
    assert sum(len(s) for _, s in timed_samples(frames, 8000, 1, count)) == 10 * 512
    assert count.silence == 0


def test_a_broken_clock_makes_no_silence() -> None:
    frames = [frame_at(n * 0.064 + (90000 if n >= 5 else 0), 512) for n in range(10)]
    count = SoundCount()
    assert sum(len(s) for _, s in timed_samples(frames, 8000, 1, count)) == 10 * 512


def test_wide_integers_keep_24_bits() -> None:
    exact = np.array([[1 << 8, -(1 << 8), 0x12345678]], np.int32)
    count = SoundCount()
    found = to_samples(av.AudioFrame.from_ndarray(exact, "s32p", "mono"), count)
    assert found[:, 0].tolist() == [256, -256, 0x12345600]
    assert count.inexact == 1


# Real files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "action", "to"),
    [
        ("rm/filestar_rv40_cook_gbk_vcd_352x288.rmvb", "convert", "flac"),
        ("rm/fate_rv10_sipr5k0_160x112.rm", "convert", "flac"),
        ("rm/iams_rv20_ac3_640x480_synthetic.rm", "copy", None),
        ("odd_formats/synthetic_vcd_ntsc_352x240_pd1906.dat", "copy", None),
        ("odd_formats/svcd_480x480_sar4-3_interlaced.mpg", "copy", None),
        ("odd_formats/sorenson_h263_flv_320x240.flv", "copy", None),
    ],
)
def test_real_sound(real: Callable[[str], Path], name: str, action: str, to: str | None) -> None:
    plan = plan_streams(source_of(real(name)), "mkv", "copy")
    assert [(s.action, s.to) for s in plan.streams] == [(action, to)], plan.lines()


def test_a_cut_first_packet_stays_behind(real: Callable[[str], Path]) -> None:
    source = source_of(real("odd_formats/svcd_480x480_sar4-3_interlaced.mpg"))
    (sound,) = plan_streams(source, "mkv", "copy").streams
    assert sound.skip == 1
    assert "leading packets that cannot be decoded (1) stay behind" in sound.reason


def test_real_cook_keeps_every_sample(real: Callable[[str], Path]) -> None:
    count = SoundCount()
    found = samples_of(source_of(real("rm/fate_rv30_cook_352x240.rm")), count)
    assert len(found) == count.samples == 161792
    assert count.silence == 0
