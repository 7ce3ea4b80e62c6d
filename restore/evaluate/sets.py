"""Sets of known truth: folders of images or of clips, read as luma."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from restore.errors import EvaluateError
from restore.evaluate.imresize import luma, to_uint8
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.planes import to_codes, to_nominal
from restore.train.codecs import Codes

IMAGES = frozenset({".png", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg", ".ppm", ".pgm"})
CLIPS = frozenset({".mkv", ".mp4", ".avi", ".mov", ".webm", ".y4m", ".mpg", ".m4v", ".ts"})


@dataclass(frozen=True)
class TestSet:
    """Files of one kind, sorted by name."""

    __test__ = False  # no class of tests, whatever pytest thinks of its name

    name: str
    still: bool
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Truth:
    """What is to be restored."""

    codes: Codes
    """(T, H, W) luma; T = 1 for an image."""
    full_range: bool
    """Grey images hold 0 (black) to 255 (white), all else 16 to 235."""
    cropped: tuple[int, int] | None
    """The size (height, width) before it was cropped; None: it was not."""


def find_set(folder: Path, option: str = "--set") -> TestSet:
    """The images or the clips in `folder`; EvaluateError, naming the `option`, where it holds none, or both."""
    if not folder.is_dir():
        what = "a file" if folder.exists() else "nothing"
        raise EvaluateError(
            f"{option} {folder}: expected a folder of images or clips, found {what}"
        )
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    images = tuple(p for p in files if p.suffix.lower() in IMAGES)
    clips = tuple(p for p in files if p.suffix.lower() in CLIPS)
    name = folder.resolve().name
    if images and clips:
        raise EvaluateError(
            f"{option} {folder}: expected images or clips, found {len(images)} images and {len(clips)} clips; "
            "put them into two folders"
        )
    if not images and not clips:
        inside = [p.name for p in sorted(folder.iterdir()) if p.is_dir()]
        try_ = f"; try one of its folders: {', '.join(inside[:5])}" if inside else ""
        raise EvaluateError(
            f"{option} {folder}: expected images (.png, ...) or clips (.mkv, .mp4, ...), "
            f"found {len(files)} other files{try_}"
        )
    return TestSet(name, bool(images), images or clips)


def read_image(path: Path, multiple: int) -> Truth:
    """Y of an 8-bit image, rounded to codes, cropped at the right and the bottom to `multiple`, as the scripts of the
    literature do. Three channels become Y of BT.601 in limited range; one channel stays as it is."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise EvaluateError(f"{path}: expected an image, found what cannot be decoded as one")
    if image.dtype != np.uint8:
        raise EvaluateError(
            f"{path}: expected 8 bits per sample, found {image.dtype.itemsize * 8}; scores are in 8-bit codes: convert it"
        )
    grey = image.ndim == 2 or image.shape[2] == 1
    whole = (
        image.reshape(image.shape[:2]).astype(np.uint8)
        if grey
        else to_uint8(luma(image[..., 2::-1].astype(np.uint8)))
    )
    size = (whole.shape[0], whole.shape[1])
    height, width = (n // multiple * multiple for n in size)
    _large_enough(path, size, (height, width))
    cut = np.ascontiguousarray(whole[:height, :width])[None]
    return Truth(cut, grey, None if (height, width) == size else size)


def read_clip(path: Path, frames: int, multiple: int) -> Truth:
    """Luma of the first frames as 8-bit limited-range codes, cropped around the centre to `multiple`."""
    source = probe(path, InputOptions())
    found: list[Codes] = []
    for batch in decode(source, batch=4):
        luma, fmt = batch.planes[0], batch.format
        if fmt.depth != 8 or fmt.color.full_range:
            nominal = to_nominal(luma, fmt.depth, bool(fmt.color.full_range), False)
            luma = to_codes(nominal, 8, False, False)
        found += list(luma[:, 0].numpy())
        if len(found) >= frames:
            break
    if not found:
        raise EvaluateError(f"{path}: expected frames, found none that can be decoded")
    whole = np.stack(found[:frames])
    size = (whole.shape[1], whole.shape[2])
    height, width = (n // multiple * multiple for n in size)
    _large_enough(path, size, (height, width))
    y, x = (size[0] - height) // 2, (size[1] - width) // 2
    cut = np.ascontiguousarray(whole[:, y : y + height, x : x + width])
    return Truth(cut, False, None if (height, width) == size else size)


SMALLEST = 48
"""Samples a side: SSIM and PSNR-B need some inside the border."""


def _large_enough(path: Path, found: tuple[int, int], cropped: tuple[int, int]) -> None:
    if min(cropped) < SMALLEST:
        raise EvaluateError(
            f"{path}: expected at least {SMALLEST}x{SMALLEST} samples after cropping, found {found[1]}x{found[0]}"
        )
