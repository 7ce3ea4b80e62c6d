from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from films import INTERLACED_MPEG2, LOSSLESS, luma, pan, psnr, write_film
from media_clips import ffmpeg, ffmpeg_bytes

from restore.io.decode import decode
from restore.io.filters import CYCLE, undo_fields
from restore.io.join import open_source
from restore.io.picture import Picture
from restore.io.pixels import from_planes, to_planes
from restore.io.probe import InputOptions
from restore.io.source import ScanPlan
from restore.video import Chroma, FrameBatch, FrameInfo, VideoFormat

AUTO = InputOptions()
TOP = "tinterlace=interleave_top"
RATE_24 = Fraction(24000, 1001)


def decoded(path: Path, options: InputOptions = AUTO) -> FrameBatch:
    source = open_source([path], options)
    frames = FrameBatch.cat(list(decode(source, quantisers=True)))
    assert frames.format == source.video.format
    return frames


def seconds(frames: FrameBatch) -> list[Fraction]:
    return [f.pts * frames.format.time_base for f in frames.frames]


# Telecine ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "gray", "yuv411p"])
def test_film_comes_back_whole(tmp_path: Path, pixel_format: str, first: str) -> None:
    film = pan(40)
    pulldown = f"format={pixel_format},telecine=pattern=23:first_field={first}"
    clip = write_film(tmp_path / "c.nut", film, "24000/1001", "-vf", pulldown, *LOSSLESS)
    frames = decoded(clip)
    times = seconds(frames)
    assert len(frames) == len(film) == 40
    assert [t - times[0] for t in times] == [n / RATE_24 for n in range(40)]
    assert [f.index for f in frames.frames] == list(range(40))
    assert all(a.pts + a.duration == b.pts for a, b in pairwise(frames.frames))
    shift = 2 if frames.format.depth == 10 else 0
    exact = [psnr(a.astype(np.int32) >> shift, b) for a, b in zip(luma(frames), film, strict=True)]
    # The last frames of a file may have lost a field.
    assert min(exact[:-2]) > 50


def test_compressed_film_comes_back(tmp_path: Path) -> None:
    pulldown = ("-vf", "format=yuv420p,telecine=pattern=23")
    film = pan(40)
    clip = write_film(tmp_path / "c.ts", film, "24000/1001", *pulldown, *INTERLACED_MPEG2)
    frames = decoded(clip)
    assert len(frames) == 40
    assert min(psnr(a, b) for a, b in zip(luma(frames), film, strict=True)) > 33
    assert {f.picture_type for f in frames.frames} >= {"I", "P"}
    assert sum(q is not None for q in frames.quant) >= 38


def test_shifted_fields_are_put_together(tmp_path: Path) -> None:
    film = pan(40)
    shift = ("-vf", "format=yuv420p,phase=mode=b,setfield=tff")
    frames = decoded(write_film(tmp_path / "c.nut", film, "25", *shift, *LOSSLESS))
    assert len(frames) == 40
    best = [max(psnr(a, b) for b in film) for a in luma(frames)]
    assert min(best[1:-1]) > 50


FMT = VideoFormat(64, 48, None, 8, Fraction(1, 1000))


def pictures(numbers: list[int], pts: list[int]) -> list[Picture]:
    """Frames of a pan by number, at `pts` milliseconds."""
    film = pan(max(numbers) + 1, 64, 48)
    ends = [*pts[1:], 2 * pts[-1] - pts[-2]]
    return [
        Picture(from_planes([film[n]], FMT, "gray"), FrameInfo(k, at, end - at))
        for k, (n, at, end) in enumerate(zip(numbers, pts, ends, strict=True))
    ]


DECIMATE = ScanPlan(telecine="decimate")


def thinned(numbers: list[int], pts: list[int]) -> list[tuple[int, int]]:
    """(pts in quarter milliseconds, duration) of what remains."""
    kept = list(undo_fields(pictures(numbers, pts), DECIMATE, FMT, "gray"))
    return [(p.info.pts, p.info.duration) for p in kept]


def test_four_frames_share_the_time_of_five() -> None:
    even = [40 * n for n in range(CYCLE)]
    assert thinned([0, 1, 1, 2, 3], even) == [(200 * n, 200) for n in range(4)]
    assert thinned([0, 0, 1, 2, 3], even) == [(200 * n, 200) for n in range(4)]


def test_video_within_film_keeps_every_frame() -> None:
    assert thinned(list(range(10)), [40 * n for n in range(10)]) == [
        (160 * n, 160) for n in range(10)
    ]


def test_where_the_rate_varies_each_frame_keeps_its_time() -> None:
    """The dropped frame's time goes to its predecessor."""
    assert thinned([0, 1, 1, 2, 3], [0, 40, 100, 180, 200]) == [
        (0, 160),
        (160, 560),
        (720, 80),
        (800, 80),
    ]


def test_one_frame_is_kept() -> None:
    assert [t for t, _ in thinned([0, 1], [0, 40])] == [0, 160]


# Deinterlacing -------------------------------------------------------------------------------------


def woven_clip(path: Path, pixel_format: str = "yuv420p", *more: str) -> Path:
    filters = f"format={pixel_format},{TOP},setfield=tff"
    return write_film(path, pan(60), "50", "-vf", filters, *more, *LOSSLESS)


