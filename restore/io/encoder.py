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
from restore.io.formats import described, encoder_pixel_format
from restore.io.hdr import hdr_options
from restore.io.output import OutputOptions
from restore.io.shaping import problems_of
from restore.io.tags import siting_name
from restore.video import Chroma, VideoFormat

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
_OWN_PRESETS: dict[str, tuple[str, ...]] = {
    "libsvtav1": ("13", "12", "11", "10", "9", "8", "6", "4", "2", "0"),
    "libvpx-vp9": ("8", "7", "6", "5", "4", "3", "2", "1", "0", "0"),
    "nvenc": ("p1", "p1", "p2", "p3", "p3", "p4", "p5", "p6", "p7", "p7"),
}
"""PRESETS in an encoder's own words, in the same order."""

KNOWN = (
    *("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"),
    *("h264_nvenc", "hevc_nvenc", "av1_nvenc"),
)
"""Encoders whose crf and preset are translated; any other gets `options` alone."""

_RATE_KEYS = frozenset({"b", "crf", "qp", "cq", "cqp", "rc", "lossless", "global_quality"})
"""Options that choose a rate or a quality themselves."""


NUMBERED = frozenset({"mpeg2video", "mpeg1video"})
"""Encoders that know a few frame rates and no other time: they get the frames' numbers at the nominal rate."""


NOMINAL_RATE = Fraction(25)
"""Frames per second an encoder plans for. Times are the packets' own; without it SVT-AV1 takes the time
base for the rate and refuses milliseconds."""


THREADS = {
    "libx264": 4,
    "libx264rgb": 4,
    "libx265": 4,
    "libsvtav1": 4,
    "libvpx-vp9": 4,
    "ffv1": 4,
    "prores_ks": 4,
}
"""Threads of an encoder, any other's is one: numbers of the plan, because x264 gives other bytes for each, libvpx for one than
for more, and FFmpeg's own a slice for each (docs/decisions/0013)."""

_LAST_WORD = {
    "libx264": {"x264-params": "cpu-independent=1"},
    "libx264rgb": {"x264-params": "cpu-independent=1"},
}
"""What stands behind all that a user sets. x264's AVX-512 code for the macroblock tree reads memory that nobody wrote, and
gives other pictures for it; without the code that gives other bytes on other processors it does not run."""


def _options(options: OutputOptions, fmt: VideoFormat) -> dict[str, str]:
    """FFmpeg's options for one encoder; what the user sets freely wins over all but `_LAST_WORD`."""
    found = {"chroma_sample_location": siting_name(fmt.color.siting)}
    if not _RATE_KEYS & options.options.keys():
        found |= _quality(options)
    found |= _manner(options, fmt)
    for key, value in (
        *hdr_options(options.codec, fmt.hdr).items(),
        *options.options.items(),
        *_LAST_WORD.get(options.codec, {}).items(),
    ):
        between = ":" if key.endswith("-params") else "" if key == "flags" else None
        joined = between is not None and key in found
        found[key] = f"{found[key]}{between}{value}" if joined else value
    return found


def _quality(options: OutputOptions) -> dict[str, str]:
    """crf in the encoder's own words."""
    codec, whole = options.codec, str(round(options.crf))
    if codec.endswith("_nvenc"):
        return {"rc": "vbr", "cq": whole, "b": "0"}
    if codec == "libvpx-vp9":
        return {"crf": whole, "b": "0"}
    if "crf" in private_options(codec):
        # SVT-AV1 counts in whole steps.
        return {"crf": whole if codec == "libsvtav1" else f"{options.crf:g}"}
    if codec in NUMBERED or codec in ("mpeg4", "mjpeg"):
        # Its quantiser runs from 1 to 31; 2 looks like crf 18, and both double every six steps of crf.
        step = min(31.0, max(1.0, 2 ** ((options.crf - 12) / 6)))
        return {"flags": "+qscale", "global_quality": str(round(118 * step))}
    return {}


def _manner(options: OutputOptions, fmt: VideoFormat) -> dict[str, str]:
    """Speed, threads and what else an encoder needs to do what is expected of it."""
    codec, threads = options.codec, THREADS.get(options.codec, 1)
    preset = own_preset(options)
    if codec == "libx264":
        return {"preset": preset}
    if codec == "libx265":
        # Frame threads change what x265 decides; threads over rows do not.
        params = f"log-level=none:pools={threads}:frame-threads=1"
        # The one encoder that leaves captions out unless it is asked.
        return {"preset": preset, "x265-params": params, "a53cc": "1"}
    if codec == "libsvtav1":
        return {"preset": preset, "svtav1-params": f"lp={threads}"}
    if codec == "libvpx-vp9":
        return {"deadline": "good", "cpu-used": preset, "row-mt": "1", "g": "240"}
    if codec.endswith("_nvenc"):
        return {"preset": preset, "tune": "hq"}
    if codec == "ffv1":
        # Every frame stands alone and every slice has a checksum, so that damage stays small and is found.
        return {"level": "3", "slicecrc": "1", "g": "1"} | _slices(fmt)
    if codec == "prores_ks":
        profile = "4444" if fmt.chroma is Chroma.C444 else "hq"
        return {"profile": profile, "vendor": "apl0"}  # the name that editing programs expect
    if codec == "mpeg2video":
        return {"seq_disp_ext": "always", "bf": "2", "g": "12"}
    return {"preset": options.preset} if "preset" in private_options(codec) else {}


