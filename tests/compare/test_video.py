"""A comparison, read back: pictures that belong together, at the right times, with the first one's sound."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import ffmpeg
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from restore.color import ColorInfo, Matrix, Primaries, Siting, Transfer
from restore.compare.video import Compared, Comparison, compare
from restore.errors import InputError, OutputError
from restore.io.decode import decode
from restore.io.encode import OutputOptions, SegmentEncoder, encoded_format
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.panels.view import View
from restore.video import Chroma, FrameBatch, FrameInfo, VideoFormat

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
COLOR = ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, False, Siting.LEFT)
VFR = [0, 40, 80, 133, 143, 190, 260, 300, 341, 400, 420, 500]
"""Milliseconds."""
LOSSLESS = OutputOptions(codec="ffv1")
PLAIN = View(labels=None)


def write(
    path: Path, times: Sequence[int], size: tuple[int, int] = (64, 48), slow: int = 1
) -> Path:
    """A lossless video whose frame at t ms has luma 20 + t / 4 / slow: the picture says its time."""
    base = VideoFormat(*size, Chroma.C420, 8, Fraction(1, 1000), COLOR)
    fmt = encoded_format(LOSSLESS, base)
    segment = path.with_suffix(".nut")
    with SegmentEncoder(segment, fmt, LOSSLESS) as encoder:
        for number, time in enumerate(times):
            planes = tuple(
                torch.full((1, 1, h, w), 128 if n else 20 + time // 4 // slow, dtype=torch.uint8)
                for n, (h, w) in enumerate(fmt.plane_shapes())
            )
            encoder.write(FrameBatch(planes, (FrameInfo(number, time, 1),), fmt))
    with av.open(str(segment)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts = packet.dts = (packet.pts or 0) + round(
                    times[0] / (1000 * packet.time_base)
                )
                new.mux(packet)
    segment.unlink()
    return path


def made(a: Path, b: Path, output: Path, **settings: object) -> Compared:
    job = Comparison(a, b, output, PLAIN, LOSSLESS, **settings)  # type: ignore[arg-type]
    return compare(job, lambda _: None, lambda _: None)


def shown(path: Path) -> list[tuple[int, int, int]]:
    """(ms of the frame, ms that its left half says, ms that its right half says)."""
    source = open_source([path], InputOptions())
    found = []
    for batch in decode(source):
        for n, info in enumerate(batch.frames):
            luma = batch.planes[0][n, 0].numpy()
            left, right = np.split(luma, 2, axis=1)
            assert left.min() == left.max()
            assert right.min() == right.max()
            time = info.pts * batch.format.time_base * 1000
            found.append((round(time), 4 * (int(left[0, 0]) - 20), 4 * (int(right[0, 0]) - 20)))
    return found


def test_a_variable_rate_with_a_frame_missing_is_matched_to_the_millisecond(tmp_path: Path) -> None:
    """Both ways, and at twice the size: every picture stands beside the one of its own time."""
    times = [4 * (t // 4) for t in VFR]
    for lost in (0, 4, 7, len(times) - 1):
        rest = times[:lost] + times[lost + 1 :]
        a = write(tmp_path / "a.mkv", times)
        b = write(tmp_path / "b.mkv", rest, (128, 96))
        # Black is 16, which says a time before 0.
        before = 4 * (16 - 20) if lost == 0 else times[lost - 1]
        result = made(a, b, tmp_path / f"ab{lost}.mkv")
        assert shown(result.output) == [(t, t, before if t == times[lost] else t) for t in times]
        assert (result.pairs, result.only_a, result.only_b) == (len(rest), 1, 0)
        assert result.largest_gap_ms == 0
        if lost == 0:  # A's clock begins with its first frame
            continue
        result = made(b, a, tmp_path / f"ba{lost}.mkv")
        assert shown(result.output) == [(t, before if t == times[lost] else t, t) for t in times]
        assert (result.pairs, result.only_a, result.only_b) == (len(rest), 0, 1)


def test_a_part_is_compared_where_it_lies(tmp_path: Path) -> None:
    times = list(range(0, 480, 40))
    a = write(tmp_path / "a.mkv", times)
    b = write(tmp_path / "b.mkv", [t - 120 for t in times if 120 <= t < 360])
    found = shown(made(a, b, tmp_path / "out.mkv", offset=Fraction(12, 100)).output)
    # The part's own pictures say the time from its start, and nothing else is shown.
    assert found == [(t, t + 120, t) for t in range(0, 240, 40)]


def test_what_only_one_shows_is_left_out_beyond_a_second(tmp_path: Path) -> None:
    a = write(tmp_path / "a.mkv", range(0, 4000, 400), slow=4)
    b = write(tmp_path / "b.mkv", [0, 400], slow=4)
    result = made(a, b, tmp_path / "out.mkv")
    # B's last frame lies at 0.4 s, so A is shown until 1.4 s.
    assert [time for time, _, _ in shown(result.output)] == [0, 400, 800, 1200]
    assert (result.pairs, result.only_a) == (2, 2)


def test_start_and_end_choose_a_part(tmp_path: Path) -> None:
    a = write(tmp_path / "a.mkv", range(0, 400, 40))
    result = made(a, a_copy(a), tmp_path / "out.mkv", start=Fraction(1, 10), end=Fraction(3, 10))
    assert shown(result.output) == [(t - 100, t, t) for t in (120, 160, 200, 240, 280)]


def a_copy(path: Path) -> Path:
    other = path.with_name("copy.mkv")
    other.write_bytes(path.read_bytes())
    return other


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm", "out.avi", "out.mov", "out.ts"])
def test_any_container_holds_it_with_the_sound(name: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mpg"
    picture = ffmpeg.input("testsrc2=size=64x48:rate=25:duration=0.4", f="lavfi")
    sound = ffmpeg.input("sine=frequency=440:duration=0.4", f="lavfi")
    options = {"vcodec": "mpeg1video", "acodec": "mp2", "qscale:v": 3}
    ffmpeg.output(picture, sound, str(clip), **options).run(cmd=FFMPEG, quiet=True)
    codec = "libvpx-vp9" if name == "out.webm" else "libx264"
    options = OutputOptions(use="preview", codec=codec, preset="ultrafast")
    job = Comparison(clip, clip, tmp_path / name, View(mode="grid"), options)
    notes: list[str] = []
    result = compare(job, notes.append, lambda _: None)
    assert (result.frames, result.pairs) == (10, 10)
    with av.open(str(tmp_path / name)) as file:
        assert len(file.streams.audio) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["clip.mpg", name])


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    a = write(tmp_path / "a.mkv", VFR)
    job = Comparison(a, a, tmp_path / "one.mp4")
    for output in (tmp_path / "one.mp4", tmp_path / "two.mp4"):
        compare(replace(job, output=output), lambda _: None, lambda _: None)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def mistakes(folder: Path, clip: Path) -> dict[str, tuple[Callable[[Comparison], Comparison], str]]:
    (folder / "there.mp4").write_bytes(b"precious")
    return {
        "there": (lambda j: replace(j, output=folder / "there.mp4"), "--overwrite"),
        "an input": (lambda j: replace(j, output=clip), "one of the two inputs"),
        "no folder": (lambda j: replace(j, output=folder / "no" / "out.mp4"), "folder that exists"),
        "container": (
            lambda j: replace(j, output=folder / "out.xyz"),
            r"^out\.xyz: expected a name",
        ),
        "codec": (
            lambda j: replace(j, options=OutputOptions(codec="libx24")),
            "did you mean 'libx264'",
        ),
        "nothing": (lambda j: replace(j, start=Fraction(100)), "time range"),
        "order": (lambda j: replace(j, start=Fraction(2), end=Fraction(1)), "after --start"),
    }


@pytest.mark.parametrize(
    "name", ["there", "an input", "no folder", "container", "codec", "nothing", "order"]
)
def test_a_mistake_is_said_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mkv", [0, 40, 80])
    change, expected = mistakes(tmp_path, clip)[name]
    before = {p: p.read_bytes() for p in tmp_path.rglob("*")}
    job = Comparison(clip, clip, tmp_path / "out.mp4")
    with pytest.raises((OutputError, InputError), match=expected):
        compare(change(job), lambda _: None, lambda _: None)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*")} == before
