"""What the result is encoded as: the settings, and the picture format they mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import av
from pydantic import Field

from restore.errors import OutputError
from restore.io.pixels import NATIVE, pixel_format_of
from restore.options import Options, hint
from restore.video import Chroma, VideoFormat

CONTAINERS = {".mkv": "matroska", ".mp4": "mp4", ".mov": "mov"}
"""FFmpeg's name of the container, by the output file's ending."""

_ODD_SIZES = frozenset({"ffv1", "libsvtav1"})
"""Encoders that subsample odd sizes themselves. In H.264 and HEVC the size and the cropping are
counted in chroma samples (ITU-T H.264 7.4.2.1.1, H.265 7.4.3.2.1), so an odd size cannot be said."""


class OutputOptions(Options):
    """Table [output]: how the result is encoded."""

    codec: str = "libx264"
    """FFmpeg's name of the encoder: libx264, libx265, libsvtav1, ffv1 (lossless), or another."""
    crf: float = Field(default=18, ge=0, le=63)
    """Constant quality of the lossy encoders: lower is better and larger; ffv1 has none."""
    preset: str = "medium"
    """Speed against size: ultrafast to placebo; libsvtav1 also takes its own 0 (slow) to 13 (fast)."""
    pixel_format: str = "auto"
    """FFmpeg's name, for example yuv420p10le; auto: the chain's chroma and depth, or the nearest that
    the encoder takes. Grey is written with neutral chroma, odd sizes in 4:4:4 where they must be."""
    options: dict[str, str] = Field(default_factory=dict)
    """Free options of the encoder, as FFmpeg names them, for example {"tune": "grain"}."""
    audio: Literal["copy", "flac", "none"] = "copy"
    """copy: bit for bit where the container allows, else lossless FLAC; flac: always; none: drop."""
    dither: bool = True
    """Dither before rounding to output codes, so that smooth areas do not band."""


def container_of(out_path: Path) -> str:
    """FFmpeg's name of the container for an output file. Raises OutputError."""
    found = CONTAINERS.get(out_path.suffix.lower())
    if found is None:
        raise OutputError(unknown_container(out_path))
    return found


def unknown_container(out_path: Path) -> str:
    """The problem with a name whose ending stands for no container."""
    known = ", ".join(CONTAINERS)
    return f"{out_path.name}: expected a name that ends in {known}, got {out_path.suffix!r}"


def encoded_format(options: OutputOptions, fmt: VideoFormat) -> VideoFormat:
    """The format in which the encoder wants its codes, for a chain that ends in `fmt`. The worker
    delivers codes of this depth; chroma that differs is converted by SegmentEncoder.
    Raises OutputError where there is none (see check_output)."""
    problems: list[str] = []
    found = find_format(options, fmt, problems)
    if found is None:
        raise OutputError("\n".join(f"[output]: {p}" for p in problems))
    return found


def find_format(
    options: OutputOptions, fmt: VideoFormat, problems: list[str]
) -> VideoFormat | None:
    """The encoded format, or None with the reason in `problems`."""
    taken = _pixel_formats(options.codec)
    if options.pixel_format != "auto":
        return _asked_format(options, fmt, taken, problems)
    for chroma in _NEAREST[fmt.chroma]:
        if not _size_fits(options.codec, chroma, fmt):
            continue
        depths = sorted(NATIVE[name][1] for name in taken if NATIVE[name][0] is chroma)
        if depths:
            depth = next((d for d in depths if d >= fmt.depth), depths[-1])
            return replace(fmt, chroma=chroma, depth=depth)
    problems.append(
        f"codec: {options.codec} takes no format for {fmt.width}x{fmt.height} "
        f"{_described(fmt)}; try libx264 or ffv1"
    )
    return None


_NEAREST: dict[Chroma | None, tuple[Chroma | None, ...]] = {
    None: (Chroma.C420, Chroma.C444, None),
    Chroma.C420: (Chroma.C420, Chroma.C422, Chroma.C444),
    Chroma.C422: (Chroma.C422, Chroma.C444, Chroma.C420),
    Chroma.C444: (Chroma.C444, Chroma.C422, Chroma.C420),
    Chroma.C440: (Chroma.C440, Chroma.C444, Chroma.C420),
    Chroma.C411: (Chroma.C411, Chroma.C422, Chroma.C444, Chroma.C420),
    Chroma.C410: (Chroma.C410, Chroma.C420, Chroma.C444),
}
"""For each chroma sampling, the samplings to try: itself, then what holds more, then what holds less."""


def _asked_format(
    options: OutputOptions, fmt: VideoFormat, taken: list[str], problems: list[str]
) -> VideoFormat | None:
    name = options.pixel_format
    if name not in taken:
        problems.append(f"pixel_format: {options.codec} cannot encode {name!r}{hint(name, taken)}")
        return None
    chroma, depth = NATIVE[name]
    if not _size_fits(options.codec, chroma, fmt):
        problems.append(
            f"pixel_format: {name} needs even sizes with {options.codec}, "
            f'got {fmt.width}x{fmt.height}; try "auto" (4:4:4 for this size) or codec = "libsvtav1"'
        )
        return None
    return replace(fmt, chroma=chroma, depth=depth)


def _size_fits(codec: str, chroma: Chroma | None, fmt: VideoFormat) -> bool:
    if chroma is None or codec in _ODD_SIZES:
        return True
    down, across = chroma.value
    return fmt.width % (1 << across) == 0 and fmt.height % (1 << down) == 0


def _described(fmt: VideoFormat) -> str:
    return pixel_format_of(fmt) or f"{fmt.depth}-bit"


def _pixel_formats(codec: str) -> list[str]:
    """Formats of NATIVE that an encoder takes."""
    offered = {f.name for f in av.Codec(codec, "w").video_formats or ()}
    return [name for name in NATIVE if name in offered]
