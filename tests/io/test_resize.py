from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from films import luma, pan, psnr, write_film

from restore.errors import InputError
from restore.io.decode import DecodeLog, decode
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.streams import StreamPlan
from restore.run.strict import refuse_damage
from restore.video import FrameBatch


def part(path: Path, width: int, height: int, frames: int, *more: str) -> bytes:
    encoder = ("-c:v", "libx264", "-qp", "4", "-bf", "0")
    filters = ("-vf", ",".join(["format=yuv420p", *more]))
    clip = write_film(path, pan(frames, width, height), "25", *filters, *encoder)
    return clip.read_bytes()


def joined(folder: Path, *parts: tuple[int, int, int], sar: str = "1") -> Path:
    """Elementary streams (width, height, frames), one after the other."""
    path = folder / "joined.h264"
    path.write_bytes(
        b"".join(
            part(folder / f"{n}.h264", *p, *([f"setsar={sar}"] if n else []))
            for n, p in enumerate(parts)
        )
    )
    return path


def decoded(path: Path, log: DecodeLog, options: InputOptions | None = None) -> FrameBatch:
    return FrameBatch.cat(list(decode(open_source([path], options or InputOptions()), log=log)))


def test_other_sizes_are_scaled(tmp_path: Path) -> None:
    log = DecodeLog()
    clip = joined(tmp_path, (96, 64, 30), (144, 96, 10), (96, 64, 5))
    frames = decoded(clip, log)
    assert (frames.format.width, frames.format.height, len(frames)) == (96, 64, 45)
    events = [event for event in log.events if event.kind == "size"]
    assert [event.pts_ms for event in events] == [1200, 1600]
    assert events[0].text == "the picture changes from 96x64 yuv420p to 144x96 yuv420p"
    small = [cv2.resize(f, (96, 64), interpolation=cv2.INTER_AREA) for f in pan(10, 144, 96)]
    errors = [psnr(a, b) for a, b in zip(luma(frames)[30:40], small, strict=True)]
    assert min(errors) > 32


def test_strict_refuses_it(tmp_path: Path) -> None:
    source = open_source([joined(tmp_path, (96, 64, 30), (48, 32, 10))], InputOptions())
    with pytest.raises(InputError, match="1 change of the picture's size"):
        refuse_damage(source, StreamPlan("matroska", ()), None, DecodeLog())


def test_the_size_of_most_decides(tmp_path: Path) -> None:
    """Transport streams begin with the end of something else."""
    log = DecodeLog()
    clip = joined(tmp_path, (48, 32, 3), (96, 64, 40))
    frames = decoded(clip, log)
    assert (frames.format.width, frames.format.height, len(frames)) == (96, 64, 43)
    assert log.counts["size"] == 2
    notes = open_source([clip], InputOptions()).notes
    assert "the first picture is 48x32, most are 96x64: these decide" in notes


def test_the_shown_shape_is_kept(tmp_path: Path) -> None:
    """A wide picture in a stream that is not: black above and below it."""
    clip = joined(tmp_path, (96, 96, 30), (96, 48, 10))
    wide = luma(decoded(clip, DecodeLog()))[30:]
    assert np.all(wide[:, :24] == 16)
    assert np.all(wide[:, 72:] == 16)
    assert min(psnr(a[24:72], b) for a, b in zip(wide, pan(10, 96, 48), strict=True)) > 30


def test_samples_that_are_not_square_are_heeded(tmp_path: Path) -> None:
    """Half as wide, but with samples twice as wide: the same shape."""
    clip = joined(tmp_path, (96, 64, 30), (48, 64, 10), sar="2/1")
    scaled = luma(decoded(clip, DecodeLog()))[30:]
    assert np.asarray(scaled)[:, :4].mean() > 40
    assert np.asarray(scaled)[:, :, -4:].mean() > 40


def test_a_change_of_size_can_be_an_error(tmp_path: Path) -> None:
    clip = joined(tmp_path, (96, 64, 30), (48, 64, 10))
    with pytest.raises(InputError) as caught:
        decoded(clip, DecodeLog(), InputOptions(size_change="error"))
    assert str(caught.value) == (
        f"{clip}: at 1200 ms the picture changes from 96x64 yuv420p to 48x64 yuv420p, and [input] "
        f'size_change is "error"; try "scale", or cut the file there'
    )


@pytest.mark.parametrize("flags", ["tff=1", "aq-mode=1"])
@pytest.mark.parametrize(
    ("deinterlace", "rate"), [("auto", "frame"), ("auto", "field"), ("off", "frame")]
)
def test_fields_are_made_frames_before_they_are_scaled(
    tmp_path: Path,
    flags: str,
    deinterlace: Literal["auto", "off"],
    rate: Literal["frame", "field"],
) -> None:
    """Of two moments each: scaled together, lines of the one would run into those of the other. (libswscale keeps them apart
    where the stream says that there are fields; not every stream does.)"""
    sizes = ((160, 96, 60), (240, 144, 30))
    weave = ("-vf", "format=yuv420p,tinterlace=interleave_top,setfield=tff")
    encoder = ("-c:v", "libx264", "-qp", "4", "-bf", "0", "-x264-params", flags)
    clip = tmp_path / "joined.h264"
    films = [pan(frames, width, height) for width, height, frames in sizes]
    parts = [
        write_film(tmp_path / f"{n}.h264", f, "50", *weave, *encoder) for n, f in enumerate(films)
    ]
    clip.write_bytes(b"".join(part.read_bytes() for part in parts))
    log = DecodeLog()
    options = InputOptions(deinterlace=deinterlace, deinterlace_rate=rate, field_order="tff")
    frames = decoded(clip, log, options)
    per_frame = 2 if (deinterlace, rate) == ("auto", "field") else 1
    assert (frames.format.width, frames.format.height) == (160, 96)
    assert len(frames) == 45 * per_frame
    assert [f.index for f in frames.frames] == list(range(45 * per_frame))
    steps = {b.pts - a.pts for a, b in pairwise(frames.frames)}
    assert len(steps) == 1
    assert log.counts["size"] == 1
    small = [cv2.resize(f, (160, 96), interpolation=cv2.INTER_AREA) for f in films[1]]
    scaled = luma(frames)[30 * per_frame :]
    # The first field's moment, or each field's.
    wanted = small if per_frame == 2 else small[::2]
    errors = [psnr(a[4:-4], b[4:-4]) for a, b in zip(scaled, wanted, strict=True)]
    assert min(errors) > 30
    if deinterlace == "off":  # and those that are not scaled are as they were
        woven = luma(frames)[:30]
        assert min(psnr(a[::2], b[::2]) for a, b in zip(woven, films[0][::2], strict=True)) > 38
        assert min(psnr(a[1::2], b[1::2]) for a, b in zip(woven, films[0][1::2], strict=True)) > 38


def test_another_shape_of_samples_is_told(tmp_path: Path) -> None:
    """Of the same size: the picture stays, the log says so."""
    log = DecodeLog()
    clip = joined(tmp_path, (96, 64, 30), (96, 64, 10), sar="4/3")
    frames = decoded(clip, log, InputOptions(size_change="error"))
    assert len(frames) == 40
    (event,) = [e for e in log.events if e.kind == "size"]
    assert (event.kind, event.pts_ms) == ("size", 1200)
    assert event.text == "the sample aspect ratio changes from 1 to 4/3: the picture stays as it is"
    assert min(psnr(a, b) for a, b in zip(luma(frames)[30:], pan(10, 96, 64), strict=True)) > 35
