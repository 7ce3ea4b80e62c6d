"""What a pipeline file may hand to an encoder, and what becomes of everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.codec.context import CodecContext
from media_clips import make_batch, make_format

from restore.errors import OutputError
from restore.io.applied import not_applied
from restore.io.encode import OutputOptions, SegmentEncoder, check_output, encoded_format
from restore.io.encoder import KNOWN, open_encoder
from restore.io.shaping import PARAMS, Rule, allowed_options, problems_of

FMT = make_format()
QUIET = {"libx265": "log-level=none:pools=1:frame-threads=1:", "libsvtav1": "lp=1:"}

HOSTILE = [
    ("libx264", {"stats": "evil"}),
    ("libx264", {"passlogfile": "evil"}),
    ("libx264", {"flags": "+pass1"}),
    ("libx264", {"flags": "+cgop+pass1"}),
    ("libx264", {"flags": "pass1"}),
    ("libx264", {"x264opts": "stats=evil:pass=1"}),
    ("libx264", {"x264-params": "stats=evil:pass=1"}),
    ("libx264", {"x264-params": "pass=1"}),
    ("libx264", {"x264-params": "dump-yuv=evil"}),
    ("libx264", {"x264-params": "dump_yuv=evil"}),
    ("libx264", {"x264-params": "keyint=10:dump-yuv=evil"}),
    ("libx264", {"x264-params": "keyint=10\\:dump-yuv=evil"}),
    ("libx264", {"x264-params": "'keyint=10:dump-yuv=evil'"}),
    ("libx264", {"x264-params": "keyint='10:dump-yuv=evil'"}),
    ("libx264", {"x264-params": "keyint=10 :dump-yuv=evil"}),
    ("libx264", {"x264-params": "keyint=10\n:dump-yuv=evil"}),
    ("libx264", {"x264-params": "zones=0,9,dump-yuv=evil"}),
    ("libx264", {"x264-params": "qpfile=evil"}),
    ("libx264", {"x264-params": "cqmfile=evil"}),
    ("libx264", {"x264-params": "cpu-independent=0"}),
    ("libx264", {"x264-params": "threads=1"}),
    ("libx264", {"x264-params": "non-deterministic=1"}),
    ("libx264", {"X264-PARAMS": "dump-yuv=evil"}),
    ("libx264", {"x264-params ": "dump-yuv=evil"}),
    ("libx264", {"x265-params": "csv=evil"}),
    ("libx264", {"threads": "7"}),
    ("libx264", {"rc_override_count": "1"}),
    ("libx264", {"stats_in": "evil"}),
    ("libx264", {"dump_separator": "evil"}),
    ("libx264", {"debug": "+pict"}),
    ("libx264", {"vstats": "evil"}),
    ("libx264", {"crf": "'10'"}),
    ("libx264", {"crf": '"10"'}),
    ("libx264", {"crf": "99"}),
    ("libx264", {"deblock": "0:0:stats=evil"}),
    ("libx264", {"psy-rd": "1.0:stats=evil"}),
    ("libx264", {"partitions": "all:stats=evil"}),
    ("libx264", {"level": "4:stats=evil"}),
    ("libx264", {"x264-params": ""}),
    ("libx264", {"": "1"}),
    ("libx264rgb", {"x264-params": "dump-yuv=evil"}),
    ("libx265", {"x265-params": "csv=evil:csv-log-level=2"}),
    ("libx265", {"x265-params": "analysis-save=evil:analysis-reuse-level=5"}),
    ("libx265", {"x265-params": "recon=evil"}),
    ("libx265", {"x265-params": "stats=evil:pass=1"}),
    ("libx265", {"x265-stats": "evil"}),
    ("libx265", {"flags": "+pass1"}),
    ("libx265", {"x265-params": "log-level=full"}),
    ("libx265", {"x265-params": "pools=1"}),
    ("libx265", {"x265-params": "frame-threads=4"}),
    ("libsvtav1", {"svtav1-params": "stats=evil:pass=1"}),
    ("libsvtav1", {"svtav1-params": "recon=evil"}),
    ("libsvtav1", {"svtav1-params": "lp=1"}),
    ("libsvtav1", {"flags": "+pass1"}),
    ("libvpx-vp9", {"deadline": "realtime"}),
    ("libvpx-vp9", {"row-mt": "0"}),
    ("libvpx-vp9", {"ts-parameters": "ts_number_layers=2"}),
    ("ffv1", {"flags": "+pass1"}),
    ("prores_ks", {"vendor": "evil"}),
    ("mpeg2video", {"flags": "+pass1"}),
    ("mpeg4", {"rc_eq": "evil"}),
    ("mpeg4", {"flags": "+output_corrupt"}),
    ("snow", {"flags": "+pass1"}),
    ("ffvhuff", {"non_deterministic": "1"}),
    ("h264_nvenc", {"gpu": "1"}),
    ("hevc_nvenc", {"x265-params": "csv=evil"}),
]


@pytest.mark.parametrize(("codec", "given"), HOSTILE)
def test_what_does_more_than_shape_the_picture_is_refused(
    codec: str, given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its address, by every check, and by the encoder's own opening, whoever asks; nothing is written."""
    monkeypatch.chdir(tmp_path)
    options = OutputOptions(codec=codec, options=given)
    problems = check_output(options, FMT, Path("out.mkv"))
    assert any(p.startswith("options") and "expected" in p for p in problems)
    plain = encoded_format(OutputOptions(codec=codec), FMT)
    with pytest.raises(OutputError, match="options"):
        open_encoder(options, plain)
    segment = SegmentEncoder(tmp_path / "a.nut", plain, options)
    with pytest.raises(OutputError, match="options"):
        segment.write(make_batch(plain, [0, 40]))
    segment.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"tun": "grain"},
            "options.tun: expected an option of libx264 that shapes the picture and does nothing else, got 'tun'; "
            "did you mean 'tune'?",
        ),
        (
            {"x264-params": "keyinth=10"},
            "options.x264-params: expected a key of x264-params that shapes the picture and does nothing else, "
            "got 'keyinth'; did you mean 'keyint'?",
        ),
        (
            {"x264-params": "keyint='10'"},
            "options.x264-params: keyint: expected a whole number from 1 to 10000 or one of infinite, got \"'10'\"",
        ),
        (
            {"x264-params": "keyint"},
            "options.x264-params: expected key=value:key=value without quotes or spaces, got 'keyint'",
        ),
        (
            {"x264-params": "ref=4:ref=5"},
            "options.x264-params: ref: given twice; leave one out",
        ),
        ({"b": "1M/s"}, "options.b: expected a number or a name, without quotes, got '1M/s'"),
        (
            {"x264-params": "vbv-maxrate=1000"},
            "options: libx264 says: VBV maxrate specified, but no bufsize, ignored; change or leave out",
        ),
    ],
)
def test_the_message_says_where_and_what(given: dict[str, str], expected: str) -> None:
    assert check_output(OutputOptions(options=given), FMT, Path("out.mkv")) == [expected]


