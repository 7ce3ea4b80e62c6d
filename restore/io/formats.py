"""In which picture format an encoder gets its codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import av

from restore.color import LUMA_WEIGHTS, Matrix
from restore.errors import OutputError
from restore.io.output import LOSSLESS, OutputOptions
from restore.io.pixels import WRITTEN, pixel_format_of
from restore.options import hint
from restore.video import Chroma, VideoFormat

_ODD_SIZES = frozenset({"libsvtav1", "libvpx-vp9", "av1_nvenc", "prores_ks"}) | LOSSLESS
"""Encoders that subsample odd sizes themselves. In H.264 and HEVC the size and the cropping are
counted in chroma samples (ITU-T H.264 7.4.2.1.1, H.265 7.4.3.2.1), so an odd size cannot be said."""

_LIMITED_ONLY = frozenset({"prores_ks", "mpeg2video", "mpeg1video", "mpeg4"})
"""Encoders whose bitstream knows no full range: full-range pictures are converted."""

ARCHIVE_DEPTH = 10
"""Bits that an archived result of a chain has at least: restoring makes values between the source's codes."""


def encoded_format(
    options: OutputOptions, fmt: VideoFormat, processed: bool = False
) -> VideoFormat:
    """The format in which the encoder wants its codes, for a chain that ends in `fmt`; `processed`: the
    chain has stages. The worker delivers codes of this depth, range and kind (Y, Cb, Cr or R, G, B: matrix
    RGB); chroma that differs is converted by SegmentEncoder.
    Raises OutputError where there is none (see check_output)."""
    problems: list[str] = []
    found = find_format(options, fmt, problems, processed)
    if found is None:
        raise OutputError("\n".join(f"[output]: {p}" for p in problems))
    return found


def find_format(
    options: OutputOptions, fmt: VideoFormat, problems: list[str], processed: bool = False
) -> VideoFormat | None:
    """The encoded format, or None with the reason in `problems`."""
    if fmt.color.matrix is Matrix.RGB:  # is one already
        return fmt
    taken = written_formats(options.codec)
    if options.pixel_format != "auto":
        return _asked_format(options, fmt, taken, problems)
    wanted = _wanted_depth(options, fmt, processed)
    fitting = [kind for kind in _kinds(options, fmt) if _size_fits(options.codec, kind[1], fmt)]
    layouts = [WRITTEN[name] for name in taken]
    # Without loss, room for every bit matters more than the chroma sampling: 4:1:0 of 10 bits does not exist.
    for least in (wanted, 0) if options.codec in LOSSLESS else (0,):
        for rgb, chroma in fitting:
            depths = sorted(d for is_rgb, c, d in layouts if is_rgb is rgb and c is chroma)
            if depths and depths[-1] >= least:
                depth = next((d for d in depths if d >= wanted), depths[-1])
                return _made(options, fmt, rgb, chroma, depth)
    problems.append(
        f"codec: {options.codec} takes no format for {fmt.width}x{fmt.height} "
        f"{described(fmt)}; try libx264 or ffv1"
    )
    return None


def _wanted_depth(options: OutputOptions, fmt: VideoFormat, processed: bool) -> int:
    if options.use == "preview":
        return 8
    own = fmt.rgb_depth or fmt.depth
    return max(own, ARCHIVE_DEPTH) if options.use == "archive" and processed else own


def _kinds(options: OutputOptions, fmt: VideoFormat) -> Iterator[tuple[bool, Chroma | None]]:
    """(RGB, chroma), best first: for lossless encoders what the source was; to watch, what every player shows."""
    lossless = options.codec in LOSSLESS
    if lossless and fmt.rgb_depth is not None:
        yield True, Chroma.C444
    if lossless and fmt.chroma is None:
        yield False, None
    if options.use == "preview" or (options.use == "delivery" and options.codec in _PLAYED):
        yield False, Chroma.C420
    for chroma in _NEAREST[fmt.chroma]:
        yield False, chroma
    if fmt.color.matrix in LUMA_WEIGHTS:
        yield True, Chroma.C444


_PLAYED = frozenset(
    {"libx264", "libx265", "libvpx-vp9", "h264_nvenc", "hevc_nvenc", "av1_nvenc", "mpeg2video"}
)
"""Encoders of formats whose decoders in television sets, telephones and browsers know 4:2:0 alone."""

_NEAREST: dict[Chroma | None, tuple[Chroma | None, ...]] = {
    None: (Chroma.C420, Chroma.C422, Chroma.C444, None),
    Chroma.C420: (Chroma.C420, Chroma.C422, Chroma.C444),
    Chroma.C422: (Chroma.C422, Chroma.C444, Chroma.C420),
    Chroma.C444: (Chroma.C444, Chroma.C422, Chroma.C420),
    Chroma.C440: (Chroma.C440, Chroma.C444, Chroma.C420, Chroma.C422),
    Chroma.C411: (Chroma.C411, Chroma.C422, Chroma.C444, Chroma.C420),
    Chroma.C410: (Chroma.C410, Chroma.C420, Chroma.C422, Chroma.C444),
}
"""For each chroma sampling, the samplings to try: itself, then what holds more, then what holds less."""


