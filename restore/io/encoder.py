"""Open an encoder so that it says what is in the picture and gives the same bytes every time."""

from __future__ import annotations

import os
from fractions import Fraction
from functools import cache
from typing import cast

import av
from av.codec.context import CodecContext, Flags
from av.video.codeccontext import VideoCodecContext

from restore.errors import OutputError
from restore.io.output import OutputOptions
from restore.io.pixels import pixel_format_of
from restore.io.tags import siting_name
from restore.video import VideoFormat

PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
_SVT_PRESETS = dict(
    zip(PRESETS, ("13", "12", "11", "10", "9", "8", "6", "4", "2", "0"), strict=True)
)


NOMINAL_RATE = Fraction(25)
"""Frames per second an encoder plans for. Times are the packets' own; without it SVT-AV1 takes the time
base for the rate and refuses milliseconds."""


def _options(options: OutputOptions, fmt: VideoFormat, threads: int) -> dict[str, str]:
    """FFmpeg's options for one encoder; what the user sets freely comes last and wins."""
    known = private_options(options.codec)
    found = {"chroma_sample_location": siting_name(fmt.color.siting)}
    if "crf" in known:
        # SVT-AV1 counts in whole steps.
        whole = options.codec == "libsvtav1"
        found["crf"] = str(round(options.crf)) if whole else f"{options.crf:g}"
    if "preset" in known:
        found["preset"] = _preset(options)
    if options.codec == "libx265":
        # Frame threads change what x265 decides; one keeps bytes equal on any number of cores.
        found["x265-params"] = f"log-level=none:pools={threads}:frame-threads=1"
    if options.codec == "libsvtav1":
        found["svtav1-params"] = f"lp={min(threads, 6)}"
    if options.codec == "ffv1":
        found |= {"level": "3", "slicecrc": "1", "g": "1"}
    for key, value in options.options.items():
        joined = key.endswith("-params") and key in found
        found[key] = f"{found[key]}:{value}" if joined else value
    return found


def _preset(options: OutputOptions) -> str:
    """The preset in the encoder's own words."""
    if options.codec == "libsvtav1":
        return _SVT_PRESETS.get(options.preset, options.preset)
    return options.preset


def open_encoder(options: OutputOptions, fmt: VideoFormat, threads: int) -> VideoCodecContext:
    """An open encoder for `fmt` (see encoded_format). Raises OutputError."""
    context = cast(VideoCodecContext, CodecContext.create(options.codec, "w"))
    configure(context, options, fmt, threads)
    try:
        context.open()
    except (av.FFmpegError, ValueError) as error:
        raise refused(options, fmt, error) from error
    return context


def configure(
    context: VideoCodecContext, options: OutputOptions, fmt: VideoFormat, threads: int
) -> None:
    """Settings of an encoder that is not open yet. Raises OutputError."""
    name = pixel_format_of(fmt)
    if name is None:
        raise OutputError(f"pixel_format: {fmt.depth}-bit {fmt.chroma} has no name in FFmpeg")
    if options.codec == "libsvtav1":
        # It prints to stderr past every logger, and this is its only switch.
        os.environ.setdefault("SVT_LOG", "1")
    context.width, context.height, context.pix_fmt = fmt.width, fmt.height, name
    context.time_base = fmt.time_base
    context.framerate = NOMINAL_RATE
    context.sample_aspect_ratio = fmt.sample_aspect
    context.colorspace = fmt.color.matrix
    context.color_primaries = fmt.color.primaries
    context.color_trc = fmt.color.transfer
    context.color_range = 2 if fmt.color.full_range else 1
    context.thread_count = threads  # x264 gives other bytes with other counts
    context.flags |= Flags.bitexact | Flags.global_header
    context.options = _options(options, fmt, threads)


def refused(options: OutputOptions, fmt: VideoFormat, error: Exception) -> OutputError:
    """What to tell the user about an encoder that does not open."""
    return OutputError(
        f"{options.codec} refuses {fmt.width}x{fmt.height} {pixel_format_of(fmt)} with "
        f"preset {options.preset!r} and options {options.options}: {error}; try fewer options"
    )


@cache
def private_options(codec: str) -> frozenset[str]:
    """Names of an encoder's own options."""
    context = CodecContext.create(codec, "w")
    return frozenset(o.name for o in context.supported_options.private)


@cache
def generic_options(codec: str) -> frozenset[str]:
    """Names of the options that FFmpeg has for every codec."""
    context = CodecContext.create(codec, "w")
    return frozenset(o.name for o in context.supported_options.generic)