@pytest.mark.parametrize(
    ("codec", "given"),
    [
        (
            "libx264",
            {"tune": "grain", "flags": "+cgop+loop", "psy-rd": "0.8:0.1", "deblock": "-1:-1"},
        ),
        ("libx264", {"x264-params": "keyint=50:deblock=-2,-2:partitions=p8x8,i4x4:me=umh:ref=6"}),
        ("libx264", {"b": "800k", "maxrate": "1M", "bufsize": "2M"}),
        ("libx265", {"x265-params": "sao=0:psy-rd=1.5", "tune": "grain"}),
        ("libsvtav1", {"svtav1-params": "tune=0:film-grain=8"}),
        ("libvpx-vp9", {"tune": "ssim", "lag-in-frames": "16", "b": "1M"}),
        ("ffv1", {"context": "1", "coder": "range_def"}),
        ("mpeg2video", {"intra_dc_precision": "2", "bf": "0"}),
        ("prores_ks", {"profile": "lt"}),
    ],
)
def test_what_shapes_the_picture_is_taken(codec: str, given: dict[str, str]) -> None:
    options = OutputOptions(codec=codec, preset="ultrafast", options=given)
    name = "out.mov" if codec == "prores_ks" else "out.mkv"
    assert check_output(options, FMT, Path(name)) == []


