from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.codec.context import CodecContext
from media_clips import PAL, frame_times, make_batch, make_format, stream_lines

from restore.errors import OutputError
from restore.io.decode import decode
from restore.io.encode import OutputOptions, SegmentEncoder, check_output, encoded_format
from restore.io.encoder import KNOWN, configure, open_encoder
from restore.io.formats import conversions, encoder_pixel_format
from restore.io.pixels import from_planes, to_planes
from restore.io.probe import InputOptions, probe
from restore.video import Chroma, FrameBatch, VideoFormat

FAST = {
    "libx264": "ultrafast",
    "libx265": "ultrafast",
    "libsvtav1": "12",
    "libvpx-vp9": "ultrafast",
    "ffv1": "medium",
    "prores_ks": "medium",
    "mpeg2video": "medium",
}
PTS = [7000, 7040, 7080, 7160, 7200, 7233, 7300, 7340]


def written(path: Path, fmt: VideoFormat, options: OutputOptions) -> VideoFormat:
    target = encoded_format(options, fmt)
    batch = make_batch(target, PTS)
    with SegmentEncoder(path, target, options) as encoder:
        encoder.write(batch[:3])
        encoder.write(batch[3:])
    return target


@pytest.mark.parametrize("codec", list(FAST))
def test_times_are_exact_and_bytes_repeat(tmp_path: Path, codec: str) -> None:
    options = OutputOptions(codec=codec, preset=FAST[codec])
    for name in ("a.nut", "b.nut"):
        written(tmp_path / name, make_format(), options)
    assert frame_times(tmp_path / "a.nut") == [Fraction(p - PTS[0], 1000) for p in PTS]
    assert (tmp_path / "a.nut").read_bytes() == (tmp_path / "b.nut").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nut", "b.nut"]


@pytest.mark.parametrize("codec", sorted(FAST))
def test_frames_may_last_a_tick_of_any_length(tmp_path: Path, codec: str) -> None:
    """Theora and VP8 count frames: their clock ticks once each."""
    options = OutputOptions(codec=codec, preset=FAST[codec])
    fmt = encoded_format(options, make_format(time_base=Fraction(1, 12)))
    path = tmp_path / "a.nut"
    with SegmentEncoder(path, fmt, options) as encoder:
        encoder.write(make_batch(fmt, range(6)))
    assert frame_times(path) == [Fraction(n, 12) for n in range(6)]


@pytest.mark.parametrize("base", [Fraction(1001, 30000), Fraction(1, 90000), Fraction(1, 1200000)])
def test_any_time_base_is_kept(tmp_path: Path, base: Fraction) -> None:
    fmt = make_format(time_base=base)
    options = OutputOptions(preset="medium")  # B frames
    ticks = [5, 6, 8, 9, 10, 13, 14, 15]
    with SegmentEncoder(tmp_path / "a.nut", fmt, options) as encoder:
        encoder.write(make_batch(fmt, ticks))
    assert frame_times(tmp_path / "a.nut") == [(t - 5) * base for t in ticks]


@pytest.mark.parametrize(
    ("codec", "tags"),
    [
        ("libx264", "yuv420p(tv, bt470bg/bt470bg/smpte170m, center), 64x48 [SAR 12:11 DAR 16:11]"),
        ("libx265", "yuv420p(tv, bt470bg/bt470bg/smpte170m, center), 64x48 [SAR 12:11 DAR 16:11]"),
        ("libsvtav1", "yuv420p(tv, bt470bg/bt470bg/smpte170m), 64x48"),
    ],
)
def test_the_bitstream_states_its_colours(tmp_path: Path, codec: str, tags: str) -> None:
    written(tmp_path / "a.nut", make_format(), OutputOptions(codec=codec, preset=FAST[codec]))
    assert tags in stream_lines(tmp_path / "a.nut")[0]


def test_full_range_is_stated(tmp_path: Path) -> None:
    fmt = replace(make_format(), color=replace(PAL, full_range=True))
    written(tmp_path / "a.nut", fmt, OutputOptions(preset="ultrafast"))
    assert "yuvj420p(pc, bt470bg/bt470bg/smpte170m, center)" in stream_lines(tmp_path / "a.nut")[0]


@pytest.mark.parametrize(
    ("chroma", "depth", "size"),
    [
        (Chroma.C420, 8, (64, 48)),
        (Chroma.C420, 8, (65, 47)),
        (Chroma.C422, 10, (64, 48)),
        (Chroma.C444, 12, (31, 33)),
        (Chroma.C411, 8, (64, 48)),
    ],
)
def test_lossless_gives_the_same_codes_back(
    tmp_path: Path, chroma: Chroma, depth: int, size: tuple[int, int]
) -> None:
    fmt = make_format(*size, chroma, depth)
    target = written(tmp_path / "a.nut", fmt, OutputOptions(codec="ffv1"))
    assert (target.chroma, target.depth) == (chroma, depth)
    back = FrameBatch.cat(list(decode(probe(tmp_path / "a.nut", InputOptions()))))
    for ours, theirs in zip(make_batch(fmt, PTS).planes, back.planes, strict=True):
        assert torch.equal(ours, theirs)


