from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from media_clips import VFR, ffmpeg, ffmpeg_bytes, flip_bytes, frame_times, make_clip

from restore.io.decode import DecodeLog, decode
from restore.io.probe import InputOptions, probe
from restore.video import FrameBatch


def frames_of(path: Path, batch: int = 8, log: DecodeLog | None = None) -> FrameBatch:
    return FrameBatch.cat(list(decode(probe(path, InputOptions()), batch=batch, log=log)))


@pytest.mark.parametrize(
    "pixel_format",
    [
        "yuv420p",
        "yuv422p",
        "yuv444p",
        "yuv440p",
        "yuv411p",
        "yuv410p",
        "gray",
        "yuv420p10le",
        "yuv422p12le",
        "gray10le",
    ],
)
def test_codes_are_the_decoders(tmp_path: Path, pixel_format: str) -> None:
    """Odd sizes: strides differ from widths, and chroma sizes are rounded up."""
    options = ("-c:v", "ffv1", "-pix_fmt", pixel_format)
    clip = make_clip(tmp_path / "clip.nut", *options, size="75x53", seconds=0.2)
    frames = frames_of(clip)
    raw = ffmpeg_bytes("-i", clip, "-f", "rawvideo")
    kind = np.uint8 if frames.format.depth == 8 else np.uint16
    ours = b"".join(
        plane[n].numpy().tobytes() for n in range(len(frames)) for plane in frames.planes
    )
    assert frames.planes[0].dtype == (torch.uint8 if kind is np.uint8 else torch.uint16)
    assert len(frames) == 5
    assert ours == raw


def test_rgb_keeps_its_colours(tmp_path: Path) -> None:
    clip = tmp_path / "red.nut"
    red = "color=red:size=16x16:duration=0.1"
    ffmpeg("-f", "lavfi", "-i", red, "-c:v", "ffv1", "-pix_fmt", "bgr0", clip)
    codes = [int(plane[0, 0, 4, 4]) for plane in frames_of(clip).planes]
    red_601 = [65.481 + 16, 128 - 37.797, 240]  # BT.601, limited range
    assert codes == pytest.approx([256 * code for code in red_601], abs=256)


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_batch_size_changes_nothing_else(tmp_path: Path, batch: int) -> None:
    clip = make_clip(tmp_path / "clip.mpg", "-c:v", "mpeg1video", "-bf", "2", seconds=0.5)
    batches = list(decode(probe(clip, InputOptions()), batch=batch))
    whole = frames_of(clip)
    together = FrameBatch.cat(batches)
    assert all(len(b) == batch for b in batches[:-1])
    assert together.frames == whole.frames
    for ours, other in zip(together.planes, whole.planes, strict=True):
        assert torch.equal(ours, other)


def test_irregular_times_are_exact(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", *VFR, "-c:v", "libx264", "-bf", "3", seconds=2)
    frames = frames_of(clip)
    base = frames.format.time_base
    times = [info.pts * base for info in frames.frames]
    assert len({b - a for a, b in pairwise(times)}) > 1
    assert times == frame_times(clip)
    assert all(a.pts + a.duration == b.pts for a, b in pairwise(frames.frames))
    assert [info.index for info in frames.frames] == list(range(len(frames)))
    assert {info.picture_type for info in frames.frames} == {"I", "P", "B"}


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("clip.mpg", ("-c:v", "mpeg1video", "-bf", "2")),
        (
            "clip.rm",
            (
                "-c:v",
                "rv20",
            ),
        ),
        ("clip.avi", ("-c:v", "mpeg4", "-bf", "2")),
        ("clip.ts", ("-c:v", "libx264")),
    ],
)
def test_damage_is_survived_and_told(tmp_path: Path, name: str, encoder: tuple[str, ...]) -> None:
    clip = make_clip(tmp_path / name, *encoder, "-g", "10", size="160x112", seconds=2)
    broken = flip_bytes(clip, tmp_path / f"broken-{name}", first=3000, every=9001)
    log, again = DecodeLog(), DecodeLog()
    frames = frames_of(broken, log=log)
    assert len(frames) >= 35  # of 50
    assert all(a.pts < b.pts for a, b in pairwise(frames.frames))
    assert sum(log.counts.values()) > 0
    damaged = [info for info in frames.frames if info.damaged]
    assert len(damaged) == log.counts.get("damaged", 0)
    second = frames_of(broken, log=again)
    assert again == log
    assert all(torch.equal(a, b) for a, b in zip(frames.planes, second.planes, strict=True))


