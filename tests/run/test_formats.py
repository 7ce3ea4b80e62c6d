"""Every kind of samples through whole runs without stages, against the static FFmpeg."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

Run = Callable[..., Path]
Line = Callable[[Path], str]

# pixel format of the clip: (encoder, ending, what ffv1 must make of it, size)
KINDS = {
    "yuv420p": ("ffv1", "mkv", "yuv420p", "64x48"),
    "yuv410p": ("ffv1", "avi", "yuv410p", "67x45"),
    "yuv411p": ("ffv1", "mkv", "yuv411p", "64x48"),
    "yuv440p": ("ffv1", "mkv", "yuv440p", "64x48"),
    "yuv420p9le": ("ffv1", "mkv", "yuv420p9le", "64x48"),
    "yuv420p10le": ("ffv1", "mkv", "yuv420p10le", "65x47"),
    "yuv422p10le": ("ffv1", "mkv", "yuv422p10le", "64x48"),
    "yuv422p14le": ("ffv1", "mkv", "yuv422p14le", "64x48"),
    "yuv444p16le": ("ffv1", "mkv", "yuv444p16le", "64x48"),
    "yuvj420p": ("mjpeg", "mkv", "yuvj420p", "64x48"),
    "yuva420p": ("ffv1", "mkv", "yuv420p", "64x48"),
    "gray": ("ffv1", "mkv", "gray", "64x48"),
    "gray16le": ("ffv1", "mkv", "gray16le", "64x48"),
    "gray16be": ("png", "mkv", "gray16le", "64x48"),
    "ya8": ("png", "mkv", "gray", "64x48"),
    "rgb24": ("png", "mkv", "gbrp", "64x48"),
    "rgba": ("png", "mkv", "gbrp", "64x48"),
    "rgb48be": ("png", "mkv", "gbrp16le", "64x48"),
    "bgr24": ("rawvideo", "nut", "gbrp", "65x47"),
    "gbrp10le": ("ffv1", "mkv", "gbrp10le", "64x48"),
    "gbrp14le": ("ffv1", "mkv", "gbrp14le", "64x48"),
    "pal8": ("gif", "gif", "gbrp", "64x48"),
    "nv12": ("rawvideo", "nut", "yuv420p", "64x48"),
    "yuyv422": ("rawvideo", "avi", "yuv422p", "64x48"),
    "uyvy422": ("rawvideo", "mov", "yuv422p", "64x48"),
    "yuv422p10be": ("rawvideo", "nut", "yuv422p10le", "64x48"),
}


def raw(path: Path, pixel_format: str) -> np.ndarray:
    """All frames' bytes as the static FFmpeg decodes them."""
    arguments = ["-i", path, "-pix_fmt", pixel_format, "-fps_mode", "passthrough"]
    command = [FFMPEG, "-v", "error", *arguments, "-f", "rawvideo", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)


@pytest.fixture
def make(tmp_path: Path) -> Run:
    """make(pixel_format, encoder, ending, size, noise): 3 frames of a test picture, noisy or smooth."""

    def clip(pixel_format: str, encoder: str, ending: str, size: str, noise: int = 0) -> Path:
        path = tmp_path / f"clip.{ending}"
        # Of itself the test picture would be made even.
        crop = f"crop={size.replace('x', ':')}:exact=1"
        look = f"noise=alls={noise}:all_seed=1" if noise else "gblur=2"
        picture = f"testsrc2=size=96x64:rate=25,format=gbrp,{crop},{look}"
        # A GIF's palette is made from its picture.
        extra = ["-strict", "-1"] + ([] if ending == "gif" else ["-pix_fmt", pixel_format])
        subprocess.run(
            [
                *(FFMPEG, "-v", "error", "-y", "-f", "lavfi", "-i", picture),
                *("-frames:v", "3", "-c:v", encoder, *extra, path),
            ],
            check=True,
        )
        return path

    return clip


@pytest.mark.parametrize("pixel_format", list(KINDS))
def test_nothing_changes_without_loss(
    pixel_format: str, make: Run, run_empty: Run, video_line: Line
) -> None:
    encoder, ending, expected, size = KINDS[pixel_format]
    clip = make(pixel_format, encoder, ending, size, 40)
    out = run_empty(clip, "out.mkv", "output.codec=ffv1")
    shown = {"gbrp": "bgr0", "yuvj420p": "yuv420p"}.get(expected, expected)
    assert f", {shown}(" in video_line(out), video_line(out)
    assert f", {size}" in video_line(out), video_line(out)
    before, after = raw(clip, expected), raw(out, expected)
    assert len(before) > 0
    assert np.array_equal(before, after)


@pytest.mark.parametrize(
    "pixel_format", ["yuv410p", "yuv411p", "yuv422p10le", "yuvj420p", "gray16be", "rgb48be", "pal8"]
)
def test_x264_is_close(pixel_format: str, make: Run, run_empty: Run) -> None:
    encoder, ending, *_ = KINDS[pixel_format]
    # The oracle takes chroma to lie in the middle, and stretches it where the size is odd.
    clip = make(pixel_format, encoder, ending, "64x48")
    settings = ["output.crf=1", "output.preset=ultrafast", "input.siting=center"]
    if pixel_format == "pal8":  # dots of single samples, which 4:2:0 has no room for
        settings.append("output.pixel_format=yuv444p")
    out = run_empty(clip, "out.mp4", *settings)
    error = np.abs(rgb(clip) - rgb(out))
    assert np.quantile(error, 0.5) <= 1
    assert error.mean() <= 1.5


@pytest.mark.parametrize("pixel_format", ["yuv444p16le", "yuv411p", "yuv422p10le", "pal8"])
def test_every_player_shows_what_is_made_to_watch(
    pixel_format: str, make: Run, run_empty: Run, video_line: Line
) -> None:
    encoder, ending, *_ = KINDS[pixel_format]
    clip = make(pixel_format, encoder, ending, "64x48")
    assert "yuv420p" in video_line(run_empty(clip, "out.mp4"))


def rgb(path: Path) -> np.ndarray:
    """R, G, B of every frame, converted by the oracle with all the care it can take."""
    flags = "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
    arguments = ["-i", path, "-sws_flags", flags, "-pix_fmt", "rgb24", "-fps_mode", "passthrough"]
    command = [FFMPEG, "-v", "error", *arguments, "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).astype(np.int16)
