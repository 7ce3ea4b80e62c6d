"""What a file asks players to cut off: Matroska's PixelCrop, QuickTime's clean aperture, H.264's and HEVC's own cropping."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from films import LOSSLESS, luma, pan, write_film
from media_clips import ffmpeg, ffmpeg_bytes, make_clip

from restore.io import card
from restore.io.card import choose_decoder
from restore.io.decode import decode
from restore.io.ebml import TRACK, children, element, filled, serialised, unsigned
from restore.io.geometry import Crop
from restore.io.join import open_source
from restore.io.matroska import _rewrite
from restore.io.probe import InputOptions
from restore.io.source import Source
from restore.io.sps import cut_at_start
from restore.io.stated import container_crop
from restore.video import FrameBatch

FILM = pan(4, 96, 64)


def opened(path: Path, **options: str) -> Source:
    return open_source([path], InputOptions(**options))


def frames(source: Source) -> FrameBatch:
    return FrameBatch.cat(list(decode(source)))


def write_clap(path: Path, *numbers: int, name: bytes = b"clap") -> Path:
    """FILM in QuickTime with a clean aperture of eight `numbers`; the header lies behind the pictures, so that nothing
    points behind what grows."""
    write_film(path, FILM, "25", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0")
    return with_atom(path, struct.pack(">8i", *numbers), name)


def with_atom(path: Path, content: bytes, name: bytes = b"clap") -> Path:
    data = bytearray(path.read_bytes())
    atom = struct.pack(">I4s", 8 + len(content), name) + content
    at = 0
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        skipped = 16 if parent == b"stsd" else 8
        at = data.index(parent, at) - 4
        (size,) = struct.unpack_from(">I", data, at)
        struct.pack_into(">I", data, at, size + len(atom))
        at, end = at + skipped, at + size
    data[end:end] = atom
    path.write_bytes(data)
    return path


def write_pixel_crop(path: Path, crop: Crop, *options: str) -> Path:
    """FILM in Matroska with PixelCrop in the place of the track's title."""
    write_film(path, FILM, "25", "-metadata:s:v", "title=" + "room" * 12, *options, *LOSSLESS)
    cut = (crop.left, crop.top, crop.right, crop.bottom)
    sides = list(zip((0x54CC, 0x54BB, 0x54DD, 0x54AA), cut, strict=True))

    def patched(track: bytes) -> bytes:
        found = []
        for kind, content in children(track):
            if kind == 0xE0:
                content += serialised((k, unsigned(n)) for k, n in sides)
            if kind != 0x536E:
                found.append((kind, content))
        return filled(serialised(found), len(track))

    with path.open("r+b") as file:
        assert _rewrite(file, patched, b"room")
    return path


def assert_cut(path: Path, crop: Crop) -> Source:
    """The frames of `path` are those of FILM without `crop`, as FFmpeg's program has them."""
    source = opened(path)
    right, bottom = FILM.shape[2] - crop.right, FILM.shape[1] - crop.bottom
    wanted = FILM[:, crop.top : bottom, crop.left : right]
    assert np.array_equal(luma(frames(source)), wanted)
    raw = ffmpeg_bytes(
        "-flags", "unaligned", "-i", path, "-f", "rawvideo", "-vf", "extractplanes=y"
    )
    assert raw == wanted.tobytes()
    return source


APERTURE = (80, 1, 48, 1, 2, 1, -4, 1)
"""80x48, its middle 2 to the right of the picture's and 4 above it."""


@pytest.mark.parametrize("name", ["clip.mov", "clip.mp4"])
def test_the_clean_aperture(tmp_path: Path, name: str) -> None:
    source = assert_cut(write_clap(tmp_path / name, *APERTURE), Crop(10, 4, 6, 12))
    assert any("cut off 10:4:6:12" in n and "80x48 of 96x64 remain" in n for n in source.notes)
    kept = opened(tmp_path / name, stated_crop="ignore")
    assert np.array_equal(luma(frames(kept)), FILM)
    assert any("ignored, as [input] says" in n for n in kept.notes)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm"])
