from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from media_clips import (
    VFR,
    ffmpeg,
    ffmpeg_bytes,
    frame_times,
    make_clip,
    make_sounding_clip,
    stream_lines,
)

from restore.color import Matrix
from restore.errors import OutputError
from restore.io.decode import decode
from restore.io.encode import OutputOptions, SegmentEncoder, encoded_format
from restore.io.mux import join
from restore.io.probe import InputOptions, Source, probe
from restore.io.source import Span
from restore.io.streams import StreamPlan, plan_streams
from restore.io.verify import verify
from restore.video import FrameBatch, VideoFormat


@dataclass
class Job:
    """A source encoded as segments, ready to join."""

    source: Source
    segments: list[Path]
    pts_ms: list[Fraction]
    format: VideoFormat

    def plan(self, container: str = "mkv") -> StreamPlan:
        return plan_streams(self.source, container, "copy")

    def join(self, out: Path, plan: StreamPlan | None = None) -> StreamPlan:
        plan = plan or self.plan(out.suffix[1:])
        join(self.segments, self.source, plan, out, self.format)
        return plan


def encoded(clip: Path, folder: Path, options: OutputOptions, cuts: Sequence[int] = (9, 14)) -> Job:
    """All frames of `clip`, in segments that begin at frame 0 and at each of `cuts`."""
    source = probe(clip, InputOptions())
    frames = FrameBatch.cat(list(decode(source)))
    fmt = encoded_format(options, source.video.format)
    segments = []
    for n, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(frames)], strict=True)):
        segments.append(folder / f"{n}.nut")
        with SegmentEncoder(segments[-1], fmt, options) as encoder:
            encoder.write(frames[start:end])
    pts_ms = [info.pts * fmt.time_base * 1000 for info in frames.frames]
    return Job(source, segments, pts_ms, fmt)


