"""Frames of another size or pixel format midway: RealMedia and transport streams change them without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av

from restore.errors import InputError
from restore.io.picture import Picture, frame_of, in_format, planes_in
from restore.io.pixels import rescaled
from restore.io.source import VideoStream
from restore.video import VideoFormat

_SAME_SHAPE = Fraction(1, 50)
"""Aspect ratios that differ by less are taken for one: sizes are rounded to whole macroblocks."""


def watched(
    pictures: Iterable[Picture],
    video: VideoStream,
    path: Path,
    tell: Callable[[Literal["size"], Fraction, str], None],
) -> Iterator[Picture]:
    """`pictures` as the decoder gives them. `tell` hears of each change of size, pixel format or sample aspect ratio,
    and its time in seconds. Raises InputError where [input] size_change is 'error' and scaling would be needed."""
    layout, fmt = video.layout, video.layout.decoded
    last = (fmt.width, fmt.height, video.pixel_format)
    aspect: Fraction | None = None
    for picture in pictures:
        frame, seconds = picture.frame, picture.info.pts * fmt.time_base
        now = (frame.width, frame.height, frame.format.name)
        if now != last:
            text = f"from {last[0]}x{last[1]} {last[2]} to {now[0]}x{now[1]} {now[2]}"
            if layout.size_change == "error":
                raise InputError(
                    f"{path}: at {round(seconds * 1000)} ms the picture changes {text}, and [input] "
                    f'size_change is "error"; try "scale", or cut the file there'
                )
            tell("size", seconds, f"the picture changes {text}")
        elif aspect is not None and stated_aspect(frame) != aspect:
            text = f"from {aspect} to {stated_aspect(frame)}"
            tell(
                "size",
                seconds,
                f"the sample aspect ratio changes {text}: the picture stays as it is",
            )
        last, aspect = now, stated_aspect(frame)
        yield picture


def one_size(pictures: Iterable[Picture], video: VideoStream) -> Iterator[Picture]:
    """Every picture in the size of video.layout.decoded: others, which must be whole frames, are scaled (Lanczos),
    their shown shape kept, with black beside or above it where that differs."""
    fmt = video.layout.decoded
    # What the bitstream states for the usual size: [input] or the container may know better.
    usual = fmt.sample_aspect
    for picture in pictures:
        frame = picture.frame
        if (frame.width, frame.height) == (fmt.width, fmt.height):
            usual = stated_aspect(frame)
            yield picture
        else:
            aspect = fmt.sample_aspect * stated_aspect(frame) / usual
            info = replace(picture.info, scaled=True)
            yield replace(picture, frame=_fitted(frame, video, aspect), info=info, quant=None)


def stated_aspect(frame: av.VideoFrame) -> Fraction:
    """Sample aspect ratio; square where nothing is said (see restore.io.parts)."""
    said: Any = frame.opaque
    return said or Fraction(1)


def _fitted(frame: av.VideoFrame, video: VideoStream, aspect: Fraction) -> av.VideoFrame:
    """`frame`, whose samples have `aspect`, in the middle of video.layout.decoded."""
    fmt, name = video.layout.decoded, video.read_as
    own = replace(fmt, width=frame.width, height=frame.height)
    width, height = _inner_size(own, aspect, fmt)
    scaled = rescaled(in_format(frame, name), width=width, height=height, interpolation="LANCZOS")
    if (width, height) == (fmt.width, fmt.height):
        return scaled
    black = frame_of([], fmt.width, fmt.height, name)
    depth = black.format.components[0].bits
    # In R, G, B every plane is black at 0.
    dark = 0 if fmt.rgb_depth or fmt.color.full_range else 16 << (depth - 8)
    neutral = 0 if fmt.rgb_depth else 1 << (depth - 1)
    for number, (canvas, codes) in enumerate(zip(planes_in(black), planes_in(scaled), strict=True)):
        canvas[:] = neutral if number else dark
        # In the middle, in whole chroma samples.
        top, left = (
            (whole - part) // 2 // 4 * 4 * plane // whole
            for whole, part, plane in (
                (fmt.height, height, canvas.shape[0]),
                (fmt.width, width, canvas.shape[1]),
            )
        )
        canvas[top : top + codes.shape[0], left : left + codes.shape[1]] = codes
    return black


def _inner_size(own: VideoFormat, aspect: Fraction, fmt: VideoFormat) -> tuple[int, int]:
    """(width, height) of the largest picture within `fmt` that shows the shape of `own`; multiples of 4, so that
    every chroma sampling divides it."""
    ratio = (aspect * own.width / own.height) / (fmt.sample_aspect * fmt.width / fmt.height)
    if abs(ratio - 1) < _SAME_SHAPE:
        return fmt.width, fmt.height
    if ratio > 1:
        return fmt.width, min(fmt.height, max(4, round(fmt.height / ratio / 4) * 4))
    return min(fmt.width, max(4, round(fmt.width * ratio / 4) * 4)), fmt.height