def test_pixel_crop(tmp_path: Path, name: str) -> None:
    path = write_pixel_crop(tmp_path / name, Crop(8, 2, 4, 6), "-f", "matroska")
    assert_cut(path, Crop(8, 2, 4, 6))


def test_the_shape_that_matroska_states_is_that_of_what_is_left(tmp_path: Path) -> None:
    """96x64 in samples of 2:1, of which 80x64 are shown as 3:1."""
    path = write_pixel_crop(tmp_path / "clip.mkv", Crop(8, 0, 8, 0), "-vf", "setsar=2")
    fmt = opened(path).video.format
    assert (fmt.width, fmt.height, fmt.sample_aspect) == (80, 64, Fraction(12, 5))


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_what_the_bitstream_cuts_off_is_cut_to_the_sample(tmp_path: Path, encoder: str) -> None:
    lossless = ["-qp", "0"] if encoder == "libx264" else ["-x265-params", "lossless=1:log-level=1"]
    write_film(tmp_path / "a.mkv", FILM, "25", "-pix_fmt", "yuv420p", "-c:v", encoder, *lossless)
    kind = "h264" if encoder == "libx264" else "hevc"
    cut = f"{kind}_metadata=crop_left=6:crop_top=4:crop_right=2:crop_bottom=8"
    ffmpeg("-i", tmp_path / "a.mkv", "-c", "copy", "-bsf:v", cut, tmp_path / "b.mkv")
    assert_cut(tmp_path / "b.mkv", Crop(6, 4, 2, 8))


@pytest.mark.parametrize(
    ("name", "sampling"),
    [
        ("b.mkv", "yuv420p"),
        ("b.ts", "yuv420p"),
        ("b.mkv", "yuv422p"),
        ("b.mkv", "yuv444p"),
        ("b.mkv", "gray"),
    ],
)
def test_the_quantisers_stay_at_their_samples(tmp_path: Path, name: str, sampling: str) -> None:
    """The map begins above and left of the picture, by what the stream cuts off."""
    options = ["-pix_fmt", sampling, "-c:v", "libx264", "-crf", "26", "-aq-mode", "1"]
    write_film(tmp_path / "a.mkv", FILM, "25", "-vf", f"format={sampling}", *options)
    cut = "h264_metadata=crop_left=22:crop_top=4:crop_right=2:crop_bottom=8"
    ffmpeg("-i", tmp_path / "a.mkv", "-c", "copy", "-bsf:v", cut, tmp_path / name)
    whole, part = (
        FrameBatch.cat(list(decode(opened(tmp_path / n), quantisers=True))).quant[0]
        for n in ("a.mkv", name)
    )
    assert whole is not None and part is not None
    assert whole.origin == (0, 0) and part.origin == (4, 22)
    assert np.array_equal(whole.steps, part.steps)
    assert len(np.unique(whole.steps)) > 1


def test_broken_parameters_cut_nothing() -> None:
    with_scaling = bytes.fromhex("0164000affe100196764000aacd94627226584000003000400000300c83c")
    assert cut_at_start(with_scaling) == (4, 6)
    assert cut_at_start(None) == cut_at_start(b"") == cut_at_start(b"\1" + bytes(40)) == (0, 0)
    for length in range(len(with_scaling)):
        assert cut_at_start(with_scaling[:length]) in ((0, 0), (4, 6))


def test_with_a_crop_of_ones_own_a_turn_and_a_shape(tmp_path: Path) -> None:
    """[input] crop cuts what is left; the turn comes last."""
    write_clap(tmp_path / "plain.mov", *APERTURE)
    turned = tmp_path / "turned.mov"
    ffmpeg("-display_rotation", "-90", "-i", tmp_path / "plain.mov", "-c", "copy", turned)
    if opened(turned).video.stated == Crop():
        with_atom(turned, struct.pack(">8i", *APERTURE))
    source = opened(turned, crop="2:4:6:8", sample_aspect="4:3")
    assert source.video.layout.crop == Crop(12, 8, 12, 20)
    assert (source.video.format.width, source.video.format.height) == (36, 72)
    assert source.video.format.sample_aspect == Fraction(3, 4)
    assert np.array_equal(luma(frames(source)), np.rot90(FILM[:, 8:44, 12:84], -1, (1, 2)))


