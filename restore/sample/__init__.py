"""A short old film made from nothing, to try the product on, and a sheet that shows what became of it.

Everything is generated from a seed: a river town seen in a pan, a cut, a walk down a street, then grain, dust,
scratches, flicker and weave of an old print, an MPEG-1 generation (Video CD) and a RealVideo 2 one, with AC-3.
"""

from __future__ import annotations

import tempfile
import wave
from pathlib import Path

import cv2
import ffmpeg
import imageio_ffmpeg
import numpy as np
import torch
from numpy.typing import NDArray

from restore.errors import InputError, OutputError
from restore.faults import cannot_write
from restore.planes import resample
from restore.sample.film import SOUND_RATE, old_print, soundtrack
from restore.sample.scenes import HEIGHT, RATE, WIDTH, Picture, scenes
from restore.writing import write_whole


def build_sample(path: Path, seconds: float = 4.0, seed: int = 0, overwrite: bool = False) -> None:
    """Write a RealMedia file (RV20 352x288 at 25 frames/s, AC-3) of `seconds`; the same seed gives the same
    film. Raises OutputError, also where `path` exists and `overwrite` is not set."""
    _check_target(path, overwrite)
    rng = np.random.default_rng(seed)
    count = max(2, round(seconds * RATE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="restore-sample-") as folder:
        first, sound = Path(folder) / "first.mpg", Path(folder) / "sound.wav"
        film = old_print(scenes(count, rng), rng)
        raw = ffmpeg.input(
            "pipe:", format="rawvideo", pix_fmt="yuv420p", s=f"{WIDTH}x{HEIGHT}", r=RATE
        )
        # Rates of a Video CD, then of the RealMedia files made from them.
        vcd = {
            "vcodec": "mpeg1video",
            "b:v": "1150k",
            "maxrate": "1150k",
            "bufsize": 327680,
            "threads": 1,
        }
        _ffmpeg(raw.output(str(first), g=15, bf=2, **vcd), b"".join(map(_yuv420, film)))
        _write_wave(sound, soundtrack(count / RATE, rng))
        rm = {
            "vcodec": "rv20",
            "b:v": "420k",
            "maxrate": "600k",
            "bufsize": "900k",
            "g": 100,
            "threads": 1,
        }
        audio = {"acodec": "ac3", "b:a": "96k"}
        streams = ffmpeg.input(str(first)).video, ffmpeg.input(str(sound)).audio
        made = Path(folder) / "film.rm"
        _ffmpeg(ffmpeg.output(*streams, str(made), format="rm", r=RATE, **rm, **audio))
        try:
            write_whole(path, made.read_bytes())
        except OSError as error:
            raise cannot_write(path, error) from error


def _check_target(path: Path, overwrite: bool) -> None:
    if path.suffix.lower() not in (".rm", ".rmvb"):
        raise OutputError(
            f"{path}: expected a name that ends in .rm, for RealMedia is what is made, got {path.suffix!r}"
        )
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or pass --overwrite")


def before_after(source: Path, result: Path, png: Path, at_seconds: float) -> None:
    """Write a PNG of one moment: `source` enlarged by Lanczos on the left, `result` on the right, and below
    each the same detail, magnified. Raises InputError when a file has no picture at that time."""
    before, after = _still(source, at_seconds), _still(result, at_seconds)
    planes = torch.from_numpy(before).permute(2, 0, 1)[None].float()
    enlarged = resample(planes, (after.shape[0], after.shape[1]))[0].permute(1, 2, 0)
    before = enlarged.round().clamp(0, 255).to(torch.uint8).numpy()
    top, left, size = _busiest(after)
    rows = []
    for picture in (before, after):
        detail = picture[top : top + size[0], left : left + size[1]]
        whole = (picture.shape[1], picture.shape[0])
        magnified = cv2.resize(detail, whole, interpolation=cv2.INTER_NEAREST)
        rows.append(np.vstack((picture, magnified)))
    sheet = np.hstack(rows)
    for column, text in enumerate(("source, Lanczos", "restored")):
        at = (column * after.shape[1] + 8, 22)
        cv2.rectangle(sheet, (at[0] - 8, 0), (at[0] + 170, 30), (0, 0, 0), -1)
        ink = (255, 255, 255)
        cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, ink, 1, cv2.LINE_AA)
    png.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(png), sheet):
        raise OutputError(f"{png}: cannot be written; give a name that ends in .png")


def _yuv420(picture: Picture) -> bytes:
    """Limited-range codes with neutral chroma: black and white."""
    luma = np.clip(np.rint(16 + picture * 219 / 255), 0, 255).astype(np.uint8)
    return luma.tobytes() + b"\x80" * (luma.size // 2)


def _write_wave(path: Path, sound: NDArray[np.float32]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SOUND_RATE)
        file.writeframes(np.rint(sound * 32767).astype("<i2").tobytes())


def _ffmpeg(output: ffmpeg.nodes.OutputStream, data: bytes | None = None) -> bytes:
    """Run the packaged FFmpeg; what it wrote to its standard output. Raises OutputError."""
    command = imageio_ffmpeg.get_ffmpeg_exe()
    quiet = output.global_args("-hide_banner", "-loglevel", "error", "-nostdin")
    try:
        out, _ = quiet.run(
            cmd=command, input=data, capture_stdout=True, capture_stderr=True, overwrite_output=True
        )
    except ffmpeg.Error as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise OutputError(f"FFmpeg: {said[-1] if said else 'failed and said nothing'}") from error
    return bytes(out)


def _still(path: Path, at_seconds: float) -> NDArray[np.uint8]:
    """(height, width, 3) BGR: the first frame at or after `at_seconds`. Read from the start, because a seek
    in RealMedia cannot be trusted."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    stream = ffmpeg.input(str(path)).video.filter("select", f"gte(t,{at_seconds})")
    png = _ffmpeg(stream.output("pipe:", format="image2pipe", vcodec="png", vframes=1))
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) if png else None
    if picture is None:
        raise InputError(f"{path}: no picture at {at_seconds:g} s; try an earlier time")
    return np.asarray(picture, np.uint8)


def _busiest(picture: NDArray[np.uint8]) -> tuple[int, int, tuple[int, int]]:
    """(top, left, (height, width)) of the quarter-size detail with the strongest edges."""
    h, w = picture.shape[0] // 4, picture.shape[1] // 4
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    edges = np.abs(cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 2.0), cv2.CV_32F))
    total = cv2.boxFilter(edges, -1, (w, h))[h // 2 : -h // 2, w // 2 : -w // 2]
    top, left = np.unravel_index(int(total.argmax()), total.shape)
    return int(top), int(left), (h, w)
