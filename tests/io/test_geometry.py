from __future__ import annotations

import math
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from films import LOSSLESS, luma, pan, write_film
from media_clips import ffmpeg, ffmpeg_bytes

from restore.color import ColorInfo, Siting
from restore.io.decode import decode
from restore.io.geometry import (
    Crop,
    Turn,
    chroma_error,
    place,
    place_map,
    place_planes,
    shift_chroma,
    turn_of_matrix,
)
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.planes import quant_plane
from restore.video import Chroma, FrameBatch, QuantMap, VideoFormat

TURNS = [Turn(quarters, mirror) for quarters in range(4) for mirror in (False, True)]


def decoded(path: Path, options: InputOptions | None = None) -> FrameBatch:
    source = open_source([path], options or InputOptions())
    return FrameBatch.cat(list(decode(source, quantisers=True)))


def turned_clip(path: Path, *display: str) -> Path:
    plain = path.with_name("plain.mp4")
    encoder = ("-vf", "format=yuv420p", "-c:v", "libx264", "-qp", "0", "-bf", "0")
    write_film(plain, pan(6, 96, 64), "25", *encoder)
    ffmpeg("-v", "error", *display, "-i", plain, "-c", "copy", path)
    return path


@pytest.mark.parametrize("flip", [(), ("-display_hflip",)])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_display_matrix_is_applied_as_ffmpeg_does(
    tmp_path: Path, degrees: int, flip: tuple[str, ...]
) -> None:
    clip = turned_clip(tmp_path / "clip.mp4", "-display_rotation", str(degrees), *flip)
    frames = decoded(clip)
    size = (96, 64) if degrees % 180 == 0 else (64, 96)
    assert (frames.format.width, frames.format.height) == size
    raw = ffmpeg_bytes("-i", clip, "-f", "rawvideo", "-pix_fmt", "gray", "-vf", "extractplanes=y")
    assert luma(frames).tobytes() == raw


def test_the_turn_is_said_or_ignored(tmp_path: Path) -> None:
    clip = turned_clip(tmp_path / "clip.mp4", "-display_rotation", "90", "-display_hflip")
    on, off = (open_source([clip], InputOptions(rotation=r)) for r in ("apply", "ignore"))
    assert (
        "the picture is mirrored and turned by 90 degrees, as the file asks of players" in on.notes
    )
    assert any(note.endswith("ignored, as [input] says") for note in off.notes)
    assert (off.video.format.width, off.video.format.height) == (96, 64)


def test_the_aspect_ratio_turns_too(tmp_path: Path) -> None:
    fmt = VideoFormat(96, 64, Chroma.C422, 8, Fraction(1, 25), sample_aspect=Fraction(16, 15))
    turned = place(fmt, Crop(8, 4, 0, 0), Turn(1))
    assert (turned.width, turned.height) == (60, 88)
    assert (turned.sample_aspect, turned.chroma) == (Fraction(15, 16), Chroma.C440)
    assert place(fmt, Crop(), Turn(2)).sample_aspect == Fraction(16, 15)


def test_chroma_of_a_quarter_turns_into_full_chroma(tmp_path: Path) -> None:
    plain = write_film(tmp_path / "p.mov", pan(3, 96, 64), "25", "-vf", "format=yuv411p", *LOSSLESS)
    clip = tmp_path / "clip.mov"
    ffmpeg("-v", "error", "-display_rotation", "90", "-i", plain, "-c", "copy", clip)
    frames = decoded(clip)
    assert (frames.format.width, frames.format.chroma) == (64, Chroma.C444)