@pytest.fixture(scope="module")
def irregular(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """VFR with B frames, SAR, and sound that begins later; the times start at half a second."""
    folder = tmp_path_factory.mktemp("irregular")
    clip = make_sounding_clip(
        folder / "clip.ts", *VFR[:1], VFR[1] + ",setdar=4/3", *VFR[2:],
        "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2", size="64x36", seconds=2,
    )  # fmt: skip
    return encoded(clip, folder, OutputOptions(preset="faster", crf=30))


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov"])
def test_joined_segments_are_one_stream(irregular: Job, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    plan = irregular.join(out)
    origin = min(irregular.source.start * 1000, irregular.pts_ms[0])
    # The independent reader sees every frame at its time, and the sound at its.
    found = [t * 1000 for t in frame_times(out)]
    assert len(found) == len(irregular.pts_ms) > 25
    assert len({b - a for a, b in pairwise(found)}) > 1
    worst = max(abs(f - (w - origin)) for f, w in zip(found, irregular.pts_ms, strict=True))
    assert worst <= Fraction(1, 2)
    report = verify(out, irregular.pts_ms, irregular.format, irregular.source, plan)
    assert report.frames == len(found)
    assert report.pts_error_ms == worst
    assert report.av_offset_error_ms is not None
    assert report.av_offset_error_ms <= Fraction(1, 2)


def test_the_container_states_aspect_colours_and_rate(irregular: Job, tmp_path: Path) -> None:
    irregular.join(tmp_path / "out.mkv")
    (picture,) = [line for line in stream_lines(tmp_path / "out.mkv") if "Video" in line][:1]
    assert "yuv420p(tv, bt470bg/bt470bg/smpte170m, progressive, left)" in picture
    assert "[SAR 3:4 DAR 4:3]" in picture
    assert "25 fps" in picture


@pytest.mark.parametrize(
    ("codec", "name"),
    [("ffv1", "out.mkv"), ("libsvtav1", "out.mkv"), ("libsvtav1", "out.mp4"), ("ffv1", "out.mp4")],
)
def test_what_the_bitstream_cannot_say_the_container_does(
    tmp_path: Path, codec: str, name: str
) -> None:
    """Aspect ratio and MPEG-1's chroma siting, for codecs without a field for them."""
    clip = make_clip(tmp_path / "a.mpg", "-c:v", "mpeg1video", "-vf", "setsar=12/11", size="88x48")
    preset = "12" if codec == "libsvtav1" else "medium"
    job = encoded(clip, tmp_path, OutputOptions(codec=codec, preset=preset))
    job.source = replace(
        job.source,
        video=replace(
            job.source.video,
            format=replace(job.source.video.format, sample_aspect=Fraction(12, 11)),
        ),
    )
    job.format = replace(job.format, sample_aspect=Fraction(12, 11))
    plan = job.join(tmp_path / name)
    (picture,) = [line for line in stream_lines(tmp_path / name) if "Video" in line][:1]
    if name == "out.mkv":  # MP4 has no field for it
        assert "center)" in picture
    assert "SAR 12:11" in picture
    verify(tmp_path / name, job.pts_ms, job.format, job.source, plan)


def test_frames_are_the_segments_frames(irregular: Job, tmp_path: Path) -> None:
    irregular.join(tmp_path / "out.mkv")
    picture = ("-f", "rawvideo", "-fps_mode", "passthrough")
    apart = b"".join(ffmpeg_bytes("-i", s, *picture) for s in irregular.segments)
    assert ffmpeg_bytes("-i", tmp_path / "out.mkv", "-map", "0:v", *picture) == apart


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_copied_sound_is_bit_for_bit(irregular: Job, tmp_path: Path, name: str) -> None:
    irregular.join(tmp_path / name)
    packets = ("-map", "0:a", "-c", "copy", "-f", "data")
    assert ffmpeg_bytes("-i", tmp_path / name, *packets) == ffmpeg_bytes(
        "-i", irregular.source.path, *packets
    )


def test_converted_sound_is_exact(tmp_path: Path) -> None:
    clip = make_sounding_clip(tmp_path / "a.wmv", "-c:v", "wmv2", "-c:a", "wmav2")
    job = encoded(clip, tmp_path, OutputOptions(preset="ultrafast"))
    plan = job.join(tmp_path / "out.mp4")
    report = verify(tmp_path / "out.mp4", job.pts_ms, job.format, job.source, plan)
    ours = ffmpeg_bytes("-i", tmp_path / "out.mp4", "-f", "s32le")
    assert report.audio_samples == {1: len(ours) // 8}
    # 24 bits: the low byte is empty, and a rounded float is at most half a step off.
    assert set(ours[::4]) == {0}


def test_bytes_repeat(irregular: Job, tmp_path: Path) -> None:
    for name in ("a.mkv", "b.mkv", "a.mp4", "b.mp4"):
        irregular.join(tmp_path / name)
    for kind in ("mkv", "mp4"):
        a, b = (hashlib.sha256((tmp_path / f"{n}.{kind}").read_bytes()).digest() for n in "ab")
        assert a == b


def test_everything_else_goes_along(tmp_path: Path) -> None:
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,200 --> 00:00:00,700\nHello\n")
    font = tmp_path / "font.ttf"
    font.write_bytes(bytes(range(256)))
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(
        ";FFMETADATA1\ntitle=Der Film\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=Two\n"
    )
    plain = make_sounding_clip(tmp_path / "plain.mkv", "-c:v", "mpeg4", "-c:a", "ac3")
    full = tmp_path / "full.mkv"
    ffmpeg(
        "-i", plain, "-i", words, "-i", chapters, "-map", "0", "-map", "1", "-map_metadata", "2",
        "-c", "copy", "-attach", font, "-metadata:s:t", "mimetype=application/x-truetype-font",
        "-metadata:s:a:0", "language=jpn", "-metadata:s:a:0", "title=Ton",
        "-metadata:s:v", "language=deu", "-metadata:s:v", "title=Bild", "-disposition:s:0", "forced",
        full,
    )  # fmt: skip
    job = encoded(full, tmp_path, OutputOptions(preset="ultrafast"))
    plan = job.join(tmp_path / "out.mkv")
    verify(tmp_path / "out.mkv", job.pts_ms, job.format, job.source, plan)
    text = ffmpeg("-i", tmp_path / "out.mkv", "-c", "copy", "-f", "null", "-").split("Output #0")[0]
    assert re.search(r"title\s+: Der Film", text)
    assert re.search(
        r"Chapter #0:1: start 0\.400000, end 1\.000000\s+Metadata:\s+title\s+: Two", text
    )
    assert re.search(
        r"Stream #0:0\((deu|ger)\): Video: h264.*\s+Metadata:\s+title\s+: Bild\n", text
    )
    assert re.search(r"Stream #0:1\(jpn\): Audio: ac3.*\s+Metadata:\s+title\s+: Ton", text)
    assert re.search(r"Stream #0:2.*: Subtitle: subrip.*\(forced\)", text)
    assert re.search(r"Stream #0:3.*: Attachment", text)
    subtitles = ffmpeg_bytes("-i", tmp_path / "out.mkv", "-map", "0:s", "-f", "srt").decode()
    assert "00:00:00,200 --> 00:00:00,700\nHello" in subtitles


@pytest.mark.parametrize("wish", ["copy", "flac"])
def test_a_part_keeps_its_sync(
    irregular: Job, tmp_path: Path, wish: Literal["copy", "flac"]
) -> None:
    """The second and third segment alone: sound and picture of the part, at the same distances."""
    source, first = irregular.source, irregular.pts_ms[9]
    span = Span(first / 1000, irregular.pts_ms[20] / 1000 + Fraction(1, 1000))
    plan = plan_streams(source, "mkv", wish)
    frames = FrameBatch.cat(list(decode(source)))[9:21]
    part = tmp_path / "part.nut"
    with SegmentEncoder(part, irregular.format, OutputOptions(preset="faster")) as encoder:
        encoder.write(frames)
    out = tmp_path / "out.mkv"
    join([part], source, plan, out, irregular.format, span)
    report = verify(out, irregular.pts_ms[9:21], irregular.format, source, plan, span)
    assert report.frames == 12
    assert frame_times(out)[0] == 0
    # The sweep of the sound tells where it is from: the same samples, found in the whole.
    arguments = ("-f", "s16le", "-ac", "1", "-ar", "44100")
    whole = np.frombuffer(ffmpeg_bytes("-i", source.path, *arguments), np.int16).astype(float)
    cut = np.frombuffer(ffmpeg_bytes("-i", out, *arguments), np.int16).astype(float)
    middle = cut[6000:10000]
    gap = np.convolve(whole, middle[::-1], "valid")
    energy = np.convolve(whole**2, np.ones(len(middle)), "valid")
    at = int(np.argmin(energy - 2 * gap)) - 6000
    (sound,) = source.audio
    assert sound.start is not None
    times = re.findall(
        r"pts_time:([\d.]+)", ffmpeg("-i", out, "-af", "ashowinfo", "-f", "null", "-")
    )
    found_start = float(times[0])
    wanted = float(sound.start) + at / 44100 - float(span.start)
    assert abs(found_start - wanted) < 0.001


def test_a_cover_goes_along(tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=16x16", "-frames:v", "1", cover)
    plain = make_clip(tmp_path / "plain.mkv", "-c:v", "mpeg4", seconds=0.6)
    full = tmp_path / "full.mkv"
    ffmpeg("-i", plain, "-c", "copy", "-attach", cover, "-metadata:s:t", "mimetype=image/png", full)
    job = encoded(full, tmp_path, OutputOptions(preset="ultrafast"), (5,))
    plan = job.join(tmp_path / "out.mkv")
    assert plan.lines() == ["stream 1 (video, png): copy: a cover picture, as an attachment"]
    verify(tmp_path / "out.mkv", job.pts_ms, job.format, job.source, plan)
    assert any("png" in s and "attached pic" in s for s in stream_lines(tmp_path / "out.mkv"))


# What verification must catch ----------------------------------------------------------------------


def test_a_lost_frame_is_caught(irregular: Job, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    plan = irregular.plan()
    join(irregular.segments[:-1], irregular.source, plan, out, irregular.format)
    with pytest.raises(OutputError, match=r"expected \d+ frames, found 14"):
        verify(out, irregular.pts_ms, irregular.format, irregular.source, plan)


def test_a_moved_frame_is_caught(irregular: Job, tmp_path: Path) -> None:
    plan = irregular.join(tmp_path / "out.mkv")
    moved = [*irregular.pts_ms]
    moved[7] += 3
    with pytest.raises(OutputError, match=r"frame 7: expected at .* ms, found at .* ms"):
        verify(tmp_path / "out.mkv", moved, irregular.format, irregular.source, plan)


def test_lost_sound_is_caught(irregular: Job, tmp_path: Path) -> None:
    plan = irregular.join(tmp_path / "out.mkv")
    shorter = replace(plan, streams=(replace(plan.streams[0], skip=2),))
    irregular.join(tmp_path / "less.mkv", shorter)
    with pytest.raises(OutputError, match="samples of sound, found") as caught:
        verify(tmp_path / "less.mkv", irregular.pts_ms, irregular.format, irregular.source, plan)
    assert "expected its sound to start at" in str(caught.value)


def test_a_missing_stream_is_caught(irregular: Job, tmp_path: Path) -> None:
    plan = irregular.plan()
    irregular.join(tmp_path / "out.mkv", replace(plan, streams=()))
    with pytest.raises(OutputError, match="expected 2 streams, found 1"):
        verify(tmp_path / "out.mkv", irregular.pts_ms, irregular.format, irregular.source, plan)


def test_another_aspect_ratio_is_caught(irregular: Job, tmp_path: Path) -> None:
    plan = irregular.plan()
    square = replace(irregular.format, sample_aspect=Fraction(1))
    join(irregular.segments, irregular.source, plan, tmp_path / "out.mkv", square)
    with pytest.raises(OutputError, match="expected a sample aspect ratio of 3/4, found 1"):
        verify(tmp_path / "out.mkv", irregular.pts_ms, irregular.format, irregular.source, plan)


def test_other_colours_and_sizes_are_caught(irregular: Job, tmp_path: Path) -> None:
    plan = irregular.join(tmp_path / "out.mkv")
    color = replace(irregular.format.color, matrix=Matrix.BT709, full_range=True)
    wanted = replace(irregular.format, width=62, color=color)
    with pytest.raises(OutputError) as caught:
        verify(tmp_path / "out.mkv", irregular.pts_ms, wanted, irregular.source, plan)
    assert "expected 62x36 samples, found 64x36" in str(caught.value)
    assert "expected the colour tag matrix = 1 (H.273), found 5" in str(caught.value)
    assert "expected the colour tag range = 2 (H.273), found 1" in str(caught.value)


def test_segments_of_other_settings_are_refused(irregular: Job, tmp_path: Path) -> None:
    other = encoded(
        irregular.source.path, tmp_path, OutputOptions(preset="faster", options={"refs": "1"})
    )
    mixed = [irregular.segments[0], *other.segments[1:]]
    with pytest.raises(OutputError, match="was encoded with other settings than"):
        join(mixed, irregular.source, irregular.plan(), tmp_path / "out.mkv", irregular.format)


def test_a_broken_segment_is_refused(irregular: Job, tmp_path: Path) -> None:
    broken = tmp_path / "broken.nut"
    broken.write_bytes(irregular.segments[1].read_bytes()[:40])
    mixed = [irregular.segments[0], broken, irregular.segments[2]]
    with pytest.raises(OutputError, match="is not a whole segment"):
        join(mixed, irregular.source, irregular.plan(), tmp_path / "out.mkv", irregular.format)


def test_the_same_segment_twice_is_refused(irregular: Job, tmp_path: Path) -> None:
    twice = [irregular.segments[0], *irregular.segments]
    with pytest.raises(OutputError, match="two segments hold the same frame"):
        join(twice, irregular.source, irregular.plan(), tmp_path / "out.mkv", irregular.format)


# Real files ----------------------------------------------------------------------------------------


def test_a_cut_first_packet_stays_behind(real: Callable[[str], Path], tmp_path: Path) -> None:
    clip = real("odd_formats/svcd_480x480_sar4-3_interlaced.mpg")
    job = encoded(clip, tmp_path, OutputOptions(preset="ultrafast"), (2,))
    job.join(tmp_path / "out.mkv")
    packets = ("-map", "0:a", "-c", "copy", "-f", "data")
    ours, theirs = (ffmpeg_bytes("-i", f, *packets) for f in (tmp_path / "out.mkv", clip))
    assert len(theirs) - len(ours) == 1156  # the first packet
    assert theirs.endswith(ours)


@pytest.mark.parametrize(
    "name",
    [
        "rm/fate_rv10_sipr5k0_160x112.rm",
        "rm/fate_rv20_G2_with_SVT_320x240_BW.rm",
        "rm/fate_rv30_cook_352x240.rm",
        "rm/iams_rv20_ac3_640x480_synthetic.rm",
        "odd_formats/svcd_480x480_sar4-3_interlaced.mpg",
        "odd_formats/synthetic_vcd_ntsc_352x240_pd1906.dat",
    ],
)
def test_real_files_come_out_whole(real: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    cuts = (2,) if "svcd" in name else (9, 40)
    job = encoded(real(name), tmp_path, OutputOptions(preset="ultrafast", crf=30), cuts)
    for out in (tmp_path / "out.mkv", tmp_path / "out.mp4"):
        plan = job.join(out)
        report = verify(out, job.pts_ms, job.format, job.source, plan)
        assert report.frames == len(job.pts_ms)
        assert report.pts_error_ms <= Fraction(1, 2)
