"""Files of known truth for the benchmark of suggestions: clean clips made small and spoilt, each in one way.

Beside the recipes of restore.evaluate there are a lossless file, the same with noise, codecs that are in no recipe, and
fields of two moments and of telecined film. The fields are those of the whole clip, not of half its lines, which would
alias; what is made of them is reduced to the clip's size before it is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np

from restore.evaluate.recipes import CODEC_RECIPES, RECIPES, through_codecs
from restore.evaluate.sets import read_clip
from restore.train.codecs import Codes
from restore.train.degrade import downscale

CLEAN, NEARLY = "clean", "near_clean"
FIELDS = ("interlaced", "telecined")
NOISY = {"noise_2": 2.0, "noise_4": 4.0}
"""White noise of that deviation, in codes, on a lossless file."""
ELSEWHERE: dict[str, dict[str, str | int]] = {
    "mpeg4": {"vcodec": "mpeg4", "q:v": 8, "g": 100},
    "h264": {"vcodec": "libx264", "crf": 32, "preset": "veryfast"},
    "wmv2": {"vcodec": "wmv2", "q:v": 10, "g": 100},
    "flv1": {"vcodec": "flv", "q:v": 12, "g": 100},
    "jpeg": {"vcodec": "mjpeg", "q:v": 10},
    "theora": {"vcodec": "libtheora", "q:v": 3},
    "vp8": {"vcodec": "libvpx", "crf": 40, "qmin": 4, "qmax": 60, "b:v": "10M", "cpu-used": 4},
    "vp9": {"vcodec": "libvpx-vp9", "crf": 42, "b:v": 0, "cpu-used": 6},
    "hevc": {"vcodec": "libx265", "crf": 34, "preset": "veryfast", "x265-params": "log-level=none"},
}
"""Codecs of which no recipe and no model knows; the last five tell no quantiser. All in Matroska."""
KINDS = (CLEAN, NEARLY, *CODEC_RECIPES, *FIELDS, *NOISY, *ELSEWHERE)

_LONG = 64
"""Frames of a film whose fields are to be judged; a short clip is played forward and backward."""
_LINES = (240, 576)
"""Of a clip that television would show in fields."""
_FIELDS_CODED: dict[str, str | int] = {
    "vcodec": "mpeg2video",
    "q:v": 3,
    "g": 12,
    "flags": "+ildct+ilme",
    "vf": "setfield=tff",
}


@dataclass(frozen=True)
class Case:
    """One clip, spoilt in one way."""

    clip: str
    kind: str
    file: Path
    truth: Codes
    """(T, H, W) of the whole clip; see `factor`."""

    @property
    def factor(self) -> int:
        """Times as wide as the file's picture the truth is."""
        return 1 if self.kind in FIELDS else 2

    def hash(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def truth_of(self, shown: int, film: bool) -> int:
        """Which frame of the truth the `shown`-th frame that comes out is; `film`: fields were made frames of film."""
        if self.kind == "interlaced":
            return 2 * shown
        if self.kind == "telecined" and not film:
            return shown * 4 // 5
        return shown


def cases(
    path: Path, kinds: Sequence[str], frames: int, folder: Path, known: bool = False
) -> Iterator[Case]:
    """Each file is made once, in `folder`; with `known` none is. Fields of clips of television's size alone."""
    clip = read_clip(path, max(frames, 2 * _LONG), 32).codes
    for kind in kinds:
        if kind in FIELDS and not _LINES[0] <= clip.shape[1] <= _LINES[1]:
            continue
        place = folder / f"{path.stem}-{kind}-{'all' if kind in FIELDS else frames}"
        truth = _lively(clip) if kind in FIELDS else clip[:frames]
        done = place / "done"
        if not done.exists() and known:
            continue
        if not done.exists():
            place.mkdir(parents=True, exist_ok=True)
            done.write_text(_make(truth, kind, place).name)
        yield Case(path.stem, kind, place / done.read_text(), truth)


def _lively(clip: Codes) -> Codes:
    """_LONG frames, to and fro from where most moves."""
    changes = np.abs(clip[1:].astype(np.int16) - clip[:-1]).mean((1, 2))
    span = min(8, len(changes))
    start = int(np.convolve(changes, np.ones(span), "valid").argmax())
    last = len(clip) - 1
    # Frame numbers to the end, back to the first and to the end again, ...
    cycle = [*range(start, last), *range(last, 0, -1), *range(start)]
    return clip[[cycle[n % len(cycle)] for n in range(_LONG)]]


def _make(truth: Codes, kind: str, folder: Path) -> Path:
    """The spoilt file."""
    if kind in RECIPES:
        return through_codecs(truth, RECIPES[kind], 2, folder)[0]
    if kind in FIELDS:
        woven = interlaced(truth) if kind == "interlaced" else telecined(truth)
        return _encoded(woven, _FIELDS_CODED, folder / f"{kind}.mkv")
    small = np.stack([downscale(f.astype(np.float32), 2, "bicubic") for f in truth])
    if kind in NOISY:
        small += np.random.default_rng(0).normal(0, NOISY[kind], small.shape)
    codes = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    return _encoded(codes, ELSEWHERE.get(kind, {"vcodec": "ffv1"}), folder / f"{kind}.mkv")


def interlaced(film: Codes) -> Codes:
    """(2 T, h, w) pictures of 50 moments a second -> (T, h, w): the top field of one, the bottom field of the next."""
    woven = film[0 : len(film) // 2 * 2 : 2].copy()
    woven[:, 1::2] = film[1::2, 1::2]
    return woven


def telecined(film: Codes) -> Codes:
    """(4 T, h, w) pictures of film -> (5 T, h, w) by 3:2 pulldown, top field first."""
    tops, bottoms = (0, 0, 1, 2, 3), (0, 1, 2, 2, 3)
    first = range(0, len(film) // 4 * 4, 4)
    woven = film[[n + t for n in first for t in tops]].copy()
    woven[:, 1::2] = film[[n + b for n in first for b in bottoms]][:, 1::2]
    return woven


def _encoded(codes: Codes, options: dict[str, str | int], path: Path) -> Path:
    """Luma with neutral chroma, one thread so that the same frames give the same file."""
    _, height, width = codes.shape
    grey = b"\x80" * (height * width // 2)
    raw = b"".join(frame.tobytes() + grey for frame in codes)
    source = ffmpeg.input("pipe:", f="rawvideo", pix_fmt="yuv420p", s=f"{width}x{height}", r=25)
    shape = "yuvj420p" if options["vcodec"] == "mjpeg" else "yuv420p"
    output = source.output(
        str(path), pix_fmt=shape, threads=1, fflags="+bitexact", **options
    ).overwrite_output()
    output.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), input=raw, quiet=True)
    return path
