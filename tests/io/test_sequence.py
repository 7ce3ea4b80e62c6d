"""Numbered images as a video: which files, how many, at what times, which codes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_clips import ffmpeg, ffmpeg_bytes

from restore.errors import InputError
from restore.io.decode import DecodeLog, decode
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.source import Source
from restore.video import FrameBatch

AUTO = InputOptions()

KINDS = {
    "tif-gray16le": "tiff",
    "tif-rgb48le": "tiff",
    "tif-rgb24": "tiff",
    "dpx-gbrp10be": "dpx",
    "dpx-rgb48be": "dpx",
    "png-rgb24": "png",
    "png-gray": "png",
    "png-rgb48be": "png",
    "png-gray16be": "png",
    "bmp-bgr24": "bmp",
    "jpg-yuvj444p": "mjpeg",
}


def make_images(folder: Path, suffix: str, pixel_format: str, codec: str, count: int = 5) -> Path:
    """scan_0007 and on; returns the pattern."""
    pattern = folder / f"scan_%04d.{suffix}"
    picture = f"testsrc2=size=64x48:rate=24:duration={count / 24},format=gbrp16le"
    encoder = ["-pix_fmt", pixel_format, "-c:v", codec, "-start_number", "7"]
    ffmpeg("-v", "error", "-f", "lavfi", "-i", picture, *encoder, pattern)
    return pattern


def whole(source: Source, log: DecodeLog | None = None) -> FrameBatch:
    return FrameBatch.cat(list(decode(source, log=log)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_is_a_frame_and_its_codes_are_kept(kind: str, tmp_path: Path) -> None:
    suffix, pixel_format = kind.split("-")
    pattern = make_images(tmp_path, suffix, pixel_format, KINDS[kind])
    source = open_source([pattern], AUTO)
    log = DecodeLog()
    video = whole(source, log)
    assert not log.events
    fmt = source.video.format
    assert [f.pts * fmt.time_base for f in video.frames] == [Fraction(n, 24) for n in range(5)]
    assert {f.duration * fmt.time_base for f in video.frames} == {Fraction(1, 24)}
    read = ["-start_number", "7", "-framerate", "24", "-i", pattern, "-f", "rawvideo"]
    if fmt.chroma is None:
        name, dtype = ("gray16le", np.uint16) if fmt.depth == 16 else ("gray", np.uint8)
        truth = np.frombuffer(ffmpeg_bytes(*read, "-pix_fmt", name), dtype)
        assert fmt.color.full_range
        assert np.array_equal(video.planes[0].numpy().reshape(-1), truth)
        return
    depth = fmt.rgb_depth or 8
    name, dtype = ("gbrp", np.uint8) if depth == 8 else (f"gbrp{depth}le", np.uint16)
    raw = np.frombuffer(ffmpeg_bytes(*read, "-pix_fmt", name), dtype)
    truth = raw.reshape(5, 3, 48, 64)[:, [2, 0, 1]].astype(float)  # from G, B, R
    rgb = np.rint(to_rgb(video) * ((1 << depth) - 1))
    # Of JPEG, which is Y, Cb, Cr, libswscale makes R, G, B with errors of its own.
    assert np.abs(rgb - truth).max() <= (3 if suffix == "jpg" else 0)


def to_rgb(video: FrameBatch) -> np.ndarray:
    """(n, 3, h, w) in 0..1, by the matrix of BT.601 that a small picture is taken to have."""
    fmt = video.format
    y, cb, cr = (p.numpy().astype(float)[:, 0] for p in video.planes)
    unit = 1 << (fmt.depth - 8)
    if fmt.color.full_range:
        top = (1 << fmt.depth) - 1
        y, cb, cr = y / top, (cb - 128 * unit) / top, (cr - 128 * unit) / top
    else:
        y, cb, cr = (
            (y - 16 * unit) / (219 * unit),
            (cb - 128 * unit) / (224 * unit),
            (cr - 128 * unit) / (224 * unit),
        )
    r, b = y + 1.402 * cr, y + 1.772 * cb
    return np.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], axis=1).clip(0, 1)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of twelve grey images, numbers without leading zeros, beside a text."""
    folder = tmp_path / "scans"
    folder.mkdir()
    picture = "testsrc2=size=64x48:rate=24:duration=0.5,format=gray"
    ffmpeg("-v", "error", "-f", "lavfi", "-i", picture, folder / "s%d.png")
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_a_folder_a_glob_a_pattern_and_a_list_are_the_same(scans: Path) -> None:
    ordered = tuple(scans / f"s{n}.png" for n in range(1, 13))
    as_a_shell = sorted(ordered)
    for inputs in ([scans], [scans / "*.png"], [scans / "s%d.png"], as_a_shell):
        source = open_source(inputs, AUTO)
        assert source.parts[0].files == ordered
    assert any("24 frames/s; [input] frame_rate overrides" in n for n in source.notes)
    assert open_source([scans / "s[1-3].png"], AUTO).parts[0].files == ordered[:3]
    one = open_source([scans / "s1.png"], AUTO)
    assert one.parts[0].files == ordered[:1]
    assert f"11 more images of its set lie beside it: give {scans} as INPUT" in one.notes


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ("16", Fraction(16)),
        ("24000/1001", Fraction(24000, 1001)),
        ("23.976", Fraction(24000, 1001)),
    ],
)
def test_the_frame_rate_can_be_said(said: str, rate: Fraction, scans: Path) -> None:
    source = open_source([scans], InputOptions(frame_rate=said))
    video = whole(source)
    times = [f.pts * source.video.format.time_base for f in video.frames]
    assert times == [n / rate for n in range(12)]


