"""Find before the render what would stop the output after it."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.codec.codec import Capabilities
from av.container import InputContainer
from av.video.stream import VideoStream

from restore.errors import OutputError
from restore.io.applied import not_applied
from restore.io.containers import LEAD, is_matroska, muxer_options
from restore.io.encoder import (
    KNOWN,
    configure,
    open_encoder,
    presets_of,
)
from restore.io.formats import encoder_pixel_format, find_format
from restore.io.hdr import CARRIERS, lost_hdr
from restore.io.matroska import PLACEHOLDER, display_size, finish_header
from restore.io.output import (
    CONTAINERS,
    CRF_LIMITS,
    QUALITY,
    OutputOptions,
    fitted_to,
    unknown_container,
)
from restore.io.pixels import Codes, from_planes
from restore.io.shaping import problems_of
from restore.options import hint
from restore.video import VideoFormat

_TRIAL_SIZE = (256, 144)
"""Every encoder takes it."""
_MOST_TRIED = 1 << 20
"""Samples of a trial's picture that take little time. SVT-AV1 waits for ever on pictures of 16381x7."""


def check_output(
    options: OutputOptions, fmt: VideoFormat, out_path: Path, processed: bool = False
) -> list[str]:
    """Every reason why a chain that ends in `fmt` (`processed`: that has stages) cannot be written to `out_path`
    so, each 'key: expected, got; what to try'. Encodes three small frames to be sure."""
    problems: list[str] = []
    container = CONTAINERS.get(out_path.suffix.lower())
    if container is None:
        problems.append(unknown_container(out_path))
    elif options.use == "archive" and container != "matroska":
        problems.append(
            f"use: expected an .mkv file for an archive, got {out_path.name}: its log is an attachment"
        )
    if options.codec not in video_encoders():
        near = hint(options.codec, KNOWN)
        return [*problems, f"codec: expected a video encoder, got {options.codec!r}{near}"]
    _check_preset(options, problems)
    _check_crf(options, problems)
    if hangs(options.codec, fmt):
        problems.append(
            f"codec: libsvtav1 never ends on pictures as narrow or flat as {fmt.width}x{fmt.height}; expected 32 "
            f"samples each way, or 64 at most; try libx264"
        )
        return problems
    problems += problems_of(options.codec, options.options)
    lost = lost_hdr(options.codec, fmt.hdr)
    if lost and not (fmt.hdr and fmt.hdr.may_go):
        problems.append(
            f"codec: {options.codec} cannot carry the source's HDR metadata ({', '.join(lost)}); "
            + (f"try {', '.join(CARRIERS)}, or " if not (fmt.hdr and fmt.hdr.dynamic) else "try ")
            + '[input] hdr = "drop"'
        )
    target = find_format(options, fmt, problems, processed)
    if not problems and target is not None and container is not None:
        _try_open(options, target, container, problems)
    return problems


def _check_preset(options: OutputOptions, problems: list[str]) -> None:
    known = presets_of(options.codec)
    if options.codec in KNOWN and options.preset not in known:
        near = hint(options.preset, known)
        problems.append(f"preset: expected a preset, got {options.preset!r}{near}")


def hangs(codec: str, fmt: VideoFormat) -> bool:
    """Whether the encoder waits for itself for ever. SVT-AV1 4 does where one side is below 32 samples and the other is not
    small as well: found from 256x16 and 7x1024 to 16384x16, never from 32 on, nor at 64x7."""
    sides = sorted((fmt.width, fmt.height))
    return codec == "libsvtav1" and sides[0] < 32 and sides[1] > 64


def _check_crf(options: OutputOptions, problems: list[str]) -> None:
    highest = CRF_LIMITS.get(options.codec)
    if highest is not None and options.crf > highest:
        problems.append(
            f"crf: expected 0 to {highest} for {options.codec}, got {options.crf:g}; lower is better, "
            f"{QUALITY[options.codec][0]:g} is usual"
        )


def _try_open(
    options: OutputOptions, fmt: VideoFormat, container: str, problems: list[str]
) -> None:
    """Open the encoder, then write a file with it and read that back."""
    try:
        ignored = _ignored(options, fmt)
    except OutputError as error:
        problems.append(str(error))
        return
    problems += [f"options: {options.codec} says: {text}; change or leave out" for text in ignored]
    problems += not_applied(options, fmt)
    reason = _refusal(container, options, fmt)
    if reason is not None:
        problems.append(
            f"codec: {container} cannot hold {options.codec}: {reason}; "
            f"try {', '.join(_able(container, fmt))}, or an .mkv file"
        )


def _ignored(options: OutputOptions, fmt: VideoFormat) -> list[str]:
    """What an encoder complains of when it opens, because of the free options: it goes on without them. Raises
    OutputError where it does not open."""
    plain = options.model_copy(update={"options": {}})
    before = _complaints(plain, fmt) if options.options else []
    said = _complaints(options, fmt)
    return [text for text in said if text not in before] if options.options else []


