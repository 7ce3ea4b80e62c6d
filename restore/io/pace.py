"""Sources whose frames carry no times: sequences of images, and streams without a container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from restore.io.probe import InputOptions, probe
from restore.io.sequence import sequence_notes
from restore.io.source import Part, Source
from restore.io.timecode import Timecode

FILM = Fraction(24)
"""Frames per second of a sequence of images of which nothing is said."""
USUAL = Fraction(25)
LONGEST_TICK = Fraction(24 * 3600)
"""Seconds. A clock of video that ticks more slowly is a broken number in a header."""
_BARE = frozenset(
    {
        "mpegvideo",
        "h264",
        "hevc",
        "vvc",
        "m4v",
        "h263",
        "h261",
        "mjpeg",
        "vc1",
        "dirac",
        "cavsvideo",
    }
    | {"avs2", "avs3", "obu"}
)
"""FFmpeg's names of streams without a container; the times it gives them are made of the header's rate."""
_STEADY = frozenset({"mpeg1video", "mpeg4", "h261", "h263", "mjpeg", "dirac"})
"""Codecs in which no frame can last longer than another: the header's rate is all there is to know. The times FFmpeg
makes for them are those of decoding, which puts the first frame of a stream with B-frames one frame early."""
_NTSC = Fraction(1000, 1001)
"""Times 24, 30 or 60: rates that people round to 23.976, 29.97, 59.94."""


def frame_rate(options: InputOptions) -> Fraction | None:
    """What table [input] asks for; "23.976" and its like stand for 24000/1001 and the like."""
    if options.frame_rate == "auto":
        return None
    said = Fraction(options.frame_rate)
    for whole in (24, 30, 48, 60, 120):
        if abs(said - whole * _NTSC) < Fraction(2, 1000):
            return whole * _NTSC
    return said


def open_images(images: Sequence[Path], options: InputOptions) -> Source:
    """A sequence of images as a video. Raises InputError."""
    source = probe(images[0], options)
    if source.video.format.chroma is None and options.range == "auto":
        # A picture file that does not say it uses every code; only video leaves room.
        source = probe(images[0], options.model_copy(update={"range": "full"}))
    rate = frame_rate(options)
    count = f"{len(images)} images, {images[0].name} to {images[-1].name}"
    said = f"{rate or FILM} frames/s" + ("" if rate else "; [input] frame_rate overrides")
    source = _paced(source, rate or FILM)
    return replace(
        source,
        container="images",
        parts=(Part(tuple(images), images=True),),
        notes=(f"{count}: {said}", *source.notes, *sequence_notes(images)),
    )


def open_file(files: Sequence[Path], options: InputOptions) -> Source:
    """A video file, or one that was split into `files`. Raises InputError."""
    source = probe(files[0], options, *files[1:])
    rate = frame_rate(options)
    if source.container in _BARE:
        used = rate or source.video.frame_rate
        steady = used if source.video.codec in _STEADY else rate
        said = f"{used} frames/s" + (
            " as its header says; [input] frame_rate overrides" if not rate else ""
        )
        note = f"a bare stream has no time stamps: {said}"
        source = source if steady is None else _paced(source, steady)
    elif source.video.format.time_base > LONGEST_TICK:
        used = rate or USUAL
        said = "" if rate else "; [input] frame_rate overrides"
        tick = float(source.video.format.time_base)
        note = f"the clock of the file ticks every {tick:.0f} s: taken as {used} frames/s{said}"
        source = _paced(source, used)
    elif rate is not None:
        note = (
            f"[input] frame_rate = {options.frame_rate!r} is not needed: the file has time stamps"
        )
    else:
        return source
    return replace(source, notes=(*source.notes, note))


def _paced(source: Source, rate: Fraction) -> Source:
    """The same with a frame at each tick of 1 / `rate`."""
    fmt = replace(source.video.format, time_base=1 / rate)
    video = replace(source.video, format=fmt, frame_rate=rate, header_duration=None, start_pts=0)
    timecode, losses = source.timecode, source.losses
    if timecode is not None:
        known, timecode = timecode, Timecode.of(str(timecode), rate)
        if timecode is None:
            losses = (*losses, f"time code: {str(known)!r} is none at {rate} frames/s")
    return replace(
        source,
        video=video,
        start=Fraction(0),
        pace=rate,
        timecode=timecode,
        losses=losses,
    )
