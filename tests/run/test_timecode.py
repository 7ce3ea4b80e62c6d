"""Time code: its arithmetic, and the way from a file into another."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import pytest

from restore.io.join import open_source
from restore.io.losses import losses
from restore.io.probe import InputOptions
from restore.io.streams import plan_streams
from restore.io.timecode import Timecode, timecode_in
from restore.pipeline import read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, prepare

NTSC, DOUBLE = Fraction(30000, 1001), Fraction(60000, 1001)


def code(text: str, rate: Fraction | int) -> Timecode:
    made = Timecode.of(text, Fraction(rate))
    assert made is not None
    return made


# Arithmetic ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate", "number"),
    [
        ("01:02:03:04", Fraction(25), 93079),
        ("00:00:59;29", NTSC, 1799),
        ("00:01:00;02", NTSC, 1800),
        ("00:09:59;29", NTSC, 17981),
        ("00:10:00;00", NTSC, 17982),
        ("01:00:00;00", NTSC, 107892),
        ("23:59:59;29", NTSC, 2589407),
        ("01:00:00:00", NTSC, 108000),
        ("00:00:59;59", DOUBLE, 3599),
        ("00:01:00;04", DOUBLE, 3600),
        ("00:10:00;00", DOUBLE, 35964),
        ("01:00:00;00", DOUBLE, 215784),
        ("00:00:01:23", Fraction(24000, 1001), 47),
    ],
)
def test_labels_and_numbers(text: str, rate: Fraction, number: int) -> None:
    """Numbers of ST 12-1: 107892 frames in an hour of drop-frame, 17982 in ten minutes of it."""
    assert code(text, rate).number == number
    assert str(Timecode(number, rate, ";" in text)) == text


@pytest.mark.parametrize("rate", [NTSC, DOUBLE])
def test_drop_frame_never_leaves_the_clock(rate: Fraction) -> None:
    """Over a day each label is some frame's, in order, and within a fifth of a second of the time of day."""
    nominal, before = round(rate), ""
    day = 24 * 6 * (600 * nominal - 9 * nominal // 15)
    for number in range(0, day, 997):
        text = str(Timecode(number, rate, True))
        assert code(text, rate).number == number
        assert text > before
        before = text
        hours, minutes, seconds = (int(n) for n in text[:8].split(":"))
        shown = Fraction((hours * 60 + minutes) * 60 + seconds) + Fraction(int(text[9:]), nominal)
        assert abs(shown - number / rate) < Fraction(1, 5)
    assert str(Timecode(day - 1, rate, True).later(1)) == "00:00:00;00"


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("00:01:00;01", NTSC),
        ("00:01:00;03", DOUBLE),
        ("00:00:00;10", Fraction(25)),
        ("00:00:00:25", Fraction(25)),
        ("24:00:00:00", Fraction(25)),
        ("1:2:3:4", Fraction(25)),
        ("nonsense", Fraction(25)),
        ("00:60:00:00", Fraction(25)),
    ],
)
def test_what_is_no_label(text: str, rate: Fraction) -> None:
    assert Timecode.of(text, rate) is None


@pytest.mark.parametrize(
    ("text", "rate", "other", "wanted"),
    [
        ("01:02:03:04", Fraction(25), Fraction(50), "01:02:03:08"),
        ("00:01:00;02", NTSC, DOUBLE, "00:01:00;04"),
        ("00:01:00;05", DOUBLE, NTSC, "00:01:00;02"),
        ("10:00:00;15", NTSC, Fraction(24000, 1001), "10:00:00:12"),
        ("10:00:00:15", NTSC, Fraction(24000, 1001), "10:00:00:12"),
    ],
)
def test_another_rate(text: str, rate: Fraction, other: Fraction, wanted: str) -> None:
    assert str(code(text, rate).at_rate(other)) == wanted


# Files ---------------------------------------------------------------------------------------------


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-y", "-v", "error", *arguments]
    subprocess.run(command, check=True)


def clip_at(path: Path, text: str, rate: str = "25", *more: str, count: int = 20) -> Path:
    picture = f"testsrc2=size=64x48:rate={rate},trim=end_frame={count}"
    options = ["-pix_fmt", "yuv420p", "-preset", "ultrafast"] if path.suffix != ".mxf" else []
    codec = "mpeg2video" if path.suffix == ".mxf" else "libx264"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", codec, *options, "-timecode", text, *more, path)
    return path


def stated(path: Path) -> str | None:
    with av.open(str(path)) as file:
        return timecode_in(file)


def run(clip: Sequence[Path], out: Path, *settings: str, **more: object) -> Job:
    (out.parent / "p.toml").write_text("")
    job = Job(read_pipeline(out.parent / "p.toml", settings), tuple(clip), out, threads=1)
    job = replace(job, **more)  # type: ignore[arg-type]
    local.run(prepare(job), Listener())
    return job


@pytest.mark.parametrize("name", ["out.mov", "out.mp4", "out.mkv", "out.avi"])
def test_where_a_file_has_a_place_for_it(tmp_path: Path, name: str) -> None:
    clip = clip_at(tmp_path / "in.mov", "01:02:03:04")
    assert stated(clip) == "01:02:03:04"
    run([clip], tmp_path / name)
    assert stated(tmp_path / name) == "01:02:03:04"


