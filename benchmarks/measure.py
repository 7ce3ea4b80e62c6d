"""Run restore as a whole process and read what the operating system says of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Run:
    seconds: float
    """Wall clock, start of the interpreter included."""
    cpu: float
    """Seconds of processor time, all threads."""
    peak_mib: float
    """Largest resident size of the process."""
    code: int
    text: str


def timed(command: list[str]) -> Run:
    """Run `command` to its end."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu = time.monotonic() - started, usage.ru_utime + usage.ru_stime
    return Run(seconds, cpu, usage.ru_maxrss / 1024, process.returncode, text)


def restore(*arguments: str | Path) -> Run:
    """`restore ARGUMENTS` with this interpreter."""
    return timed([sys.executable, "-m", "restore", *map(str, arguments)])


def lanczos_x264(source: Path, target: Path, preset: str) -> Run:
    """The floor: the static FFmpeg doing decode, Lanczos x2 and x264 with the same settings."""
    stream = ffmpeg.input(str(source)).video.filter("scale", "iw*2", "ih*2", flags="lanczos")
    command = stream.output(str(target), vcodec="libx264", crf=18, preset=preset).overwrite_output()
    return timed(command.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()))


def test_clip(path: Path, frames: int, size: str = "352x288") -> None:
    """An MPEG-1 clip of `frames` frames of `size` at 25 a second, that moves and changes scene every 4 s."""
    picture = ffmpeg.input(f"testsrc2=size={size}:rate=25", f="lavfi").filter(
        "hue", h="90*floor(t/4)", b="2*sin(2*PI*floor(t/4)/3)"
    )
    options = {"vcodec": "mpeg1video", "b:v": "1150k", "vframes": frames}
    command = picture.output(str(path), **options).overwrite_output()
    command.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True)