def test_grey_stays_grey_where_nothing_may_be_lost(tmp_path: Path) -> None:
    grey = make_format(chroma=None)
    assert encoded_format(OutputOptions(), grey).chroma is Chroma.C420
    target = written(tmp_path / "a.nut", grey, OutputOptions(codec="ffv1"))
    assert target.chroma is None
    back = FrameBatch.cat(list(decode(probe(tmp_path / "a.nut", InputOptions()))))
    assert torch.equal(back.planes[0], make_batch(grey, PTS).planes[0])


def test_odd_sizes_go_to_full_chroma_where_they_must(tmp_path: Path) -> None:
    target = written(tmp_path / "a.nut", make_format(65, 47), OutputOptions(preset="ultrafast"))
    assert target.chroma is Chroma.C444
    assert "65x47" in stream_lines(tmp_path / "a.nut")[0]
    for codec in ("ffv1", "libsvtav1"):
        kept = encoded_format(OutputOptions(codec=codec), make_format(65, 47))
        assert kept.chroma is Chroma.C420


@pytest.mark.parametrize(
    ("codec", "depth", "expected"),
    [("libx264", 8, 8), ("libx264", 12, 10), ("libx265", 12, 12), ("libsvtav1", 12, 10)],
)
def test_depth_is_the_nearest_that_is_taken(codec: str, depth: int, expected: int) -> None:
    assert encoded_format(OutputOptions(codec=codec), make_format(depth=depth)).depth == expected


def test_ten_bits_on_request(tmp_path: Path) -> None:
    options = OutputOptions(pixel_format="yuv420p10le", preset="ultrafast")
    assert written(tmp_path / "a.nut", make_format(), options).depth == 10
    assert "yuv420p10le(" in stream_lines(tmp_path / "a.nut")[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("libx264", 18, "medium")),
        ({"codec": "libx265"}, ("libx265", 20, "medium")),
        ({"codec": "libsvtav1"}, ("libsvtav1", 24, "medium")),
        ({"codec": "libx265", "crf": 15}, ("libx265", 15, "medium")),
        ({"use": "preview"}, ("libx264", 23, "veryfast")),
        ({"use": "preview", "preset": "slow", "crf": 30}, ("libx264", 30, "slow")),
        ({"use": "archive"}, ("ffv1", 18, "medium")),
        ({"use": "archive", "codec": "libx265"}, ("libx265", 20, "medium")),
    ],
)
def test_what_is_set_wins_over_what_the_use_sets(
    given: dict[str, str | int], expected: tuple[str, float, str]
) -> None:
    options = OutputOptions.model_validate(given)
    assert (options.codec, options.crf, options.preset) == expected


@pytest.mark.parametrize(
    ("use", "processed", "depth", "expected"),
    [
        ("delivery", True, 8, 8),
        ("archive", False, 8, 8),
        ("archive", True, 8, 10),
        ("archive", True, 12, 12),
        ("preview", True, 12, 8),
    ],
)
def test_depth_follows_the_use(use: str, processed: bool, depth: int, expected: int) -> None:
    options = OutputOptions.model_validate({"use": use})
    assert encoded_format(options, make_format(depth=depth), processed).depth == expected


def test_an_archive_of_few_colours_gets_room_for_its_bits() -> None:
    options = OutputOptions(use="archive")
    quarter = make_format(chroma=Chroma.C410)
    as_it_is = encoded_format(options, quarter)
    assert (as_it_is.chroma, as_it_is.depth) == (Chroma.C410, 8)
    restored = encoded_format(options, quarter, processed=True)
    assert (restored.chroma, restored.depth) == (Chroma.C420, 10)


def test_nvenc_gets_its_own_words_and_planes() -> None:
    """No card is asked: what it would be told, and in which planes."""
    options = OutputOptions(codec="hevc_nvenc", preset="slower", crf=21)
    target = encoded_format(options, make_format(depth=10))
    assert encoder_pixel_format("hevc_nvenc", target) == "p010le"
    context = CodecContext.create("hevc_nvenc", "w")
    configure(context, options, target)
    told = {key: context.options[key] for key in ("preset", "rc", "cq", "b")}
    assert told == {"preset": "p6", "rc": "vbr", "cq": "21", "b": "0"}


