"""Frames that last for minutes or days, and the rooms that containers have for times."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from media_clips import frame_times, make_batch, make_format, stream_lines

from restore.errors import OutputError
from restore.io.containers import quicktime_tick
from restore.io.encode import OutputOptions, SegmentEncoder
from restore.io.mux import join
from restore.io.probe import InputOptions, probe
from restore.io.segments import SegmentClock
from restore.io.streams import plan_streams
from restore.io.verify import verify
from restore.video import VideoFormat

MS = Fraction(1, 1000)
DAY = 86_400_000
X264 = OutputOptions(codec="libx264", preset="ultrafast", options={"bf": "2"})


def segment(folder: Path, times: Sequence[int], base: Fraction, options: OutputOptions) -> Path:
    """One of frames at `times`, in ticks of `base`."""
    fmt = make_format(time_base=base)
    path = folder / "0.nut"
    with SegmentEncoder(path, fmt, options) as encoder:
        encoder.write(make_batch(fmt, times))
    return path


def written(
    folder: Path, name: str, times: Sequence[int], base: Fraction, options: OutputOptions = X264
) -> list[Fraction]:
    """Seconds of the frames of a file made of them, verified and read by FFmpeg."""
    path = segment(folder, times, base, options)
    fmt: VideoFormat = make_format(time_base=base)
    source = probe(path, InputOptions())
    plan = plan_streams(source, Path(name).suffix[1:], "drop")
    join([path], source, plan, folder / name, fmt)
    verify(folder / name, [t * base * 1000 for t in times], fmt, source, plan)
    return frame_times(folder / name)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov", "out.ts", "out.avi"])
@pytest.mark.parametrize(
    ("times", "base"),
    [
        ([n * 1_200_000 for n in range(6)], MS),
        ([n * 3_000 for n in range(6)], MS),
        ([0, 40, 80, 3_000_000, 3_000_040, 6_600_000], MS),
        ([n * 1_200_000_000 for n in range(4)], Fraction(1, 1_000_000)),
        ([n * 100_000_000_000 for n in range(4)], Fraction(1, 1_000_000_000)),
        ([0], MS),
    ],
    ids=["20 minutes", "3 seconds", "mixed", "microseconds", "nanoseconds", "one frame"],
)
def test_long_frames_keep_their_times(
    tmp_path: Path, name: str, times: list[int], base: Fraction
) -> None:
    options = X264
    if name.endswith("avi"):
        options = X264.model_copy(update={"options": {"bf": "0"}})
    found = written(tmp_path, name, times, base, options)
    assert [round(t - found[0], 6) for t in found] == [t * base for t in times]


def test_a_month_a_frame(tmp_path: Path) -> None:
    """Every block has a time of its own."""
    times = [n * 30 * DAY for n in range(3)]
    assert written(tmp_path, "out.mkv", times, MS) == [t * MS for t in times]
    assert "1k fps" not in stream_lines(tmp_path / "out.mkv")[0]


def test_what_has_no_room_is_told(tmp_path: Path) -> None:
    """Each frame is cut to twelve hours, and still they are too long together."""
    message = "mpegts begins to count again after 95444 s.* try an .mkv file"
    with pytest.raises(OutputError, match=message):
        written(tmp_path, "out.ts", [n * 30 * DAY for n in range(5)], MS)


def test_the_first_decode_times_lie_closely_before_the_first_frame(tmp_path: Path) -> None:
    """A transport stream has no room for minutes before 0."""
    path = segment(tmp_path, [n * 1_200_000 for n in range(6)], MS, X264)
    clock = SegmentClock([path], make_format())
    assert clock.pts != array("q", sorted(clock.pts))
    assert -100 <= clock.dts[0] < 0
    assert all(d <= p for d, p in zip(clock.dts, clock.pts, strict=True))
    assert list(clock.dts) == sorted(set(clock.dts))


def test_the_tick_of_quicktime() -> None:
    micro, short = Fraction(1, 1_000_000), [Fraction(n, 25) for n in range(5)]
    assert quicktime_tick(short, Fraction(1, 25), micro) == micro
    long = [Fraction(2400 * n) for n in range(3)]
    assert quicktime_tick(long, Fraction(4800), micro) == Fraction(1, 90_000)
    assert quicktime_tick(long, Fraction(10**6), micro) is None
    # Two frames a microsecond apart cannot be told apart in longer ticks.
    assert quicktime_tick([Fraction(0), micro], Fraction(4800), micro) is None
