"""Runs of pipelines without stages, and what the static FFmpeg says of the result."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from restore.pipeline import read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, prepare

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

Run = Callable[..., Path]


@pytest.fixture
def run_empty(tmp_path: Path) -> Run:
    """run_empty(clip, name, settings...): the output of a pipeline without stages."""

    def go(clip: Path, name: str, *settings: str) -> Path:
        pipeline = tmp_path / "empty.toml"
        pipeline.write_text("")
        spec = read_pipeline(pipeline, settings)
        output = tmp_path / name
        job = Job(spec, (clip,), output, threads=1)
        local.run(prepare(job), Listener())
        return output

    return go


@pytest.fixture
def ask() -> Callable[..., bytes]:
    """ask(arguments...): what the static FFmpeg prints."""

    def run(*arguments: str | Path) -> bytes:
        command = [FFMPEG, "-hide_banner", "-nostdin", *arguments]
        return subprocess.run(command, capture_output=True, check=True).stdout

    return run


@pytest.fixture
def video_line() -> Callable[[Path], str]:
    """video_line(path): all that the static FFmpeg knows of the first video stream."""

    def find(path: Path) -> str:
        command = [FFMPEG, "-hide_banner", "-i", path]
        text = subprocess.run(command, capture_output=True, check=False).stderr.decode()
        return next(line.strip() for line in text.splitlines() if "Video:" in line)

    return find