def _complaints(options: OutputOptions, fmt: VideoFormat) -> list[str]:
    level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as logs:
            open_encoder(options, fmt)
        return list(dict.fromkeys(text.strip() for _, _, text in logs))
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skip)


def _able(container: str, fmt: VideoFormat) -> list[str]:
    """Encoders of ours, that are here, whose video the container holds."""
    able = []
    for codec in KNOWN:
        options = OutputOptions(codec=codec, preset="ultrafast")
        target = find_format(options, fmt, [])
        if target is not None and _refusal(container, options, target) is None:
            able.append(codec)
    return able


def _refusal(container: str, options: OutputOptions, fmt: VideoFormat) -> str | None:
    """Why the container cannot hold this encoder's video with every tag that `fmt` has; None where it can.
    Three frames are written and read back: muxers accept more than they can keep."""
    width, height = _trial_size(fmt)
    small = replace(fmt, width=width, height=height, time_base=Fraction(1, 25))
    name = encoder_pixel_format(options.codec, fmt) or ""
    file = io.BytesIO()
    first = round(LEAD.get(container, Fraction(0)) / small.time_base)
    try:
        with av.open(
            file, "w", format=container, container_options=muxer_options(container)
        ) as out:
            stream = cast(VideoStream, out.add_stream(options.codec))
            if is_matroska(container):
                stream.metadata["title"] = PLACEHOLDER
            context = stream.codec_context
            configure(context, fitted_to(options, container), small)
            out.start_encoding()
            for number in range(3):
                frame = from_planes(_noise(small, number), small, name)
                frame.pts, frame.time_base = first + number, small.time_base
                out.mux(context.encode(frame))
            out.mux(context.encode(None))
            wanted = context.codec.canonical_name
        if is_matroska(container):
            display_size(
                fmt.width, fmt.height, fmt.sample_aspect
            )  # of the trial's picture, it may be smaller
            finish_header(file, fmt.sample_aspect, small.time_base)
        file.seek(0)
        # So short a transport stream is not recognised by itself.
        with av.open(file, "r", format=container) as back:
            return _difference(back, wanted, fmt)
    except IndexError:
        return "no video comes back"
    except (av.FFmpegError, ValueError, OutputError) as error:
        return getattr(error, "strerror", None) or str(error)


def _trial_size(fmt: VideoFormat) -> tuple[int, int]:
    """Width and height of the trial's pictures: where samples are not square, of the shape of `fmt` if it is not beyond
    all measure, because MPEG-2 and AVI store the aspect ratio of the whole picture."""
    shape = Fraction(fmt.width, fmt.height)
    # Even, as chroma needs it, and not smaller than every encoder takes.
    times = max(-(-s // n) for s, n in zip(_TRIAL_SIZE, shape.as_integer_ratio(), strict=True))
    times += times % 2
    width, height = shape.numerator * times, shape.denominator * times
    if fmt.sample_aspect == 1 or width * height > _MOST_TRIED:
        return _TRIAL_SIZE
    return width, height


def _difference(file: InputContainer, codec: str, fmt: VideoFormat) -> str | None:
    stream = file.streams.video[0]
    found = stream.codec_context.codec.canonical_name
    if found != codec:
        return f"it comes back as {found}"
    frames = list(file.decode(stream))
    if len(frames) != 3:
        return f"of 3 frames {len(frames)} come back"
    frame = frames[0]
    said = (frame.colorspace, frame.color_primaries, frame.color_trc)
    wanted = (fmt.color.matrix, fmt.color.primaries, fmt.color.transfer)
    names = ("matrix", "primaries", "transfer")
    lost = [name for name, s, w in zip(names, said, wanted, strict=True) if s != w]
    if (int(frame.color_range) == 2) != bool(fmt.color.full_range) or not frame.color_range:
        lost.append("range")
    if lost:
        return f"there is no room for the colour tags ({', '.join(lost)})"
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if not fmt.same_shape(aspect):
        return (
            f"there is no room for the sample aspect ratio {fmt.sample_aspect} (it comes back as {aspect}; "
            f"[input] square_pixels = true does without one)"
        )
    return None


def _noise(fmt: VideoFormat, seed: int) -> list[Codes]:
    """Nothing that an encoder could skip: a demuxer looks for a stream among more than a few bytes."""
    random, kind = np.random.default_rng(seed), np.uint8 if fmt.depth == 8 else np.uint16
    middle = 1 << (fmt.depth - 1)
    return [
        random.integers(middle // 2, middle, shape, dtype=kind, endpoint=True)
        for shape in fmt.plane_shapes()
    ]


@cache
def video_encoders() -> frozenset[str]:
    """Names of all that `codec` may be."""
    names = set()
    for name in av.codecs_available:
        try:
            codec = av.Codec(name, "w")
        except ValueError:  # a decoder only
            continue
        hardware = codec.capabilities & (Capabilities.hardware | Capabilities.hybrid)
        if codec.type == "video" and codec.name == name and (name in KNOWN or not hardware):
            names.add(name)
    return frozenset(names)
