"""One source with everything in it, to every container; the static FFmpeg says what came out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

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
from test_mux import Job, encoded

from restore.io.containers import slot_duration
from restore.io.encode import OutputOptions
from restore.io.streams import plan_streams
from restore.io.verify import verify

ASS = """[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Italic, Alignment, MarginV
Style: Default,Arial,20,&H00FFFFFF,0,0,2,10
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.30,0:00:00.90,Default,,0,0,0,,{\\i1}Grüße{\\i0}\\Nzwei
"""
SRT = "1\n00:00:00,200 --> 00:00:00,700\n<i>Hello</i>\nworld\n\n2\n00:00:01,000 --> 00:00:01,400\nBye\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=Der Film\nartist=Ufa\nREEL=7\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=Eins\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1500\ntitle=Zwei\n"
)


def make_everything(folder: Path) -> Path:
    """VFR with a negative start, two sounds, two subtitles, chapters, a font, a cover."""
    (folder / "words.srt").write_text(SRT)
    (folder / "words.ass").write_text(ASS)
    (folder / "font.ttf").write_bytes(bytes(range(256)) * 4)
    (folder / "chapters.txt").write_text(CHAPTERS)
    cover = folder / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=16x16", "-frames:v", "1", cover)
    picture = make_clip(
        folder / "picture.mkv", VFR[0], VFR[1] + ",setsar=12/11", *VFR[2:], "-c:v", "mpeg4",
        "-bf", "2", seconds=1.6,
    )  # fmt: skip
    full = folder / "full.mkv"
    tone = "aevalsrc=0.4*sin({0}*t*t)|0.3*cos({0}*t):s=44100:d={1}"
    ffmpeg(
        "-itsoffset", "-0.12", "-i", picture,
        "-itsoffset", "-0.05", "-f", "lavfi", "-i", tone.format(2000, 1.5),
        "-itsoffset", "0.25", "-f", "lavfi", "-i", tone.format(900, 1.0),
        "-i", folder / "words.srt", "-i", folder / "words.ass", "-i", folder / "chapters.txt",
        "-map", "0:v", "-map", "1", "-map", "2", "-map", "3", "-map", "4", "-map_metadata", "5",
        "-map_chapters", "5", "-c:v", "copy", "-c:a:0", "ac3", "-c:a:1", "mp2", "-c:s", "copy",
        "-metadata:s:a:0", "language=jpn", "-metadata:s:a:0", "title=Ton",
        "-metadata:s:a:1", "language=deu", "-disposition:a:0", "0", "-disposition:a:1", "default",
        "-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=ger",
        "-disposition:s:1", "forced",
        "-attach", folder / "font.ttf", "-metadata:s:t:0", "mimetype=application/x-truetype-font",
        "-attach", cover, "-metadata:s:t:1", "mimetype=image/png",
        "-avoid_negative_ts", "disabled", full,
    )  # fmt: skip
    return full


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("everything")
    options = OutputOptions(preset="ultrafast", options={"bf": "0"})
    return encoded(make_everything(folder), folder, options)


@pytest.fixture(scope="module")
def everything_in_vp9(everything: Job, tmp_path_factory: pytest.TempPathFactory) -> Job:
    options = OutputOptions(codec="libvpx-vp9", options={"cpu-used": "8"})
    return encoded(everything.source.path, tmp_path_factory.mktemp("vp9"), options)


@dataclass(frozen=True)
class Expected:
    """What a container keeps, of each of the streams 1 to 6; '' is dropped."""

    codecs: tuple[str, ...]
    """As FFmpeg names them, after the picture."""
    languages: tuple[str, ...]
    chapters: bool = True
    tags: tuple[str, ...] = ("title", "artist")
    title: bool = False
    """Of a sound stream."""
    marks: tuple[str, ...] = ("default", "forced")
    lead: Fraction = Fraction(0)
    """Seconds."""


EXPECTED = {
    "mkv": Expected(
        ("ac3", "mp2", "subrip", "ass", "ttf", "png"), ("jpn", "ger", "eng", "ger"),
        tags=("title", "artist", "REEL"), title=True,
    ),
    "mp4": Expected(("ac3", "mp3", "mov_text", "mov_text", "png"), ("jpn", "deu", "eng", "deu")),
    "mov": Expected(
        ("ac3", "mp2", "mov_text", "mov_text"), ("jpn", "ger", "eng", "ger"), marks=("default",)
    ),
    "webm": Expected(
        ("opus", "opus", "webvtt", "webvtt"), ("jpn", "ger", "eng", "ger"),
        tags=("title", "artist", "REEL"), title=True,
    ),
    "avi": Expected(("pcm_s24le", "pcm_s16le"), (), chapters=False, title=True, marks=()),
    "ts": Expected(
        ("ac3", "mp2"), ("jpn", "deu"), chapters=False, tags=(), marks=(), lead=Fraction(7, 5)
    ),
}  # fmt: skip


@pytest.mark.parametrize("container", EXPECTED)
def test_everything_comes_out(
    everything: Job, everything_in_vp9: Job, tmp_path: Path, container: str
) -> None:
    job, expected = everything_in_vp9 if container == "webm" else everything, EXPECTED[container]
    out = tmp_path / f"out.{container}"
    plan = job.join(out)
    report = verify(out, job.pts_ms, job.format, job.source, plan)
    assert report.av_offset_error_ms is not None
    lines = [s for s in stream_lines(out) if "->" not in s and "Data:" not in s]
    assert [re.search(r": (?:Audio|Subtitle|Video|Attachment): (\w+)", s)[1] for s in lines][
        1:
    ] == list(expected.codecs)
    found = [m[1] for s in lines[1:] if (m := re.search(r"#0:\d+(?:\[\w+\])?\((\w+)\)", s))]
    assert found == list(expected.languages)
    text = " ".join(lines)
    assert [m for m in ("default", "forced") if f"({m})" in text] == list(expected.marks)
    assert "SAR 12:11" in lines[0] or "SAR 35:32" in lines[0]  # 70x48 displayed
    # Times, by a reader that knows nothing of ours.
    shift = expected.lead - Fraction(job.source.start)
    wanted = [t / 1000 + shift for t in job.pts_ms]
    times = frame_times(out)
    assert len(times) == len(wanted)
    assert max(abs(a - b) for a, b in zip(times, wanted, strict=True)) <= Fraction(1, 1000)
    check_sound(job.source.path, out, shift, container)
    heads = ffmpeg_bytes("-i", out, "-f", "ffmetadata").decode()
    tags = [k for k in ("title", "artist", "REEL") if re.search(f"(?im)^{k}=", heads)]
    assert tags == list(expected.tags)
    assert heads.count("[CHAPTER]") == (2 if expected.chapters else 0)
    if expected.chapters:
        assert re.findall(r"(?m)^title=(Eins|Zwei)$", heads) == ["Eins", "Zwei"]
        starts = [int(n) for n in re.findall(r"(?m)^START=(\d+)", heads)]
        base = Fraction(*map(int, re.findall(r"(?m)^TIMEBASE=(\d+)/(\d+)", heads)[0]))
        assert starts[1] * base == Fraction(48, 100)
    names = ffmpeg("-i", out, "-c", "copy", "-f", "null", "-")
    assert ("title           : Ton" in names.split("Output")[0]) == expected.title
    check_words(out, expected)


def check_sound(
    source: Path,
    out: Path,
    shift: Fraction,
    container: str,
    streams: Sequence[str] = ("0:a:0", "0:a:1"),
) -> None:
    """The same wave at the same place, by cross-correlation at 44.1 kHz from time 0."""
    for stream in streams:
        waves = []
        for path, delay in ((source, shift), (out, Fraction(0))):
            raw = ffmpeg_bytes(
                "-copyts", "-i", path, "-map", stream, "-af",
                f"asetpts=PTS+{float(delay)}/TB,aresample=async=1:first_pts=0:min_hard_comp=0.001",
                "-ac", "1", "-ar", "44100", "-f", "s16le",
            )  # fmt: skip
            waves.append(np.frombuffer(raw, np.int16).astype(float))
        length = min(map(len, waves))
        a, b = (np.fft.rfft(w[:length], 2 * length) for w in waves)
        lag = int(np.argmax(np.fft.irfft(a.conj() * b)))
        lag -= 2 * length if lag > length else 0
        # FFmpeg rounds Opus's delay to a millisecond twice more when it reads it.
        allowed = 0.003 if container == "webm" else 0.0015
        assert abs(lag) <= allowed * 44100, (container, stream, lag)


def check_words(out: Path, expected: Expected) -> None:
    count = sum(c in ("subrip", "ass", "mov_text", "webvtt") for c in expected.codecs)
    read = [ffmpeg_bytes("-i", out, "-map", f"0:s:{n}", "-f", "srt").decode() for n in range(count)]
    if count:
        assert "00:00:00,280 --> 00:00:00,780\n<i>Hello</i>\nworld" in read[0]
        assert "00:00:01,080 --> 00:00:01,480\nBye" in read[0]
        assert "00:00:00,380 --> 00:00:00,980" in read[1]
        assert "Grüße" in read[1]


def test_what_is_lost_is_said(everything: Job) -> None:
    rows = {
        container: {r.what: r for r in everything.plan(container).table(everything.source, "x", everything.format)}
        for container in ("mp4", "avi", "ts")
    }  # fmt: skip
    assert rows["mp4"]["metadata: REEL"].becomes == "dropped"
    assert rows["mp4"]["attachment: unknown, 'font.ttf'"].becomes == "dropped"
    assert rows["mp4"]["subtitle: ass, ger"].why.endswith("positions, fonts and colours are lost")
    assert rows["avi"]["chapters"].why == "avi has no chapters; try an .mkv file"
    assert (
        "its language cannot be kept" in rows["avi"]["audio: ac3, 44100 Hz, stereo, jpn, 'Ton'"].why
    )
    assert "its title cannot be kept" in rows["ts"]["audio: ac3, 44100 Hz, stereo, jpn, 'Ton'"].why


def test_slots_of_avi() -> None:
    ms = [Fraction(n, 1000) for n in (0, 42, 83, 125, 208, 250)]
    assert slot_duration(ms, Fraction(42, 1000)) == Fraction(1, 24)
    pal = [Fraction(n, 25) for n in (0, 1, 4, 5)]
    assert slot_duration(pal, Fraction(1, 25)) == Fraction(1, 25)
    odd = [Fraction(n, 1000) for n in (0, 17, 58, 60, 131)]
    assert slot_duration(odd, Fraction(40, 1000)) == Fraction(1, 1000)


def shown_frames(path: Path) -> list[Fraction]:
    """Times of the frames a player shows, from the first one's."""
    times = frame_times(path)
    return [t - times[0] for t in times]


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_what_an_edit_list_hides_stays_hidden(tmp_path: Path, container: str) -> None:
    """Cut between two key frames without encoding again: the film begins inside a group of pictures."""
    whole = make_sounding_clip(
        tmp_path / "whole.mp4", "-c:v", "mpeg4", "-g", "10", "-c:a", "aac", seconds=2
    )
    cut = tmp_path / "cut.mp4"
    ffmpeg("-ss", "0.56", "-i", whole, "-c", "copy", cut)
    job = encoded(cut, tmp_path, OutputOptions(preset="ultrafast"))
    out = tmp_path / f"out.{container}"
    plan = job.join(out)
    verify(out, job.pts_ms, job.format, job.source, plan)
    shown = shown_frames(cut)
    assert len(shown) < 40  # of 50 - 10 from the key frame on
    found = shown_frames(out)
    assert len(found) == len(shown)
    assert max(abs(a - b) for a, b in zip(found, shown, strict=True)) <= Fraction(1, 1000)
    # The first frame shown is the same picture in both.
    first = ("-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray")
    a, b = (np.frombuffer(ffmpeg_bytes("-i", f, *first), np.uint8) for f in (cut, out))
    assert np.abs(a.astype(int) - b).mean() < 4
    check_sound(cut, out, -Fraction(job.source.start), container, streams=("0:a:0",))


@pytest.mark.parametrize(
    ("container", "codec"), [("mkv", "flac"), ("mov", "alac"), ("webm", "opus"), ("avi", "pcm_s16le"), ("ts", "aac")]
)  # fmt: skip
def test_odd_sound_is_converted_in_place(tmp_path: Path, container: str, codec: str) -> None:
    """8 bits at 11025 Hz, one channel, that begin a third of a second late."""
    picture = make_clip(tmp_path / "picture.mkv", "-c:v", "mpeg4")
    clip = tmp_path / "clip.mkv"
    tone = "aevalsrc=0.5*sin(1500*t*t):s=11025:d=1.2"
    ffmpeg(
        "-i", picture, "-itsoffset", "0.33", "-f", "lavfi", "-i", tone, "-map", "0:v", "-map", "1",
        "-c:v", "copy", "-c:a", "pcm_u8", clip,
    )  # fmt: skip
    options = OutputOptions(preset="ultrafast", options={"bf": "0"})
    if container == "webm":
        options = OutputOptions(codec="libvpx-vp9", options={"cpu-used": "8"})
    job = encoded(clip, tmp_path, options)
    plan = plan_streams(job.source, container, "flac")
    assert [s.to for s in plan.streams] == [codec]
    out = tmp_path / f"out.{container}"
    job.join(out, plan)
    verify(out, job.pts_ms, job.format, job.source, plan)
    shift = Fraction(7, 5) if container == "ts" else Fraction(0)
    check_sound(clip, out, shift - Fraction(job.source.start), container, streams=("0:a:0",))


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_a_time_code_is_counted_at_the_pictures_rate(tmp_path: Path, container: str) -> None:
    """Left alone, FFmpeg would count 60000 frames a second here, which it then refuses."""
    tape = make_clip(
        tmp_path / "tape.dv", "-c:v", "dvvideo", "-s", "720x576", "-pix_fmt", "yuv420p", seconds=0.2
    )
    job = encoded(tape, tmp_path, OutputOptions(preset="ultrafast"), cuts=(3,))
    assert "timecode" in ffmpeg("-i", tape, "-f", "null", "-")
    out = tmp_path / f"out.{container}"
    plan = job.join(out)
    assert verify(out, job.pts_ms, job.format, job.source, plan).frames == 5
    lines = [line for line in stream_lines(out) if "->" not in line]
    assert ["tmcd" in line for line in lines] == [False, True]