@pytest.mark.parametrize("codec", ["libx264", "libx264rgb"])
@pytest.mark.parametrize("given", [{}, {"x264-params": "keyint=10:bframes=0"}])
def test_the_last_word_on_x264_is_ours(codec: str, given: dict[str, str]) -> None:
    options = OutputOptions(codec=codec, options=given)
    context = CodecContext.create(codec, "w")
    configure(context, options, encoded_format(options, make_format()))
    params = context.options["x264-params"].split(":")
    assert params == [*filter(None, given.get("x264-params", "").split(":")), "cpu-independent=1"]


def test_p010_holds_the_codes_in_the_upper_bits() -> None:
    fmt = make_format(depth=10)
    codes = [plane[0, 0].numpy() for plane in make_batch(fmt, [0]).planes]
    back = from_planes(codes, fmt, "p010le").reformat(format="yuv420p10le")
    for ours, theirs in zip(codes, to_planes(back, fmt, "yuv420p10le"), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("options", "fmt", "expected"),
    [
        (OutputOptions(), make_format(), []),
        (OutputOptions(), make_format(chroma=None), ["grey is written with neutral chroma, 4:2:0"]),
        (OutputOptions(), make_format(chroma=Chroma.C411), ["chroma 4:1:1 is written as 4:2:0"]),
        (
            OutputOptions(),
            make_format(chroma=Chroma.C444),
            [
                'chroma 4:4:4 is written as 4:2:0; pixel_format = "yuv444p" keeps it, few players show it'
            ],
        ),
        (OutputOptions(pixel_format="yuv444p"), make_format(chroma=Chroma.C444), []),
        (OutputOptions(), make_format(depth=12), ["12-bit samples are dithered to 10 bits"]),
        (
            OutputOptions(),
            replace(make_format(chroma=Chroma.C444, depth=16), rgb_depth=8),
            [
                'R, G, B is written as Y, Cb, Cr 4:2:0 of 8 bits; codec = "ffv1" keeps it',
            ],
        ),
        (
            OutputOptions(codec="prores_ks"),
            replace(make_format(chroma=Chroma.C422), color=replace(PAL, full_range=True)),
            ["full range is written as limited range: prores_ks can say no other"],
        ),
    ],
)
def test_what_the_encoder_changes_is_said(
    options: OutputOptions, fmt: VideoFormat, expected: list[str]
) -> None:
    assert conversions(options, fmt, encoded_format(options, fmt)) == expected


def test_free_options_reach_the_encoder(tmp_path: Path) -> None:
    sizes = {}
    for crf in ("10", "40"):
        options = OutputOptions(preset="ultrafast", options={"crf": crf})
        written(tmp_path / crf, make_format(), options)
        sizes[crf] = (tmp_path / crf).stat().st_size
    assert sizes["10"] > 2 * sizes["40"]


# What can go wrong ---------------------------------------------------------------------------------


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    fmt = make_format()
    with (
        pytest.raises(RuntimeError, match="stage"),
        SegmentEncoder(tmp_path / "a.nut", fmt, OutputOptions()) as encoder,
    ):
        encoder.write(make_batch(fmt, PTS))
        raise RuntimeError("stage")
    assert list(tmp_path.iterdir()) == []


def test_a_segment_without_frames_is_refused(tmp_path: Path) -> None:
    encoder = SegmentEncoder(tmp_path / "a.nut", make_format(), OutputOptions())
    with pytest.raises(OutputError, match="a segment without frames cannot be written"):
        encoder.close()


def test_codes_of_another_depth_are_refused(tmp_path: Path) -> None:
    encoder = SegmentEncoder(tmp_path / "a.nut", make_format(), OutputOptions())
    with pytest.raises(ValueError, match="expected 8-bit codes of 64x48 C420, got 10-bit"):
        encoder.write(make_batch(make_format(depth=10), PTS))


def test_time_that_stands_still_is_refused(tmp_path: Path) -> None:
    fmt = make_format()
    with SegmentEncoder(tmp_path / "a.nut", fmt, OutputOptions()) as encoder:
        encoder.write(make_batch(fmt, [0, 40]))
        with pytest.raises(ValueError, match="frame 2: pts 40 after 40"):
            encoder.write(make_batch(fmt, [40], first=2))


