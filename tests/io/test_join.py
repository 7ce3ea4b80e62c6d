"""Several files as one source: times, sound, split files, what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media_clips import PARTS, ffmpeg, make_part

from restore.errors import InputError
from restore.io.decode import DecodeLog, decode
from restore.io.join import open_source
from restore.io.probe import InputOptions, probe
from restore.io.sound import SoundCount, sound_of
from restore.io.source import Source
from restore.io.streams import plan_streams

AUTO = InputOptions()


def frames(source: Source) -> tuple[list[Fraction], np.ndarray]:
    """(seconds of each frame after the source's start, luma)."""
    batches = list(decode(source, batch=16))
    base = source.video.format.time_base
    times = [f.pts * base - source.start for b in batches for f in b.frames]
    return times, np.concatenate([b.planes[0].numpy() for b in batches])


@pytest.mark.parametrize("kind", PARTS)
def test_parts_follow_one_another_and_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    # The sound is longer than the picture, shorter, late: each other in each part.
    shapes = [(1.3, 0.0), (0.7, 0.1), (1.0, 0.0)]
    paths = [
        make_part(tmp_path / f"{n}.{kind}", n, *PARTS[kind], sound=sound, late=late)
        for n, (sound, late) in enumerate(shapes)
    ]
    source = open_source(paths, AUTO)
    assert len(source.parts) == 3
    times, luma = frames(source)
    assert all(a < b for a, b in pairwise(times))
    heard = sound_blocks(source)
    at, sound_end = 0, Fraction(0)
    for number, (path, part) in enumerate(zip(paths, source.parts, strict=True)):
        alone = probe(path, AUTO)
        alone_times, alone_luma = frames(alone)
        count = len(alone_times)
        assert np.array_equal(luma[at : at + count], alone_luma)
        # Picture and sound of a part are moved by the very same time.
        moved = {t - a for t, a in zip(times[at : at + count], alone_times, strict=True)}
        shift = alone.start + part.offset - source.start
        assert moved == {shift}
        (start, sound), (alone_start, alone_sound) = heard, sound_blocks(alone)
        first = (alone_start + part.offset - start) * 44100
        low = round(first)
        assert abs(first - low) < 44.1 / 2  # half a millisecond
        assert np.array_equal(sound[low : low + len(alone_sound)], alone_sound)
        if number:
            end_before = max(times[at - 1] + Fraction(1, 25), sound_end)
            assert shift >= end_before - Fraction(1, 1000)
            assert shift - end_before < Fraction(1, 25)
        sound_end = (alone_start + part.offset - source.start) + Fraction(len(alone_sound), 44100)
        at += count
    assert at == len(times)


def sound_blocks(source: Source) -> tuple[Fraction, np.ndarray]:
    blocks = list(sound_of(source, source.audio[0].index, SoundCount()))
    start = blocks[-1][0]
    assert start is not None
    return start, np.concatenate([b for _, b in blocks])


@pytest.fixture(scope="module")
def dvd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s of MPEG-2 with B frames and MP2, as a DVD has them."""
    path = tmp_path_factory.mktemp("dvd") / "VTS_01_1.VOB"
    picture = "testsrc2=size=64x48:rate=25:duration=3"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=duration=3"]
    encoder = ["-c:v", "mpeg2video", "-qscale:v", "3", "-g", "15", "-bf", "2", "-c:a", "mp2"]
    ffmpeg("-v", "error", *inputs, *encoder, "-f", "vob", path)
    return path


def cut(path: Path, folder: Path, names: list[str], shares: list[float]) -> list[Path]:
    """The bytes of `path`, cut at `shares` of them."""
    data = path.read_bytes()
    edges = [0, *(int(share * len(data)) for share in shares), len(data)]
    pieces = []
    for name, low, high in zip(names, edges[:-1], edges[1:], strict=True):
        (folder / name).write_bytes(data[low:high])
        pieces.append(folder / name)
    return pieces


SPLITS = {
    "DVD": (["VTS_01_1.VOB", "VTS_01_2.VOB", "VTS_01_3.VOB"], [0.301, 0.62345]),
    "DVD, tiny first piece": (["vts_01_1.vob", "vts_01_2.vob"], [0.02]),
    "splitter": (["film.vob.001", "film.vob.002"], [0.4567]),
    "by time stamps": (["one.vob", "other.vob"], [0.5]),
}


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_file_is_read_as_if_it_were_whole(name: str, dvd: Path, tmp_path: Path) -> None:
    names, shares = SPLITS[name]
    pieces = cut(dvd, tmp_path, names, shares)
    source = open_source(pieces, AUTO)
    assert [p.files for p in source.parts] == [tuple(pieces)]
    log = DecodeLog()
    for _ in decode(source, log=log):
        pass
    assert not log.events
    whole = probe(dvd, AUTO)
    (times, luma), (whole_times, whole_luma) = frames(source), frames(whole)
    assert times == whole_times
    assert np.array_equal(luma, whole_luma)
    assert np.array_equal(sound_blocks(source)[1], sound_blocks(whole)[1])
    assert sum("goes on where" in n for n in source.notes) == len(pieces) - 1


def test_what_differs_is_named(tmp_path: Path) -> None:
    one = make_part(tmp_path / "one.avi", 0, *PARTS["avi"])
    two = make_part(tmp_path / "two.mpg", 1, *PARTS["mpg"], "-ar", "48000")
    with pytest.raises(InputError) as error:
        open_source([one, two], AUTO)
    said = str(error.value)
    assert f"{one} and {two} cannot be joined" in said
    assert "video codec mpeg4 and mpeg1video" in said
    assert "audio 1 mp3 44100 Hz mono and mp2 48000 Hz mono" in said
    assert said.endswith("try restoring each on its own")


NAMES = {
    "AVSEQ01.DAT": "AVSEQ02.DAT",
    "film.cd1.avi": "film.cd2.avi",
    "Film (Part 1).mpg": "Film (Part 2).mpg",
    "CD2.avi": "CD1.avi",
    "VTS_01_1.VOB": "VTS_01_2.VOB",
}


@pytest.mark.parametrize("name", NAMES)
def test_other_parts_beside_it_are_named_not_joined(name: str, dvd: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(dvd.read_bytes())
    for stranger in ("film.avi", "VTS_01_0.VOB", "VTS_02_1.VOB", "abcd2.avi", "AVSEQ01.MPG"):
        (tmp_path / stranger).touch()
    assert not [n for n in open_source([tmp_path / name], AUTO).notes if "beside" in n]
    (tmp_path / NAMES[name]).touch()
    source = open_source([tmp_path / name], AUTO)
    assert f"{NAMES[name]} lies beside it: give both to join them" in source.notes
    assert source.parts[0].files == (tmp_path / name,)


def test_a_part_of_another_size_is_scaled_or_refused(tmp_path: Path) -> None:
    small = make_part(tmp_path / "small.avi", 0, *PARTS["avi"])
    large = make_part(tmp_path / "large.avi", 1, *PARTS["avi"], "-s", "96x72")
    source = open_source([small, large], AUTO)
    assert any("its 96x72 are scaled" in n for n in source.notes)
    times, luma = frames(source)
    assert (len(times), luma.shape[2:]) == (50, (48, 64))
    with pytest.raises(InputError, match="picture size 64x48 and 96x72"):
        open_source([small, large], InputOptions(size_change="error"))


def test_packets_without_their_start_stay_behind_in_every_part(real: Callable[[str], Path]) -> None:
    recorded = real("odd_formats/mpeg2_ts_352x288_interlaced_sar12-11.ts")
    options = InputOptions(deinterlace="off", telecine="off")
    source = open_source([recorded, recorded], options)
    (action,) = plan_streams(source, "mkv", "copy").streams
    assert (action.action, action.skip, action.later_skips) == ("copy", 1, (1,))