@pytest.mark.parametrize("start", ["in.mov", "in.mkv", "in.mxf"])
def test_whatever_it_comes_from(tmp_path: Path, start: str) -> None:
    more = ["-metadata", "timecode=10:00:00:00"] if start == "in.mkv" else []
    clip = clip_at(tmp_path / start, "10:00:00:00", "25", *more)
    run([clip], tmp_path / "out.mov")
    assert stated(tmp_path / "out.mov") == "10:00:00:00"


@pytest.mark.parametrize(
    ("text", "rate", "wanted"),
    [("01:02:03:04", "25", "01:02:03:14"), ("00:00:59;28", "30000/1001", "00:01:00;10")],
)
@pytest.mark.parametrize("name", ["out.mov", "out.mkv"])
def test_a_part_begins_where_it_begins(
    tmp_path: Path, name: str, text: str, rate: str, wanted: str
) -> None:
    """Ten frames in; with drop-frame over a minute, where 00 and 01 are left out."""
    clip = clip_at(tmp_path / "in.mov", text, rate)
    begin = Fraction(19, 2) / Fraction(rate)
    run([clip], tmp_path / name, start=begin)
    assert stated(tmp_path / name) == wanted


def test_a_frame_of_each_field_is_counted_at_their_rate(tmp_path: Path) -> None:
    more = ["-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ildct+ilme"]
    clip = clip_at(tmp_path / "in.mov", "00:00:59;28", "60000/1001", *more, count=24)
    settings = ["input.deinterlace=bwdif", "input.deinterlace_rate=field"]
    run([clip], tmp_path / "out.mov", *settings)
    assert stated(tmp_path / "out.mov") == "00:00:59;56"


def test_where_there_is_no_place_it_is_said(tmp_path: Path) -> None:
    source = open_source([clip_at(tmp_path / "in.mov", "01:02:03:04")], InputOptions())
    options = read_pipeline_options(tmp_path)
    plan = plan_streams(source, "ts", "copy")
    assert plan.timecode is None
    assert losses(source, options, plan) == (
        "time code: mpegts has no place for it; try an .mkv file",
    )
    assert losses(source, options, plan_streams(source, "mp4", "copy")) == ()
    film = replace(source, timecode=code("10:00:00;15", NTSC))
    layout = replace(film.video.layout, scan=replace(film.video.layout.scan, telecine="decimate"))
    film = replace(film, video=replace(film.video, chosen=layout))
    told = losses(film, options, plan_streams(film, "mov", "copy"))
    assert told == ("time code: there is no drop-frame at 24000/1001 frames/s: it runs slower than the clock",)  # fmt: skip


def read_pipeline_options(folder: Path) -> object:
    (folder / "p.toml").write_text("")
    return read_pipeline(folder / "p.toml").output


def test_what_is_no_time_code_is_said(tmp_path: Path) -> None:
    plain = clip_at(tmp_path / "in.mov", "01:02:03:04")
    clip = tmp_path / "in.mkv"
    ffmpeg("-i", plain, "-map", "0:v", "-c", "copy", "-metadata:s:v", "timecode=noon", clip)
    source = open_source([clip], InputOptions())
    assert source.timecode is None
    assert source.losses == ("time code: 'noon' is none at 25 frames/s",)


def test_scanned_film_has_it_in_its_first_image(tmp_path: Path) -> None:
    """SMPTE ST 268: the television header's time code, BCD, at byte 1920."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48,trim=end_frame=4", tmp_path / "s_%02d.dpx")
    for number in range(1, 5):
        path = tmp_path / f"s_{number:02}.dpx"
        data = bytearray(path.read_bytes())
        order = ">" if data[:4] == b"SDPX" else "<"
        # FFmpeg's own files end before that header.
        begin = struct.unpack_from(f"{order}I", data, 4)[0]
        data[begin:begin] = b"\xff" * (2048 - begin)
        struct.pack_into(f"{order}I", data, 4, 2048)
        struct.pack_into(f"{order}I", data, 16, len(data))
        struct.pack_into(f"{order}I", data, 1920, 0x09080700 + number)
        path.write_bytes(data)
    run(sorted(tmp_path.glob("s_*.dpx")), tmp_path / "out.mov", 'input.frame_rate="24"')
    assert stated(tmp_path / "out.mov") == "09:08:07:01"
    slow = open_source([tmp_path], InputOptions(frame_rate="16"))
    assert slow.timecode == code("09:08:07:01", 16)
    first = tmp_path / "s_01.dpx"
    first.write_bytes(first.read_bytes().replace(b"\x01\x07\x08\x09", b"\x20\x07\x08\x09"))
    slow = open_source([tmp_path], InputOptions(frame_rate="16"))
    assert slow.losses == ("time code: '09:08:07:20' is none at 16 frames/s",)


@pytest.mark.parametrize(
    ("text", "wanted"), [("00:00:00:00", None), ("00:07:00:12", "00:07:00:12")]
)
def test_a_group_of_pictures_counts_from_somewhere(
    tmp_path: Path, text: str, wanted: str | None
) -> None:
    """0 is what an encoder writes that was told nothing."""
    clip = tmp_path / "in.mpg"
    picture = "testsrc2=size=64x48:rate=25,trim=end_frame=6"
    options = ["-c:v", "mpeg2video", "-gop_timecode", text]
    ffmpeg("-f", "lavfi", "-i", picture, *options, clip)
    run([clip], tmp_path / "out.mkv")
    assert stated(tmp_path / "out.mkv") == wanted
