"""Broken files: every frame that can be had, at its own time, and sound that stays with it."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from media_clips import ffmpeg, make_sounding_clip

from restore.errors import InputError
from restore.io.decode import DecodeLog, decode
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.sound import SoundCount, sound_of
from restore.io.source import Source
from restore.video import FrameInfo

AUTO = InputOptions()
CLIPS = {
    "mpg": ("-c:v", "mpeg1video", "-bf", "2", "-c:a", "mp2"),
    "avi": ("-c:v", "mpeg4", "-bf", "0", "-c:a", "mp2"),
    "rm": ("-c:v", "rv20", "-c:a", "ac3"),
    "mkv": ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "mp2"),
    "ts": ("-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        name: make_sounding_clip(
            folder / f"whole.{name}", *options, "-g", "10", size="64x48", seconds=2
        )
        for name, options in CLIPS.items()
    }


def frames_of(source: Source, log: DecodeLog | None = None) -> list[FrameInfo]:
    return [f for batch in decode(source, log=log) for f in batch.frames]


def sound_span(source: Source) -> tuple[Fraction | None, Fraction]:
    """Seconds at which the sound begins, and how long it lasts."""
    rate, total, start = source.audio[0].rate, 0, None
    if not rate:  # too little of it is left to know
        return None, Fraction(0)
    for at, samples in sound_of(source, source.audio[0].index, SoundCount()):
        start = at if start is None else start
        total += len(samples)
    return start, Fraction(total, rate)


def check(path: Path, whole: Path) -> int:
    """Frames that could be had; nothing raised but a clear refusal, and every frame in its place."""
    try:
        source = open_source((path,), AUTO)
        log = DecodeLog()
        infos = frames_of(source, log)
    except InputError as error:
        assert str(path) in str(error)
        return 0
    assert log.frames == len(infos)
    assert [f.index for f in infos] == list(range(len(infos)))
    assert all(a.pts + a.duration == b.pts and a.duration > 0 for a, b in pairwise(infos))
    if source.audio:
        sound_span(source)
    return len(infos)


@pytest.mark.parametrize("name", list(CLIPS))
def test_cut_anywhere(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    """At 25 places: what comes out is the beginning of what the whole file gives, sound included."""
    data = clips[name].read_bytes()
    source = open_source((clips[name],), AUTO)
    wanted, (start, _) = frames_of(source), sound_span(source)
    found = []
    for k in range(1, 26):
        cut = tmp_path / f"cut.{name}"
        cut.write_bytes(data[: len(data) * k // 26])
        found.append(check(cut, clips[name]))
        if found[-1] < 3:
            continue
        part = open_source((cut,), AUTO)
        infos = frames_of(part)
        # The last frames may be repaired or broken; those before are what they were.
        assert [f.pts for f in infos[:-2]] == [f.pts for f in wanted[: len(infos) - 2]]
        if part.audio and (begin := sound_span(part)[0]) is not None:
            assert start is not None
            assert abs(begin - start) <= Fraction(1, 1000)
    assert found[-1] >= 40
    assert sum(n > 0 for n in found) >= 20
    assert all(b >= a - 2 for a, b in pairwise(found))


@pytest.mark.parametrize("name", list(CLIPS))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_percent_of_the_packets_broken(
    clips: dict[str, Path], tmp_path: Path, name: str, seed: int
) -> None:
    """Bytes inverted inside packets of picture and sound: the frames that are left keep their times, and the sound
    ends where it did."""
    data, rng = bytearray(clips[name].read_bytes()), random.Random(seed)
    with av.open(str(clips[name])) as file:
        spots = [(p.pos, p.size) for p in file.demux() if p.size > 40 and p.pos is not None]
    for at, size in rng.sample(spots[4:], max(2, len(spots) // 50)):
        for _ in range(3):
            data[min(at + rng.randrange(size // 3, size), len(data) - 1)] ^= rng.randrange(1, 256)
    broken = tmp_path / f"broken.{name}"
    broken.write_bytes(data)
    assert check(broken, clips[name]) >= 40  # of 50
    before, after = (open_source((p,), AUTO) for p in (clips[name], broken))
    truth = {f.pts for f in frames_of(before)}
    infos = frames_of(after)
    assert sum(f.pts in truth for f in infos) >= len(infos) - 3
    spacing = Fraction(1, 25)
    assert abs(infos[-1].pts - max(truth)) * after.video.format.time_base <= 2 * spacing
    (a, long), (b, found) = sound_span(before), sound_span(after)
    assert a is not None
    assert b is not None
    assert abs((a + long) - (b + found)) <= spacing


@pytest.mark.parametrize("name", ["mpg", "ts", "rm"])
def test_garbage_between_packets(clips: dict[str, Path], tmp_path: Path, name: str) -> None:
    data, rng = clips[name].read_bytes(), random.Random(7)
    with av.open(str(clips[name])) as file:
        spots = sorted({p.pos for p in file.demux() if p.pos and p.pos > 4000})
    at = spots[len(spots) // 2] if name != "ts" else spots[len(spots) // 2] // 188 * 188
    dirty = tmp_path / f"dirty.{name}"
    dirty.write_bytes(data[:at] + bytes(rng.randrange(256) for _ in range(3000)) + data[at:])
    assert check(dirty, clips[name]) >= 35
    before, after = (open_source((p,), AUTO) for p in (clips[name], dirty))
    assert frames_of(after)[-1].pts == frames_of(before)[-1].pts
    (a, long), (b, found) = sound_span(before), sound_span(after)
    assert a == b
    assert abs(long - found) <= Fraction(1, 25)


def test_an_avi_without_its_index(clips: dict[str, Path], tmp_path: Path) -> None:
    data = clips["avi"].read_bytes()
    bare = tmp_path / "bare.avi"
    bare.write_bytes(data[: data.rindex(b"idx1")])
    before, after = (open_source((p,), AUTO) for p in (clips["avi"], bare))
    assert frames_of(after) == frames_of(before)
    assert sound_span(after) == sound_span(before)


def test_an_mp4_without_its_index_is_refused(tmp_path: Path) -> None:
    clip = make_sounding_clip(tmp_path / "clip.mp4", "-c:v", "mpeg4", "-c:a", "aac")
    data = clip.read_bytes()
    clip.write_bytes(data[: data.rindex(b"moov") - 4])
    with pytest.raises(InputError, match=r"clip\.mp4"):
        open_source((clip,), AUTO)


def test_a_wrong_frame_count_in_the_header(clips: dict[str, Path], tmp_path: Path) -> None:
    """AVI: total frames in avih, length in strh."""
    data = bytearray(clips["avi"].read_bytes())
    avih, strh = data.index(b"avih") + 8, data.index(b"strh") + 8
    data[avih + 16 : avih + 20] = data[strh + 32 : strh + 36] = (7).to_bytes(4, "little")
    lying = tmp_path / "lying.avi"
    lying.write_bytes(data)
    before, after = (open_source((p,), AUTO) for p in (clips["avi"], lying))
    assert [f.pts for f in frames_of(after)] == [f.pts for f in frames_of(before)]


def test_packed_b_frames(real: Callable[[str], Path]) -> None:
    """Xvid's way of putting B frames into AVI: two pictures in a packet, then an empty one."""
    log = DecodeLog()
    infos = frames_of(
        open_source((real("odd_formats/xvid_packed_bframes_544x352.avi"),), AUTO), log
    )
    assert len(infos) == 15
    assert {b.pts - a.pts for a, b in pairwise(infos)} == {1}