def _asked_format(
    options: OutputOptions, fmt: VideoFormat, taken: list[str], problems: list[str]
) -> VideoFormat | None:
    name = options.pixel_format
    if name not in taken:
        problems.append(f"pixel_format: {options.codec} cannot encode {name!r}{hint(name, taken)}")
        return None
    rgb, chroma, depth = WRITTEN[name]
    if not _size_fits(options.codec, chroma, fmt):
        problems.append(
            f"pixel_format: {name} needs even sizes with {options.codec}, "
            f'got {fmt.width}x{fmt.height}; try "auto" (4:4:4 for this size) or codec = "libsvtav1"'
        )
        return None
    if rgb and (fmt.chroma is None or fmt.color.matrix not in LUMA_WEIGHTS):
        what = "a grey picture" if fmt.chroma is None else f"matrix {fmt.color.matrix.name}"
        problems.append(f'pixel_format: {name} cannot be made of {what}; try "auto"')
        return None
    return _made(options, fmt, rgb, chroma, depth)


def _made(
    options: OutputOptions, fmt: VideoFormat, rgb: bool, chroma: Chroma | None, depth: int
) -> VideoFormat:
    color = fmt.color
    if rgb:
        color = replace(color, matrix=Matrix.RGB, full_range=True)
    elif options.codec in _LIMITED_ONLY:
        color = replace(color, full_range=False)
    return replace(fmt, chroma=chroma, depth=depth, color=color)


def _size_fits(codec: str, chroma: Chroma | None, fmt: VideoFormat) -> bool:
    if chroma is None or codec in _ODD_SIZES:
        return True
    down, across = chroma.value
    return fmt.width % (1 << across) == 0 and fmt.height % (1 << down) == 0


_SAMPLING = {
    None: "grey",
    Chroma.C420: "4:2:0",
    Chroma.C422: "4:2:2",
    Chroma.C444: "4:4:4",
    Chroma.C440: "4:4:0",
    Chroma.C411: "4:1:1",
    Chroma.C410: "4:1:0",
}


def conversions(options: OutputOptions, fmt: VideoFormat, target: VideoFormat) -> list[str]:
    """What an encoder's format changes of the samples of a chain that ends in `fmt`, for people."""
    said = []
    rgb = target.color.matrix is Matrix.RGB
    if fmt.rgb_depth is not None and not rgb:
        said.append(
            f"R, G, B is written as Y, Cb, Cr {_SAMPLING[target.chroma]} of {target.depth} bits; "
            f'codec = "ffv1" keeps it'
        )
    elif fmt.chroma is None and target.chroma is not None:
        said.append(f"grey is written with neutral chroma, {_SAMPLING[target.chroma]}")
    elif fmt.chroma is not target.chroma:
        kept = _with_chroma(options.codec, fmt.chroma, target.depth)
        said.append(
            f"chroma {_SAMPLING[fmt.chroma]} is written as {_SAMPLING[target.chroma]}"
            + (f'; pixel_format = "{kept}" keeps it, few players show it' if kept else "")
        )
    depth = fmt.rgb_depth or fmt.depth
    if target.depth < depth:
        how = "dithered" if options.dither else "rounded"
        said.append(f"{depth}-bit samples are {how} to {target.depth} bits")
    if fmt.color.full_range and not target.color.full_range:
        said.append(f"full range is written as limited range: {options.codec} can say no other")
    return said


def _with_chroma(codec: str, chroma: Chroma | None, depth: int) -> str | None:
    """FFmpeg's name of the format in which an encoder keeps a chroma sampling; None: in none."""
    wanted = (False, chroma, depth)
    return next((name for name in written_formats(codec) if WRITTEN[name] == wanted), None)


def described(fmt: VideoFormat) -> str:
    return pixel_format_of(fmt) or f"{fmt.depth}-bit"


def encoder_pixel_format(codec: str, fmt: VideoFormat) -> str | None:
    """FFmpeg's name of `fmt` as the encoder takes it; None where it does not."""
    return pixel_format_of(fmt, written_formats(codec))


@cache
def _offered(codec: str) -> frozenset[str]:
    return frozenset(f.name for f in av.Codec(codec, "w").video_formats or ())


def written_formats(codec: str) -> list[str]:
    """Formats of WRITTEN that an encoder takes."""
    return [name for name in WRITTEN if name in _offered(codec)]