@pytest.mark.parametrize("method", ["bwdif", "w3fdif"])
@pytest.mark.parametrize("rate", ["frame", "field"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuv410p"])
def test_the_same_as_ffmpeg(tmp_path: Path, pixel_format: str, rate: str, method: str) -> None:
    clip = woven_clip(tmp_path / "clip.nut", pixel_format)
    frames = decoded(clip, InputOptions(deinterlace=method, deinterlace_rate=rate))
    mode = rate if method == "w3fdif" else f"send_{rate}"
    filters = ("-vf", f"{method}=mode={mode}:parity=tff:deint=all", "-fps_mode", "passthrough")
    raw = ffmpeg_bytes("-i", clip, *filters, "-f", "rawvideo")
    ours = b"".join(p[n].numpy().tobytes() for n in range(len(frames)) for p in frames.planes)
    assert len(frames) == (60 if rate == "field" else 30)
    assert len(ours) == len(raw)
    kind = np.uint16 if frames.format.depth > 8 else np.uint8
    differs = np.frombuffer(ours, kind) != np.frombuffer(raw, kind)
    # Versions of bwdif differ at the edges of the picture, and where there is no frame before or after.
    assert np.mean(differs) < (0.02 if method == "bwdif" else 1e-9)


@pytest.mark.parametrize("depth", [8, 10])
def test_grey_is_as_the_luma_of_colour(depth: int) -> None:
    """No filter takes grey of every depth."""
    film = pan(12, 64, 48).astype(np.uint16 if depth > 8 else np.uint8) << (depth - 8)
    plan = ScanPlan(deinterlace="bwdif")
    suffix = "" if depth == 8 else "10le"
    results = []
    for chroma, name in ((None, f"gray{suffix}"), (Chroma.C420, f"yuv420p{suffix}")):
        fmt = replace(FMT, chroma=chroma, depth=depth)
        blank = [np.full((24, 32), 1 << (depth - 1), film.dtype)] * (2 if chroma else 0)
        given = (
            Picture(from_planes([picture, *blank], fmt, name), FrameInfo(n, 40 * n, 40))
            for n, picture in enumerate(film)
        )
        made = list(undo_fields(given, plan, fmt, name))
        assert {p.frame.format.name for p in made} == {name}
        results.append([to_planes(p.frame, fmt, name)[0].copy() for p in made])
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], film)


def test_full_range_stays(tmp_path: Path) -> None:
    """yuvj420p is no format of every filter: nothing may be converted on the way."""
    encoder = ("-c:v", "libx264", "-qp", "0")
    clips = []
    for name, range_ in (("full", "pc"), ("limited", "tv")):
        filters = ("-vf", f"format=yuv420p,{TOP},setparams=range={range_}")
        clip = write_film(tmp_path / f"{name}.mkv", pan(60), "50", *filters, *encoder)
        clips.append(decoded(clip, InputOptions(deinterlace="bwdif")))
    full, limited = clips
    assert open_source([tmp_path / "full.mkv"], AUTO).video.pixel_format == "yuvj420p"
    assert full.format.color.full_range
    assert np.array_equal(luma(full), luma(limited))


def test_a_frame_of_each_field_shows_its_time(tmp_path: Path) -> None:
    film = pan(60)
    frames = decoded(woven_clip(tmp_path / "clip.nut"), InputOptions(deinterlace_rate="field"))
    assert len(frames) == 60
    assert seconds(frames) == [Fraction(n, 50) for n in range(60)]
    assert {f.duration * frames.format.time_base for f in frames.frames} == {Fraction(1, 50)}
    inner = slice(4, -4)
    errors = [psnr(a[inner], b[inner]) for a, b in zip(luma(frames), film, strict=True)]
    assert min(errors) > 32
    wrong = decoded(
        tmp_path / "clip.nut", InputOptions(deinterlace_rate="field", field_order="bff")
    )
    assert np.mean([psnr(a, b) for a, b in zip(luma(wrong), film, strict=True)]) < 32


def test_irregular_times_stay(tmp_path: Path) -> None:
    clip = woven_clip(tmp_path / "clip.mkv")
    vfr = tmp_path / "vfr.mkv"
    times = ("-bsf:v", "setts=pts=N*40+5*mod(N\\,3):dts=N*40+5*mod(N\\,3)")
    ffmpeg("-v", "error", "-i", clip, "-c", "copy", *times, vfr)
    frames = decoded(vfr)
    assert open_source([vfr], AUTO).video.layout.scan.deinterlace == "bwdif"
    assert [round(t * 1000) for t in seconds(frames)] == [40 * n + 5 * (n % 3) for n in range(30)]
    by_field = decoded(vfr, InputOptions(deinterlace_rate="field"))
    assert seconds(by_field)[::2] == seconds(frames)
    assert [f.duration for f in by_field.frames[::2]] == [f.duration for f in by_field.frames[1::2]]


def test_type_and_quantisers_are_the_decoded_frames(tmp_path: Path) -> None:
    filters = ("-vf", f"format=yuv420p,{TOP},setfield=tff")
    clip = write_film(tmp_path / "clip.ts", pan(40), "50", *filters, *INTERLACED_MPEG2)
    off = decoded(clip, InputOptions(deinterlace="off"))
    on = decoded(clip, InputOptions(deinterlace="bwdif", deinterlace_rate="field"))
    assert [f.picture_type for f in on.frames[::2]] == [f.picture_type for f in off.frames]
    assert [f.picture_type for f in on.frames[1::2]] == [f.picture_type for f in off.frames]
    for plain, made in zip(off.quant, on.quant[1::2], strict=True):
        assert (plain is None) == (made is None)
        assert plain is None or made is None or bool((plain.steps == made.steps).all())


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_clips_lose_nothing(tmp_path: Path, frames: int) -> None:
    clip = write_film(tmp_path / "clip.nut", pan(frames), "25", *LOSSLESS)
    for rate, per_frame in (("frame", 1), ("field", 2)):
        options = InputOptions(deinterlace="bwdif", deinterlace_rate=rate)
        assert len(decoded(clip, options)) == per_frame * frames
    assert len(decoded(clip, InputOptions(telecine="on"))) == frames