def test_a_clock_that_wraps(clips: dict[str, Path], tmp_path: Path) -> None:
    """The 33 bits of MPEG's clock run out in the middle of picture and sound."""
    late = tmp_path / "late.ts"
    ahead = str((1 << 33) / 90000 - 2.4)  # the muxer begins at 1.4 s
    ffmpeg("-v", "error", "-i", clips["ts"], "-c", "copy", "-output_ts_offset", ahead, late)
    before, after = (open_source((p,), AUTO) for p in (clips["ts"], late))
    one, other = frames_of(before), frames_of(after)
    assert [b.pts - a.pts for a, b in pairwise(other)] == [b.pts - a.pts for a, b in pairwise(one)]
    (a, long), (b, found) = sound_span(before), sound_span(after)
    assert long == found
    assert a is not None
    assert b is not None
    offset = a - one[0].pts * before.video.format.time_base
    assert abs(b - other[0].pts * after.video.format.time_base - offset) <= Fraction(1, 1000)


def test_lost_sound_packets_do_not_add_up(tmp_path: Path) -> None:
    """AC-3, 32 ms a packet; the decoder refuses one in five: less than what counts as a gap, each."""
    clip = make_sounding_clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", "-c:a", "ac3", seconds=3)
    with av.open(str(clip)) as file:
        spots = [p.pos for p in file.demux(audio=0) if p.size]
    data = bytearray(clip.read_bytes())
    sync = [data.index(b"\x0b\x77", at) for at in spots]
    for at in sync[10:-5:5]:
        data[at : at + 2] = b"\0\0"
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data)
    whole, holed = (open_source((p,), AUTO) for p in (clip, broken))
    count = SoundCount()
    truth = np.concatenate([s for _, s in sound_of(whole, 1, SoundCount())])
    found = np.concatenate([s for _, s in sound_of(holed, 1, count)])
    assert len(found) == len(truth)
    assert count.silence == 1536 * len(sync[10:-5:5])
    # A packet behind the last hole is sample for sample where it was.
    apart = np.abs(found[-1536:] / 2.0**31 - truth[-1536:] / 2.0**31).max()
    assert apart < 1e-3  # AC-3's decoder adds noise of its own