def test_sync_is_kept_across_damage(tmp_path: Path) -> None:
    """A frame that survives keeps its own time, whatever was lost before it."""
    clip = make_clip(tmp_path / "clip.avi", "-c:v", "mpeg4", "-g", "5", seconds=2)
    broken = flip_bytes(clip, tmp_path / "broken.avi", first=6000, every=9001)
    whole, damaged = frames_of(clip), frames_of(broken)
    by_time = {info.pts: n for n, info in enumerate(whole.frames)}
    tail = [(by_time[info.pts], n) for n, info in enumerate(damaged.frames) if info.pts in by_time]
    same = sum(torch.equal(whole.planes[0][a], damaged.planes[0][b]) for a, b in tail)
    assert same >= 15


def test_the_last_frames_of_a_cut_file_come_out(tmp_path: Path) -> None:
    """Frames held back for reordering are only given when the decoder is flushed."""
    clip = make_clip(tmp_path / "clip.ts", "-c:v", "libx264", "-bf", "3", "-g", "30", seconds=2)
    cut = tmp_path / "cut.ts"
    data = clip.read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3 // 188 * 188])
    assert [i.pts for i in frames_of(cut).frames] == [
        i.pts for i in frames_of(clip).frames[: len(frames_of(cut))]
    ]
    raw = ffmpeg_bytes(
        "-i", cut, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough"
    )
    assert len(frames_of(cut)) == len(raw) // (64 * 48 * 3 // 2)


def test_repaired_stamps_are_logged(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.ts", "-c:v", "mpeg2video", "-bf", "0", seconds=1)
    log = DecodeLog()
    frames = frames_of(clip, log=log)
    assert log.counts == {}
    assert log.frames == len(frames) == 25


# Real files ----------------------------------------------------------------------------------------


def test_real_rmvb(real: Callable[[str], Path]) -> None:
    log = DecodeLog()
    source = probe(real("rm/filestar_rv40_cook_gbk_vcd_352x288.rmvb"), InputOptions())
    assert source.metadata["title"] == "一生相随影视前线制作出品（WWW.44588.COM）"  # noqa: RUF001
    assert source.video.format.sample_aspect.as_integer_ratio() == (12, 11)
    infos = [info for b in decode(source, batch=32, log=log) for info in b.frames]
    assert len(infos) == 1368
    assert infos[-1].pts == 54760
    assert [i.pts for i in infos if i.damaged] == [240, 10840, 10920, 11000]
    steps = [b.pts - a.pts for a, b in pairwise(infos)]
    assert {s: steps.count(s) for s in set(steps)} == {40: 1365, 80: 2}
    assert log.counts == {"damaged": 4, "demux": 1}


def test_real_rv20_with_false_stamps(real: Callable[[str], Path]) -> None:
    log = DecodeLog()
    source = probe(real("rm/fate_rv20_G2_with_SVT_320x240_BW.rm"), InputOptions())
    infos = [info for b in decode(source, log=log) for info in b.frames]
    assert len(infos) == 144
    assert [i.pts for i in infos[:5]] == [1, 42, 83, 124, 165]
    assert {b.pts - a.pts for a, b in pairwise(infos)} == {41}
    assert log.counts == {"stamp": 143}


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("rm/fate_rv10_sipr5k0_160x112.rm", 77),
        ("rm/fate_rv20_sipr16k_128x96.rm", 42),
        ("rm/fate_rv30_cook_352x240.rm", 109),
        ("rm/iams_rv20_ac3_640x480_synthetic.rm", 60),
        ("odd_formats/mpeg1_es_320x240_25.mpg", 836),
        ("odd_formats/mpeg2_422_320x240_12fps.vob", 362),
        ("odd_formats/mpeg2_interlaced_fieldpics_pal_sar16-15.ts", 31),
        ("odd_formats/mpeg2_ts_352x288_interlaced_sar12-11.ts", 353),
        ("odd_formats/msmpeg4v1_352x240.avi", 50),
        ("odd_formats/sorenson_h263_flv_320x240.flv", 139),
        ("odd_formats/svcd_480x480_sar4-3_interlaced.mpg", 5),
        ("odd_formats/synthetic_vcd_ntsc_352x240_pd1906.dat", 60),
        ("odd_formats/wmv8_vfr_320x240.wmv", 474),
        ("odd_formats/xvid_packed_bframes_544x352.avi", 15),
        ("real_film/pd1906_market_street_480x368.mkv", 48),
        ("real_film/raywzy001_chinese_war_film_579x340.mkv", 24),
    ],
)
def test_real_files_decode_whole(real: Callable[[str], Path], name: str, frames: int) -> None:
    infos = [i for b in decode(probe(real(name), InputOptions()), batch=32) for i in b.frames]
    assert len(infos) == frames
    assert all(a.pts < b.pts for a, b in pairwise(infos))