def test_matrices() -> None:
    def matrix(a: int, b: int, c: int, d: int) -> bytes:
        one = 1 << 16
        return struct.pack("=9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)

    assert turn_of_matrix(matrix(1, 0, 0, 1)) == Turn()
    assert turn_of_matrix(matrix(0, 1, -1, 0)) == Turn(1)
    assert turn_of_matrix(matrix(-1, 0, 0, 1)) == Turn(0, mirror=True)
    assert turn_of_matrix(matrix(1, 0, 0, -1)) == Turn(2, mirror=True)
    assert turn_of_matrix(matrix(1, 1, -1, 1)) is None
    assert turn_of_matrix(matrix(1, 0, 0, 2)) is None  # stretched
    for degrees in (2, 10, 20, 30, 89):
        x, y = (round(f(math.radians(degrees)) * 1000) for f in (math.cos, math.sin))
        assert turn_of_matrix(matrix(x, y, -y, x)) is None
    assert turn_of_matrix(bytes(36)) is None
    assert turn_of_matrix(b"") is None


@pytest.mark.parametrize("turn", TURNS, ids=str)
@pytest.mark.parametrize("crop", [Crop(), Crop(6, 10, 20, 2)], ids=str)
def test_the_quantisers_stay_with_their_blocks(crop: Crop, turn: Turn) -> None:
    height, width = (
        72,
        100,
    )  # reaches half a block into the last row, a quarter into the last column
    quant = QuantMap(torch.arange(5 * 7, dtype=torch.float32).view(5, 7))
    whole = quant_plane(quant, (height, width), height)[0, 0].numpy()
    fmt = VideoFormat(width, height, None, 8, Fraction(1, 25))
    (wanted,) = place_planes([whole], fmt, crop, turn)
    placed = place_map(quant, (height, width), crop, turn)
    size = (wanted.shape[0], wanted.shape[1])
    assert np.array_equal(quant_plane(placed, size, size[0])[0, 0].numpy(), wanted)


@pytest.mark.parametrize("size", [(48, 64), (47, 63)], ids=str)
@pytest.mark.parametrize("chroma", [Chroma.C420, Chroma.C422, Chroma.C410])
@pytest.mark.parametrize("siting", list(Siting))
@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_chroma_lies_where_the_siting_says(
    turn: Turn, siting: Siting, chroma: Chroma, size: tuple[int, int]
) -> None:
    """A slope, sampled where the siting says; turned, it must be the slope sampled where the new one says."""
    height, width = size
    fmt = VideoFormat(width, height, chroma, 16, Fraction(1, 25), ColorInfo(siting=siting))

    def slope(of: VideoFormat) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        assert of.chroma is not None and of.color.siting is not None
        (down, across), (rows, columns) = of.color.siting.value, of.plane_shapes()[1]
        fy, fx = (1 << s for s in of.chroma.value)
        y = np.arange(rows) * fy + down * (fy - 1)
        x = np.arange(columns) * fx + across * (fx - 1)
        ny, nx = (of.height, of.width)
        # Of the picture's own axes, from edge to edge: what turning does to them is undone.
        u, v = np.meshgrid((x - (nx - 1) / 2), (y - (ny - 1) / 2))
        for _ in range(turn.quarters if of is not fmt else 0):
            u, v = v, -u
        if turn.mirror and of is not fmt:
            u = -u
        return 30000 + 100 * u + 250 * v

    codes = slope(fmt).round().astype(np.int32)
    moved = place_planes([np.zeros(size), codes, codes], fmt, Crop(), turn)
    placed = place(fmt, Crop(), turn)
    planes = tuple(torch.from_numpy(p.copy())[None, None] for p in moved)
    made = shift_chroma(planes, placed, chroma_error(fmt, Crop(), turn))[1][0, 0].numpy()
    wanted = slope(placed)
    assert made.shape == wanted.shape
    inner = (slice(4, -4), slice(4, -4))
    # Lanczos errs by a fiftieth of a sample on a slope; half a luma sample is 50.
    assert np.abs(made[inner] - wanted[inner]).max() <= 25


def test_a_crop_takes_its_quantisers_along(tmp_path: Path) -> None:
    encoder = ("-vf", "format=yuv420p", "-c:v", "mpeg2video", "-q:v", "5")
    clip = write_film(tmp_path / "clip.mpg", pan(6, 96, 64), "25", *encoder)
    whole, cut = decoded(clip), decoded(clip, InputOptions(crop="10:6:20:2"))
    assert (cut.format.width, cut.format.height) == (66, 56)
    for a, b in zip(whole.planes, cut.planes, strict=True):
        y, x = (6, 10) if a.shape[-1] == 96 else (3, 5)
        assert torch.equal(a[..., y : y + b.shape[-2], x : x + b.shape[-1]], b)
    for before, after in zip(whole.quant, cut.quant, strict=True):
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            assert after.origin == (6, 10)
            assert torch.equal(before.steps, after.steps)