def test_missing_numbers_are_named_or_repeated(scans: Path) -> None:
    (scans / "s4.png").unlink()
    (scans / "s9.png").unlink()
    with pytest.raises(
        InputError, match=r"from 1 to 12, 2 are missing: 4, 9; try \[input\] missing"
    ):
        open_source([scans], AUTO)
    source = open_source([scans], InputOptions(missing="repeat"))
    assert "2 images are missing: 4, 9; the one before is shown instead" in source.notes
    video = whole(source)
    assert len(video) == 12
    luma = video.planes[0].numpy()
    for at, number in ((3, 3), (8, 8)):
        assert source.parts[0].files[at] == scans / f"s{number}.png"
        assert np.array_equal(luma[at], luma[at - 1])
        assert not np.array_equal(luma[at], luma[at + 1])


def test_only_the_first_ten_holes_are_named(scans: Path) -> None:
    (scans / "s12.png").rename(scans / "s30.png")
    with pytest.raises(InputError, match=r"18 are missing: 12, .*, 20, 21, \.\.\.;"):
        open_source([scans], AUTO)
    with pytest.raises(InputError, match="18 are missing"):
        open_source([scans], InputOptions(missing="repeat"))


def test_what_is_no_sequence_is_said(scans: Path, tmp_path: Path) -> None:
    (scans / "other_001.png").write_bytes((scans / "s1.png").read_bytes())
    with pytest.raises(InputError, match=r"found 2: other_#.png \(1\), s#.png \(12\)"):
        open_source([scans], AUTO)
    with pytest.raises(InputError, match="no file has such a name"):
        open_source([scans / "t%04d.png"], AUTO)
    with pytest.raises(InputError, match=r"expected images .*found notes\.txt"):
        open_source([scans / "*.txt"], AUTO)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"expected numbered images in it .*found none"):
        open_source([tmp_path / "empty"], AUTO)
    (tmp_path / "empty" / "a.exr").touch()
    with pytest.raises(InputError, match=r"found only \.exr"):
        open_source([tmp_path / "empty"], AUTO)
    (tmp_path / "empty" / "a.png").touch()
    with pytest.raises(
        InputError, match=r"expected a number in the name of each image, found a\.png"
    ):
        open_source([tmp_path / "empty"], AUTO)


def test_a_broken_image_is_named_and_its_time_stays_empty(scans: Path) -> None:
    (scans / "s5.png").write_bytes(b"\x89PNG" + bytes(100))
    (scans / "s6.png").write_text("no image at all")
    log = DecodeLog()
    video = whole(open_source([scans], AUTO), log)
    assert [f.pts for f in video.frames] == [0, 1, 2, 3, *range(6, 12)]
    assert video.frames[3].duration == 3
    assert [(e.kind, e.text.split(":")[0]) for e in log.events] == [
        ("packet", "s5.png"),
        ("packet", "s6.png"),
    ]


def test_film_densities_are_said(tmp_path: Path) -> None:
    pattern = make_images(tmp_path, "dpx", "gbrp10be", "dpx", count=2)
    assert not any("logarithmic" in n for n in open_source([pattern], AUTO).notes)
    first = tmp_path / "scan_0007.dpx"
    data = bytearray(first.read_bytes())
    data[801] = 1  # SMPTE 268M, table 5A: printing density
    first.write_bytes(data)
    assert any("logarithmic" in n for n in open_source([pattern], AUTO).notes)


def test_sequences_join(scans: Path, tmp_path: Path) -> None:
    other = tmp_path / "reel2"
    other.mkdir()
    for n in range(3):
        (other / f"{n}.png").write_bytes((scans / f"s{n + 1}.png").read_bytes())
    video = whole(open_source([scans, other], AUTO))
    assert [f.pts for f in video.frames] == list(range(15))


def test_a_bare_stream_takes_the_frame_rate_and_others_keep_their_times(tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.4"]
    bare, mkv = tmp_path / "a.m2v", tmp_path / "a.mkv"
    ffmpeg("-v", "error", *picture, "-c:v", "mpeg2video", "-bf", "2", bare)
    ffmpeg("-v", "error", *picture, "-c:v", "mpeg4", mkv)
    options = InputOptions(frame_rate="18")
    source = open_source([bare], options)
    times = [f.pts * source.video.format.time_base for f in whole(source).frames]
    assert times == [Fraction(n, 18) for n in range(10)]
    assert any("25 frames/s as its header says" in n for n in open_source([bare], AUTO).notes)
    source = open_source([mkv], options)
    times = [f.pts * source.video.format.time_base for f in whole(source).frames]
    assert times == [Fraction(n, 25) for n in range(10)]
    assert any("not needed" in n for n in source.notes)


def test_a_bare_stream_of_steady_frames_has_the_headers_rate(tmp_path: Path) -> None:
    """FFmpeg's demuxer starts the picture one frame before the others where there are B-frames."""
    picture = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=30000/1001:duration=0.4"]
    bare = tmp_path / "a.m1v"
    ffmpeg("-v", "error", *picture, "-c:v", "mpeg1video", "-bf", "2", bare)
    source = open_source([bare], AUTO)
    times = [f.pts * source.video.format.time_base for f in whole(source).frames]
    assert times == [Fraction(n * 1001, 30000) for n in range(12)]