def test_borders_are_looked_for_in_what_is_left(tmp_path: Path) -> None:
    film = pan(40, 96, 64)
    film[:, :, :8] = 235  # a bright edge, then a dark border
    film[:, :, 8:16] = 16
    path = tmp_path / "clip.mov"
    write_film(path, film, "25", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-qp", "0")
    with_atom(path, struct.pack(">8i", 88, 1, 64, 1, 4, 1, 0, 1))
    assert opened(path, crop="auto", stated_crop="ignore").video.layout.crop.left == 0
    assert opened(path, crop="auto").video.layout.crop.left == 16


def test_parts_of_chroma_samples_stay(tmp_path: Path) -> None:
    path = write_clap(tmp_path / "clip.mov", 91, 1, 59, 1, 1, 2, 1, 2)
    source = opened(path)
    assert source.video.stated == Crop(3, 3, 2, 2)
    assert source.video.layout.crop == Crop(2, 2, 2, 2)
    assert any("2:2:2:2 are cut off" in note for note in source.notes)


@pytest.mark.parametrize(
    "numbers",
    [
        (80, 0, 48, 1, 0, 1, 0, 1),
        (-80, 1, 48, 1, 0, 1, 0, 1),
        (80, 1, 48, 1, 50, 1, 0, 1),
        (97, 1, 48, 1, 0, 1, 0, 1),
        (0, 1, 0, 1, 0, 1, 0, 1),
        (80, 1, 48, 1, 2**31 - 1, 1, -(2**31), 1),
    ],
)
def test_an_aperture_that_cannot_be_is_none(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    assert opened(write_clap(tmp_path / "clip.mov", *numbers)).video.layout.crop == Crop()


def test_a_pixel_crop_that_leaves_nothing_is_none(tmp_path: Path) -> None:
    for crop in (Crop(48, 0, 48, 0), Crop(0, 1 << 40, 0, 0)):
        path = write_pixel_crop(tmp_path / "clip.mkv", crop)
        assert container_crop(path, "matroska,webm", 0, 1, (96, 64)) == Crop()


def test_broken_headers_are_survived(tmp_path: Path) -> None:
    """Whatever byte is wrong, and wherever the file ends."""
    clap = write_clap(tmp_path / "clip.mov", *APERTURE)
    crop = write_pixel_crop(tmp_path / "clip.mkv", Crop(8, 2, 4, 6))
    random = np.random.default_rng(0)
    for path, formats in ((clap, "mov,mp4,m4a"), (crop, "matroska,webm")):
        assert container_crop(path, formats, 0, 1, (96, 64))
        data = path.read_bytes()
        broken = tmp_path / "broken"
        for _ in range(300):
            changed = bytearray(data[: random.integers(1, len(data) + 1)])
            for at in random.integers(0, len(changed), 40):
                changed[at] = random.integers(0, 256)
            broken.write_bytes(changed)
            found = container_crop(broken, formats, 0, 1, (96, 64))
            assert found.left + found.right < 96 and found.top + found.bottom < 64
    deep = element(0x1A45DFA3, b"") + element(
        0x18538067, element(0x1654AE6B, element(TRACK, b"\0"))
    )
    (tmp_path / "deep").write_bytes(deep)
    assert container_crop(tmp_path / "deep", "matroska", 0, 1, (96, 64)) == Crop()


def test_what_a_stream_cuts_off_at_the_left_is_decoded_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card gives such pictures with their left side."""
    source = opened(make_clip(tmp_path / "clip.mkv", "-c:v", "libx264", "-pix_fmt", "yuv420p"))
    narrow = replace(source.video, chosen=None, format=replace(source.video.format, width=58))
    monkeypatch.setattr(card, "refusal", lambda number: None)
    monkeypatch.setattr(card, "accelerator", lambda number: None)
    monkeypatch.setattr(card, "TAKEN", {"yuv420p": "yuv420p"})
    assert choose_decoder(source, "cuda", False, 0).video.card == 0
    chosen = choose_decoder(replace(source, video=narrow), "cuda", False, 0)
    assert chosen.video.card is None
    assert "cards do not cut off what the stream says" in chosen.notes[-1]
