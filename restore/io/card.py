"""Decoding by an NVIDIA card (NVDEC), where table [input] asks for it and the card can."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import av
from av.codec.hwaccel import HWAccel
from av.video.stream import VideoStream

from restore.errors import InputError
from restore.io.pixels import rescaled
from restore.io.reader import frames_of, open_input
from restore.io.source import Source

TAKEN = {"yuv420p": "nv12", "yuv420p10le": "p010le"}
"""Pixel formats that a card is asked for, and the one that its frames then come in: the same codes."""

Asked = Literal["none", "cuda"]


def accelerator(number: int) -> HWAccel:
    """Of CUDA device `number`; what it does not decode is decoded by FFmpeg on the CPU."""
    return HWAccel("cuda", device=str(number), allow_software_fallback=True)


def refusal(number: int) -> str | None:
    """Why CUDA device `number` decodes nothing; None where it can be opened for that."""
    try:
        av.CodecContext.create("h264", "r", hwaccel=accelerator(number))
    except av.FFmpegError as error:
        return error.strerror
    return None


def choose_decoder(source: Source, asked: Asked, quantisers: bool, number: int) -> Source:
    """`source`, decoded by CUDA device `number` if `asked` is 'cuda' and it can be, which a first frame shows; its notes
    say what came of it. `quantisers`: whether a stage reads those of the bitstream. InputError where there is no such
    device."""
    if asked == "none":
        return source
    why = refusal(number)
    if why is not None:
        raise InputError(
            f"{source.path}: [input] hwaccel: expected CUDA device {number} with a decoder (NVDEC), found none ({why}); "
            f"try hwaccel = \"none\", or see 'restore doctor'"
        )
    reason = _reason_against(source, quantisers, number)
    if reason is not None:
        return _noted(source, f'[input] hwaccel "cuda": {reason}: decoded on the CPU')
    video = replace(source.video, card=number)
    return _noted(replace(source, video=video), f"decoded by CUDA device {number} (NVDEC)")


def from_card(frame: av.VideoFrame, pixel_format: str) -> av.VideoFrame:
    """A frame that a card decoded, in the pixel format that a decoder on the CPU gives; any other as it is. Exact."""
    packed = TAKEN.get(pixel_format) == frame.format.name
    return rescaled(frame, format=pixel_format) if packed else frame


def _reason_against(source: Source, quantisers: bool, number: int) -> str | None:
    video = source.video
    if quantisers:
        return "a stage reads quantisers, which only decoders on the CPU tell"
    if any(part.images for part in source.parts):
        return "the input is a sequence of images"
    if video.pixel_format not in TAKEN:
        return f"cards decode no {video.pixel_format} here"
    with open_input(*source.parts[0].files, card=accelerator(number)) as container:
        stream = container.streams[video.index]
        if isinstance(stream, VideoStream):
            for frame in frames_of(container, stream, lambda *_: None):
                if frame.format.name != TAKEN[video.pixel_format]:
                    break
                decoded = video.layout.decoded
                if (frame.width, frame.height) != (decoded.width, decoded.height):
                    # FFmpeg leaves what a stream cuts off at the left and top on the card.
                    return "cards do not cut off what the stream says"
                return None
    return f"this card does not decode {video.codec} in {video.pixel_format}"


def _noted(source: Source, text: str) -> Source:
    return replace(source, notes=(*source.notes, text))
