"""Files that once came out wrong, and the right value of each: what a player makes of the output, and what is said."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import pytest

from restore.cli import main

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@dataclass(frozen=True)
class Result:
    """What a run with no stages made of a file."""

    source: Path
    out: Path
    said: str
    """All that it printed, its white space made one blank each."""


@dataclass(frozen=True)
class Case:
    file: str
    measure: Callable[[Result], object]
    """Of the result; a second reader, FFmpeg's program where it can tell."""
    expected: object
    pipeline: str = '[output]\ncodec = "ffv1"\n'
    out: str = "out.mkv"
    options: tuple[str, ...] = ()


def frame_times(result: Result) -> list[Fraction]:
    """Seconds of each frame of the output, by FFmpeg."""
    found = _ffmpeg_log(result.out)
    base = re.search(r"config in time_base: (\d+)/(\d+)", found)
    assert base is not None
    tick = Fraction(int(base[1]), int(base[2]))
    return [int(t) * tick for t in re.findall(r"\] n: *\d+ pts: *(-?\d+) ", found)]


def frame_steps(result: Result) -> tuple[int, set[Fraction]]:
    """(number of frames, distances between them in seconds) of the output."""
    times = frame_times(result)
    return len(times), {b - a for a, b in pairwise(times)}


def shape(result: Result) -> tuple[str, str]:
    """(size, sample aspect ratio) of the output, by FFmpeg."""
    found = re.search(r"Video: .*?, (\d+x\d+)\b(.*)", _ffmpeg_log(result.out))
    assert found is not None
    # Of the bitstream first, then of the container, which decides.
    return found[1], ["1:1", *re.findall(r"SAR (\d+:\d+)", found[2])][-1]


def captioned(result: Result) -> int:
    """Frames of the output with closed captions, by FFmpeg."""
    return _ffmpeg_log(result.out).count("A53 Part 4 Closed Captions")


def timecode(result: Result) -> str | None:
    """At which the output starts, by FFmpeg."""
    found = re.search(r"timecode *: (\S+)", _ffmpeg_log(result.out), re.IGNORECASE)
    return None if found is None else found[1]


def said(*words: str) -> Callable[[Result], list[str]]:
    """Those of `words` that the run printed."""
    return lambda result: [word for word in words if word in result.said]


def _ffmpeg_log(path: Path) -> str:
    command = [FFMPEG, "-hide_banner", "-nostdin", "-copyts", "-i", str(path), "-map", "0:v:0"]
    command += ["-vf", "showinfo", "-fps_mode", "passthrough", "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


_H264 = '[output]\npreset = "ultrafast"\n'
_NO_CAPTIONS = ["warning: lost: closed captions (EIA-608, 708): ffv1 has no place for them"]
_NO_TIMECODE = ["warning: lost: time code: mpegts has no place for it; try an .mkv file"]


def held(result: Result) -> tuple[int, int]:
    """(frames, samples of sound) of the output, by FFmpeg. The sources are damaged: it goes on after errors."""
    command = [FFMPEG, "-v", "quiet", "-nostdin", "-i", str(result.out)]
    picture = ("-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framemd5", "-")
    frames = subprocess.run([*command, *picture], capture_output=True, text=True, check=False)
    sound = ("-map", "0:a:0?", "-f", "s16le", "-")
    samples = subprocess.run([*command, *sound], capture_output=True, check=False).stdout
    return sum(not line.startswith("#") for line in frames.stdout.splitlines()), len(samples) // 2


_DELIVERY = '[output]\npreset = "ultrafast"\n'
_TWICE = f'[[stage]]\nkind = "upscale"\nmodel = "lanczos"\n{_DELIVERY}'
_PART = ("--start", "0.25", "--end", "1")
_SLOTS = ["avi cannot hold frames closer than a millisecond"]

CASES = [
    Case("case1379_part.ts_b.ts", held, (9, 15360), _DELIVERY, "out.ts", _PART),
    Case("case1502_run.mkv_a.mpg", held, (14, 24192), _DELIVERY),
    Case("case2064_part.ts_a.swf", held, (1, 0), _DELIVERY, "out.ts", _PART),
    Case("case3269_part.mkv_a.ts", held, (8, 7168), _DELIVERY, "out.mkv", _PART),
    Case("case674_part.ts_a.mjpeg", held, (6, 0), _DELIVERY, "out.ts", _PART),
    Case("case696_lanczos.avi_a.mpg", held, (25, 37535), _TWICE, "out.avi"),
    Case("case917_run.avi_a.ivf", held, (18, 0), _DELIVERY, "out.avi"),
    Case("case917_run.avi_a.ivf", said(*_SLOTS), _SLOTS, _DELIVERY, "out.avi"),
    Case("h264_bframes.avi", frame_steps, (40, {Fraction(1, 25)})),
    Case("clap.mov", shape, ("64x48", "1:1")),
    Case(
        "rot45.mp4",
        said("the file asks players to turn the picture by no multiple of 90 degrees"),
        ["the file asks players to turn the picture by no multiple of 90 degrees"],
    ),
    Case("sar_15x7.mkv", shape, ("15x7", "28:45")),
    Case("slides_1200s_per_frame.mkv", frame_times, [Fraction(0), Fraction(1200), Fraction(2400)]),
    Case("captions.ts", captioned, 25, _H264),
    Case("captions.ts", captioned, 25, _H264, "out.mp4"),
    Case("captions.ts", captioned, 25, _H264, "out.ts"),
    Case("captions.ts", said(*_NO_CAPTIONS), _NO_CAPTIONS),
    Case("timecode.mov", timecode, "01:02:03:04"),
    Case("timecode.mov", timecode, "01:02:03:04", _H264, "out.mov"),
    Case("timecode.mov", timecode, "01:02:03:04", _H264, "out.mp4"),
    Case("timecode.mov", timecode, "01:02:03:14", _H264, "out.mov", ("--start", "0.4")),
    Case("timecode.mov", said(*_NO_TIMECODE), _NO_TIMECODE, _H264, "out.ts"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}-{case.out}")
def test_it_comes_out_right(
    case: Case,
    real: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = real(f"cases/{case.file}")
    monkeypatch.setenv("COLUMNS", "400")
    pipeline, out = tmp_path / "empty.toml", tmp_path / case.out
    pipeline.write_text(case.pipeline)
    arguments = ["restore", "run", str(pipeline), str(source), str(out), *case.options]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert not ended.value.code, told.err
    text = " ".join((told.out + told.err).split())
    assert case.measure(Result(source, out, text)) == case.expected


def test_a_note_names_the_table_that_overrides_it(
    real: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """'[input]' is no markup of the terminal's."""
    monkeypatch.setenv("COLUMNS", "400")
    arguments = ["restore", "check", "lanczos_x2", str(real("cases/clap.mov"))]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit):
        main()
    assert '[input] stated_crop = "ignore" keeps all' in capsys.readouterr().out