FMT = make_format()


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        (OutputOptions(), "out.mkv", []),
        (OutputOptions(codec="libx265"), "out.mp4", []),
        (OutputOptions(codec="libsvtav1", preset="8"), "OUT.MP4", []),
        (
            OutputOptions(),
            "out.wmv",
            [
                "out.wmv: expected a name that ends in .mkv, .mp4, .mov, .webm, .avi, .ts, got '.wmv'"
            ],
        ),
        (
            OutputOptions(codec="libx2644"),
            "out.mkv",
            ["codec: expected a video encoder, got 'libx2644'; did you mean 'libx264'?"],
        ),
        (
            OutputOptions(codec="flac"),
            "out.mkv",
            [
                "codec: expected a video encoder, got 'flac'; "
                "known: av1_nvenc, ffv1, h264_nvenc, hevc_nvenc, libsvtav1, libvpx-vp9, libx264, "
                "libx265, prores_ks"
            ],
        ),
        (
            OutputOptions(codec="ffv1"),
            "out.mov",
            [
                "codec: mov cannot hold ffv1: 'mov' format does not support 'ffv1' codec; "
                "try libx264, libx265, prores_ks, or an .mkv file"
            ],
        ),
        (
            OutputOptions(preset="mediun", pixel_format="yuv420", options={"tun": "grain"}),
            "out.mkv",
            [
                "preset: expected a preset, got 'mediun'; did you mean 'medium'?",
                "options.tun: expected an option of libx264 that shapes the picture and does nothing else, got 'tun'; "
                "did you mean 'tune'?",
                "pixel_format: libx264 cannot encode 'yuv420'; did you mean 'yuv420p'?",
            ],
        ),
    ],
)
def test_problems_are_found_before_the_render(
    options: OutputOptions, name: str, expected: list[str]
) -> None:
    assert check_output(options, FMT, Path(name)) == expected


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("mkv", {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"}),
        ("mp4", {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1"}),
        ("mov", {"libx264", "libx265", "prores_ks"}),
        ("webm", {"libsvtav1", "libvpx-vp9"}),
        ("ts", {"libx264", "libx265"}),
        ("avi", {"libx264"}),  # AV1 only where samples are square
    ],
)
def test_the_containers_hold_what_the_documents_say(ending: str, expected: set[str]) -> None:
    able = {
        codec
        for codec in KNOWN
        if not check_output(
            OutputOptions(codec=codec, preset="ultrafast"), FMT, Path(f"out.{ending}")
        )
    }
    assert {codec for codec in able if "nvenc" not in codec} == expected


def test_odd_sizes_in_an_explicit_format_are_a_problem() -> None:
    odd = make_format(65, 47)
    assert check_output(OutputOptions(pixel_format="yuv420p"), odd, Path("out.mkv")) == [
        "pixel_format: yuv420p needs even sizes with libx264, got 65x47; "
        'try "auto" (4:4:4 for this size) or codec = "libsvtav1"'
    ]


def test_a_value_the_encoder_refuses_is_found() -> None:
    (problem,) = check_output(OutputOptions(options={"profile": "grian"}), FMT, Path("out.mkv"))
    assert problem.startswith("libx264 refuses 64x48 yuv420p with preset 'medium'")


def test_x264_makes_one_slice_a_frame_on_several_threads() -> None:
    """Threads over slices, PyAV's default, would cost a fourth of the speed and some of the quality."""
    fmt = make_format(160, 128)
    encoder = open_encoder(OutputOptions(preset="veryfast"), encoded_format(OutputOptions(), fmt))
    data = b""
    for n in range(4):
        frame = av.VideoFrame(160, 128, "yuv420p")
        frame.pts, frame.time_base = 40 * n, fmt.time_base
        data += b"".join(bytes(p) for p in encoder.encode(frame))
    data += b"".join(bytes(p) for p in encoder.encode(None))
    slices = [
        kind for kind in re.findall(rb"\x00\x00\x01(.)", data, re.DOTALL) if kind[0] & 31 in (1, 5)
    ]
    assert len(slices) == 4


@pytest.mark.parametrize(
    ("size", "told"),
    [
        *(((256, 16), True), ((7, 1024), True), ((4096, 24), True)),
        *(((64, 7), False), ((256, 32), False), ((32, 1024), False)),
    ],
)
def test_an_encoder_that_would_never_end_is_refused(size: tuple[int, int], told: bool) -> None:
    problems = check_output(
        OutputOptions(codec="libsvtav1", preset="ultrafast"), make_format(*size), Path("out.mkv")
    )
    assert any("never ends" in problem for problem in problems) == told
    # Where it is not refused, three pictures of the size come out.
    if not told:
        encoder = CodecContext.create("libsvtav1", "w")
        assert problems == []
        configure(encoder, OutputOptions(codec="libsvtav1", preset="ultrafast"), make_format(*size))
        packets = 0
        for number in range(3):
            frame = av.VideoFrame(*size, encoder.pix_fmt)
            frame.pts = number * 40
            packets += len(encoder.encode(frame))
        assert packets + len(encoder.encode(None)) == 3
