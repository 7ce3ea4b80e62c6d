"""Grey stays neutral, tints and brightness stay: through the whole main pipeline, decoded by another program."""

import subprocess
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest

from restore.pipeline import find_pipeline, read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, prepare

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
WIDTH, HEIGHT, FRAMES = 96, 80, 8

CASTS = {
    "grey": "hue=s=0",
    "sepia": "colorchannelmixer=.393:.769:.189:0:.349:.686:.168:0:.272:.534:.131",
    "green": "hue=s=0,colorbalance=gm=0.4:gs=0.2",
}


def planes(path: Path, scale: int = 1) -> list[np.ndarray]:
    """Y, Cb, Cr codes of every frame, as the static FFmpeg decodes them."""
    command = [FFMPEG, "-v", "error", "-i", path, "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    height, width = HEIGHT * scale, WIDTH * scale
    frames = np.frombuffer(raw, np.uint8).reshape(-1, height * width * 3 // 2)
    assert len(frames) == FRAMES
    luma, cb, cr = np.split(frames, [height * width, height * width * 5 // 4], axis=1)
    return [luma, cb, cr]


@pytest.fixture(scope="module", params=list(CASTS))
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / f"{request.param}.mpg"
    source = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25,{CASTS[request.param]}"
    stream = ffmpeg.input(source, f="lavfi")
    options = {"vcodec": "mpeg1video", "qscale:v": 6, "vframes": FRAMES, "pix_fmt": "yuv420p"}
    stream.output(str(path), **options).run(cmd=FFMPEG, quiet=True)
    return path


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_colour_and_brightness_stay(film: Path, codec: str, tmp_path: Path) -> None:
    spec = read_pipeline(find_pipeline("bw_film_x2"), [f"output.codec={codec}"])
    output = tmp_path / "out.mkv"
    local.run(prepare(Job(spec, (film,), output)), Listener())
    before, after = planes(film), planes(output, scale=2)
    if film.stem == "grey":
        assert all(bool((chroma == 128).all()) for chroma in (*before[1:], *after[1:]))
    else:
        assert max(abs(float(c.mean()) - 128) for c in before[1:]) > 8
    for a, b in zip(before, after, strict=True):
        drift = np.abs(a.mean(1) - b.mean(1))
        assert drift.max() < 0.5