def said(codec: str, options: dict[str, str]) -> list[str]:
    """What FFmpeg says of an encoder's options as it opens."""
    context = CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = 128, 96, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.thread_count = 1
    context.options = options
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as logs:
            context.open()
    finally:
        av.logging.set_level(level)
    return [text for _, _, text in logs if re.search("rror pars|nknown|nvalid", text)]


def some(rule: Rule) -> Iterator[str]:
    """A value or two that it takes, not the encoder's own in most cases."""
    yield from sorted(rule.words)[-1:]
    if rule.high >= rule.low:
        yield f"{rule.low + (rule.high - rule.low) // 3:g}"


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_every_key_listed_is_one_of_the_library(codec: str) -> None:
    """An unlisted one is complained of, so that silence means something."""
    option, keys = PARAMS[codec]
    quiet = QUIET.get(codec, "")
    fast = {"preset": "13" if codec == "libsvtav1" else "ultrafast"}
    assert said(codec, {option: f"{quiet}nosuch=1"})
    alone = {"strict-cbr", "rc-lookahead", "bframes"}  # refused without another
    found = [
        (key, value)
        for key, rule in keys.items()
        for value in some(rule)
        if key not in alone and said(codec, fast | {option: f"{quiet}{key}={value}"})
    ]
    assert found == []


@pytest.mark.parametrize(
    ("codec", "given", "taken"),
    [
        ("libx264", {"x264-params": "subme=11:me=umh"}, ["subme: expected that libx264 takes 11, it takes 9"]),
        ("libx264", {"subq": "11"}, ["subq: expected that libx264 takes 11, it takes 9"]),
        ("libx264", {"x264-params": "subme=11:trellis=2:me=umh:ref=4"}, []),
        ("libx264", {"x264-params": "min-keyint=200"}, ["min-keyint: expected that libx264 takes 200, it takes 126"]),
        ("libx264", {"x264-params": "me=tesa:psy-rd=0.8,0.2:qcomp=0.55:keyint=infinite"}, []),
        (
            "libx265",
            {"x265-params": "psy-rdoq=9:sao=0"},
            ["psy-rdoq: expected that libx265 takes 9, it takes 0.00"],
        ),
        ("libx265", {"x265-params": "tskip=1:rd=2"}, ["tskip: expected that libx265 takes 1, it takes 0"]),
        ("libx265", {"x265-params": "tskip=0:sao=0:amp=0:psy-rd=1.25:rd=3:deblock=-1,-1:me=star"}, []),
    ],
)  # fmt: skip
def test_what_was_applied_is_read_back(codec: str, given: dict[str, str], taken: list[str]) -> None:
    options = OutputOptions(codec=codec, options=given)
    problems = not_applied(options, encoded_format(options, FMT))
    assert [p.split(": with the")[0].split("-params: ")[-1] for p in problems] == [
        t if "-params" in "".join(given) else f"options.{t}" for t in taken
    ]
    assert all(p in check_output(options, FMT, Path("out.mkv")) for p in problems)


def test_flags_of_ours_stay() -> None:
    """The constant quantiser of mpeg2video is one of them."""
    options = OutputOptions(codec="mpeg2video", options={"flags": "+loop"})
    sizes = {}
    for name, asked in {"with": options, "without": OutputOptions(codec="mpeg2video")}.items():
        encoder = open_encoder(asked, encoded_format(asked, FMT))
        sizes[name] = encoder.options
    assert sizes["with"] == sizes["without"] == {}


def test_nobody_takes_the_name_of_a_file() -> None:
    """Not one option allowed by name alone may hold a path."""
    for codec in (*KNOWN, "libx264rgb", "mpeg2video", "mpeg4", "libvpx", "snow", "jpeg2000"):
        for key in allowed_options(codec):
            assert problems_of(codec, {key: "/tmp/evil"}), (codec, key)
            assert problems_of(codec, {key: "../evil"}), (codec, key)
