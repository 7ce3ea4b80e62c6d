"""Sample aspect ratios: held exactly, or refused before the work."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media_clips import make_batch, make_format

from restore.io.encode import OutputOptions, SegmentEncoder, check_output, encoded_format
from restore.io.matroska import display_size
from restore.io.mux import join
from restore.io.probe import InputOptions, probe
from restore.io.streams import plan_streams
from restore.io.verify import verify

ODD = [Fraction(28, 45), Fraction(10007, 10009), Fraction(64, 33), Fraction(1, 7)]


@pytest.mark.parametrize("aspect", ODD, ids=str)
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.mkv", "ffv1"),
        ("out.webm", "libvpx-vp9"),
        ("out.mp4", "libx264"),
        ("out.mov", "prores_ks"),
        ("out.ts", "libx264"),
    ],
)
def test_it_is_held_exactly(tmp_path: Path, name: str, codec: str, aspect: Fraction) -> None:
    fmt = replace(make_format(30, 22), sample_aspect=aspect)
    options = OutputOptions(codec=codec, preset="ultrafast")
    assert check_output(options, fmt, tmp_path / name) == []
    fmt = encoded_format(options, fmt)
    batch = make_batch(fmt, [0, 40, 80])
    with SegmentEncoder(tmp_path / "0", fmt, options) as encoder:
        encoder.write(batch)
    source = probe(tmp_path / "0", InputOptions())
    plan = plan_streams(source, Path(name).suffix[1:], "drop")
    join([tmp_path / "0"], source, plan, tmp_path / name, fmt)
    verify(tmp_path / name, [0, 40, 80], fmt, source, plan)
    with av.open(str(tmp_path / name)) as file:
        found = file.streams.video[0].sample_aspect_ratio
    if name == "out.ts":  # H.264's own header has 16 bits a side, of which FFmpeg's encoder uses 12
        assert found is not None and fmt.same_shape(found)
    else:
        assert found == aspect


def test_what_mpeg2_cannot_say_is_refused_before_the_work(tmp_path: Path) -> None:
    """It knows square samples and pictures of 4:3, 16:9 and 2.21:1."""
    options = OutputOptions(codec="mpeg2video")
    fmt = make_format(720, 576)
    for aspect in (Fraction(16, 15), Fraction(64, 45), Fraction(1)):
        known = replace(fmt, sample_aspect=aspect)
        assert check_output(options, known, tmp_path / "out.mkv") == []
        assert check_output(options, known, tmp_path / "out.ts") == []
    other = replace(fmt, sample_aspect=Fraction(28, 45))
    (problem,) = check_output(options, other, tmp_path / "out.ts")
    assert "no room for the sample aspect ratio 28/45 (it comes back as 1;" in problem
    assert "square_pixels" in problem and "libx264" in problem


def test_a_display_size_too_large_is_refused_before_the_work(tmp_path: Path) -> None:
    fmt = replace(make_format(16381, 7), sample_aspect=Fraction(2**31 - 1, 2**31 - 19))
    (problem,) = check_output(OutputOptions(codec="ffv1"), fmt, tmp_path / "out.mkv")
    assert "Matroska cannot hold" in problem and "square_pixels" in problem


@pytest.mark.parametrize(
    ("size", "aspect", "shown"),
    [
        ((720, 576), "16/15", (768, 576)),
        ((720, 480), "8/9", (720, 540)),
        ((64, 48), "1", (64, 48)),
        ((15, 7), "28/45", (16, 12)),
        ((352, 288), "12/11", (384, 288)),
        ((720, 576), "12/11", (795, 583)),
    ],
)
def test_the_display_size_has_exactly_the_shape(
    size: tuple[int, int], aspect: str, shown: tuple[int, int]
) -> None:
    assert display_size(*size, Fraction(aspect)) == shown
    assert Fraction(*shown) == Fraction(*size) * Fraction(aspect)
