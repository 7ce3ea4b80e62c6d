"""Sound is counted to the sample, and more than there should be is as wrong as less."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from media_clips import ffmpeg, ffmpeg_bytes, make_clip

from restore.errors import OutputError
from restore.io.decode import decode
from restore.io.encode import SegmentEncoder, encoded_format
from restore.io.mux import join
from restore.io.output import OutputOptions
from restore.io.probe import InputOptions, probe
from restore.io.source import Span
from restore.io.streams import plan_streams
from restore.io.verify import VerifyReport, verify
from restore.video import FrameBatch

RATE = 44100
SECONDS = 1.2345
"""Of sound: no whole number of frames of any codec."""


def with_sound(clip: Path, *options: str) -> Path:
    """A picture of 1.2 s and a sweep, encoded as `options` say."""
    picture = make_clip(clip.with_name("picture.mkv"), "-c:v", "mpeg4", seconds=1.2)
    tone = f"aevalsrc=0.4*sin(2000*t*t):s={RATE}:d={SECONDS}"
    ffmpeg("-i", picture, "-f", "lavfi", "-i", tone, "-c:v", "copy", *options, clip)
    return clip


@dataclass
class Made:
    """An output and what verification found."""

    path: Path
    report: VerifyReport

    @property
    def samples(self) -> int:
        (count,) = self.report.audio_samples.values()
        return count


def made(
    clip: Path,
    name: str,
    *,
    against: Path | None = None,
    span: tuple[Fraction, Fraction] | None = None,
) -> Made:
    """`clip`, or the part of it from `span`, as the file `name`; it is verified against what `against` holds."""
    options = OutputOptions(preset="ultrafast", options={"bf": "0"})
    source = probe(clip, InputOptions())
    frames = FrameBatch.cat(list(decode(source)))
    fmt = encoded_format(options, source.video.format)
    seconds = [f.pts * fmt.time_base for f in frames.frames]
    asked = None if span is None else Span(seconds[0] + span[0], seconds[0] + span[1])
    wanted = [n for n, s in enumerate(seconds) if asked is None or asked.holds(s)]
    segment, out = clip.with_name("0.nut"), clip.with_name(name)
    with SegmentEncoder(segment, fmt, options) as encoder:
        encoder.write(frames[wanted[0] : wanted[-1] + 1])
    plan = plan_streams(source, out.suffix[1:], "copy", span is not None)
    join([segment], source, plan, out, fmt, asked)
    times = [seconds[n] * 1000 for n in wanted]
    known = source if against is None else probe(against, InputOptions())
    return Made(out, verify(out, times, fmt, known, plan, asked))


FRAME = 1152
"""Samples, the most of the codecs here."""


def heard(path: Path) -> int:
    """Samples that the static FFmpeg decodes."""
    return len(ffmpeg_bytes("-i", path, "-map", "0:a", "-f", "s16le", "-ac", "1")) // 2


@pytest.mark.parametrize(
    ("name", "more"),
    [("out.mkv", 0), ("out.mp4", 902 + 3), ("out.ts", 902 + 1105)],
)
def test_a_container_that_hides_no_end_plays_what_the_source_hides(
    tmp_path: Path, name: str, more: int
) -> None:
    """MP3's frames hold 1105 samples before the sound and 902 behind it. Matroska rounds the former to
    milliseconds, MP4 by three samples too few; a transport stream hides nothing."""
    clip = with_sound(tmp_path / "clip.mkv", "-c:a", "libmp3lame")
    result = made(clip, name)
    assert result.samples == heard(clip) + more
    # MP4 counts time in samples, Matroska's milliseconds have made them too short; newer FFmpegs cut the last packet.
    assert heard(result.path) == result.samples - (5 if name == "out.mp4" else 0)
    assert heard(clip) == int(SECONDS * RATE)


@pytest.mark.parametrize("container", ["mkv", "mp4", "mov", "ts", "avi"])
def test_where_the_source_hides_nothing_not_one_sample_more_is_right(
    tmp_path: Path, container: str
) -> None:
    clip = with_sound(tmp_path / "clip.avi", "-c:a", "mp2")
    packets = heard(clip) // FRAME
    less = tmp_path / "less.avi"
    ffmpeg("-i", clip, "-c", "copy", "-frames:a", str(packets - 1), less)
    assert made(clip, f"out.{container}").samples == packets * FRAME
    said = f"expected {(packets - 1) * FRAME} samples of sound, found {packets * FRAME}"
    with pytest.raises(OutputError, match=said):
        made(clip, f"out.{container}", against=less)


@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_a_lossy_encoder_adds_no_sample_where_the_container_hides_its_padding(
    tmp_path: Path, rate: int
) -> None:
    """Opus has 48 kHz: what is resampled is rounded up."""
    clip = with_sound(tmp_path / "clip.avi", "-c:a", "pcm_s16le", "-ar", str(rate))
    options = OutputOptions(codec="libsvtav1", preset="12")
    source = probe(clip, InputOptions())
    frames = FrameBatch.cat(list(decode(source)))[:4]
    fmt = encoded_format(options, source.video.format)
    segment, out = tmp_path / "0.nut", tmp_path / "out.webm"
    with SegmentEncoder(segment, fmt, options) as encoder:
        encoder.write(frames)
    plan = plan_streams(source, "webm", "copy")
    join([segment], source, plan, out, fmt)
    times = [f.pts * fmt.time_base * 1000 for f in frames.frames]
    report = verify(out, times, fmt, source, plan)
    assert report.audio_samples == {1: -(-heard(clip) * 48000 // rate)}


@pytest.mark.parametrize("codec", ["aac", "ac3", "libmp3lame", "libopus", "libvorbis"])
@pytest.mark.parametrize("container", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("start", [0, 0.5])
def test_a_part_begins_with_sound_whatever_its_codec_hides(
    tmp_path: Path, codec: str, container: str, start: float
) -> None:
    """A part's first packet is not the sound's: its samples are sound, though the copied header hides them."""
    clip = with_sound(tmp_path / "clip.mkv", "-c:a", codec)
    result = made(
        clip, f"out.{container}", span=(Fraction(start), Fraction(start) + Fraction(1, 2))
    )
    if container == "mp4":  # the last packet is cut to its rounded time
        assert result.samples - FRAME < heard(result.path) <= result.samples
    else:
        assert result.samples == heard(result.path)
    assert abs(result.samples / heard(clip) - 0.5 / SECONDS) < 0.07
    assert result.report.av_offset_error_ms is not None
    assert result.report.av_offset_error_ms <= 1
