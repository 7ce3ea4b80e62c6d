"""Find before the render what would stop the output after it."""

from __future__ import annotations

import io
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import av
from av.video.stream import VideoStream

from restore.errors import OutputError
from restore.io.encoder import PRESETS, configure, generic_options, open_encoder, private_options
from restore.io.output import CONTAINERS, OutputOptions, find_format, unknown_container
from restore.options import hint
from restore.video import Chroma, VideoFormat

_KNOWN = ("libx264", "libx265", "libsvtav1", "ffv1")


def check_output(options: OutputOptions, fmt: VideoFormat, out_path: Path) -> list[str]:
    """Every reason why a chain that ends in `fmt` cannot be written to `out_path` so, each
    'key: expected, got; what to try'. Opens the encoder to be sure, encodes nothing."""
    problems: list[str] = []
    container = CONTAINERS.get(out_path.suffix.lower())
    if container is None:
        problems.append(unknown_container(out_path))
    if options.codec not in _video_encoders():
        near = hint(options.codec, _KNOWN)
        return [*problems, f"codec: expected a video encoder, got {options.codec!r}{near}"]
    _check_preset(options, problems)
    _check_free_options(options, problems)
    target = find_format(options, fmt, problems)
    if not problems and target is not None and container is not None:
        _try_open(options, target, container, problems)
    return problems


def _check_preset(options: OutputOptions, problems: list[str]) -> None:
    if options.codec == "libsvtav1" and options.preset.isdigit() and int(options.preset) <= 13:
        return
    if options.codec in _KNOWN and options.preset not in PRESETS:
        near = hint(options.preset, PRESETS)
        problems.append(f"preset: expected a preset, got {options.preset!r}{near}")


def _check_free_options(options: OutputOptions, problems: list[str]) -> None:
    known = private_options(options.codec) | generic_options(options.codec)
    for key in options.options:
        if key not in known:
            problems.append(f"options: {options.codec} has no option {key!r}{hint(key, known)}")


def _try_open(
    options: OutputOptions, fmt: VideoFormat, container: str, problems: list[str]
) -> None:
    """Open the encoder and write the head of a file with it."""
    try:
        open_encoder(options, fmt, threads=1)
    except OutputError as error:
        problems.append(str(error))
        return
    if not _holds(container, options, fmt):
        plain = VideoFormat(64, 64, Chroma.C420, 8, Fraction(1, 25), fmt.color)
        able = [c for c in _KNOWN if _holds(container, OutputOptions(codec=c), plain)]
        problems.append(
            f"codec: {container} cannot hold {options.codec}; try {', '.join(able)}, or an .mkv file"
        )


def _holds(container: str, options: OutputOptions, fmt: VideoFormat) -> bool:
    try:
        with av.open(io.BytesIO(), "w", format=container) as out:
            stream = cast(VideoStream, out.add_stream(options.codec))
            configure(stream.codec_context, options, fmt, threads=1)
            out.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


@cache
def _video_encoders() -> frozenset[str]:
    names = set()
    for name in av.codecs_available:
        try:
            codec = av.Codec(name, "w")
        except ValueError:  # a decoder only
            continue
        if codec.type == "video" and codec.name == name:
            names.add(name)
    return frozenset(names)