def _slices(fmt: VideoFormat) -> dict[str, str]:
    """Slices of an FFV1 frame: about what archives use (24 for HD), fewer for pictures with fewer rows. Where
    chroma does not divide the size, slices may not be counted freely: FFmpeg takes 4 or fewer."""
    if fmt.chroma is not None:
        down, across = fmt.chroma.value
        if fmt.width % (1 << across) or fmt.height % (1 << down):
            return {}
    return {"slices": "4" if fmt.height < 400 else "12" if fmt.height < 720 else "24"}


def own_preset(options: OutputOptions) -> str:
    """The preset in the encoder's own words; as it is where it is one of those already."""
    family = "nvenc" if options.codec.endswith("_nvenc") else options.codec
    own = _OWN_PRESETS.get(family)
    if own is None or options.preset not in PRESETS:
        return options.preset
    return own[PRESETS.index(options.preset)]


def presets_of(codec: str) -> tuple[str, ...]:
    """Every value of `preset` that an encoder of KNOWN takes."""
    if codec == "libsvtav1":
        return (*PRESETS, *map(str, range(14)))
    if codec.endswith("_nvenc"):
        return (*PRESETS, *(f"p{n}" for n in range(1, 8)))
    return PRESETS


def open_encoder(options: OutputOptions, fmt: VideoFormat) -> VideoCodecContext:
    """An open encoder for `fmt` (see encoded_format). Raises OutputError."""
    context = cast(VideoCodecContext, CodecContext.create(options.codec, "w"))
    configure(context, options, fmt)
    try:
        context.open()
    except (av.FFmpegError, ValueError) as error:
        raise refused(options, fmt, error) from error
    return context


def configure(context: VideoCodecContext, options: OutputOptions, fmt: VideoFormat) -> None:
    """Settings of an encoder that is not open yet. Raises OutputError."""
    problems = problems_of(options.codec, options.options)
    if problems:  # whoever built them: no encoder is ever given others
        raise OutputError("\n".join(f"[output]: {p}" for p in problems))
    name = encoder_pixel_format(options.codec, fmt)
    if name is None:
        raise OutputError(
            f'pixel_format: {options.codec} takes no {fmt.depth}-bit {fmt.chroma}; try "auto"'
        )
    if options.codec == "libsvtav1":
        # It prints to stderr past every logger, and this is its only switch.
        os.environ.setdefault("SVT_LOG", "1")
    context.width, context.height, context.pix_fmt = fmt.width, fmt.height, name
    context.time_base = 1 / NOMINAL_RATE if options.codec in NUMBERED else fmt.time_base
    # No frame may last less than a tick: libvpx refuses one of 0 ticks.
    context.framerate = min(NOMINAL_RATE, 1 / context.time_base)
    context.sample_aspect_ratio = fmt.sample_aspect
    context.colorspace = fmt.color.matrix
    context.color_primaries = fmt.color.primaries
    context.color_trc = fmt.color.transfer
    context.color_range = 2 if fmt.color.full_range else 1
    context.thread_count = THREADS.get(options.codec, 1)
    # As FFmpeg itself has it. PyAV's default, threads over slices, costs x264 a fourth of its speed.
    context.thread_type = "AUTO"
    context.flags |= Flags.bitexact | Flags.global_header
    context.options = _options(options, fmt)


def refused(options: OutputOptions, fmt: VideoFormat, error: Exception) -> OutputError:
    """What to tell the user about an encoder that does not open."""
    if options.codec.endswith("_nvenc"):
        return OutputError(
            f"codec: {options.codec} does not open: it needs an NVIDIA GPU with an encoder (NVENC; data-centre "
            f"cards such as A100 and H100 have none), a driver that is new enough, and a format the card "
            f'knows ({fmt.width}x{fmt.height} {described(fmt)}); try codec = "libx264" or "libx265"'
        )
    return OutputError(
        f"{options.codec} refuses {fmt.width}x{fmt.height} {described(fmt)} with "
        f"preset {options.preset!r} and options {options.options}: {error}; try fewer options"
    )


def carries_captions(codec: str) -> bool:
    """The encoder writes the closed captions that come with frames into its bitstream."""
    return "a53cc" in private_options(codec)


@cache
def private_options(codec: str) -> frozenset[str]:
    """Names of an encoder's own options."""
    context = CodecContext.create(codec, "w")
    return frozenset(o.name for o in context.supported_options.private)
