"""What a file holds, decided once: streams, sizes, colour, times, and every doubt about them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import av
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream as AvVideoStream
from pydantic import Field

from restore.color import ColorInfo, HdrMetadata, Matrix, Primaries, Siting, Transfer
from restore.errors import InputError
from restore.io.geometry import stated_turn
from restore.io.hdr import hdr_names, hdr_of
from restore.io.layout import PictureOptions
from restore.io.pixels import has_alpha, is_full_range, is_rgb, planes_of, readable_as
from restore.io.reader import MAX_SIDE, ReadFault, believable, codec_name, frames_of, open_input
from restore.io.side_data import travelling
from restore.io.source import AudioStream, OtherStream, Part, Source, VideoStream
from restore.io.sps import cut_at_start
from restore.io.starts import sound_starts
from restore.io.stated import container_crop
from restore.io.tags import (
    MATRIX,
    PRIMARIES,
    SITING,
    TRANSFER,
    codec_siting,
    frame_color,
    name_of,
    siting_name,
    stated_siting,
)
from restore.io.text import MAX_TEXT, decode_text
from restore.io.timecode import Timecode, dpx_timecode, is_timecode, timecode_in
from restore.video import VideoFormat

__all__ = ["AudioStream", "InputOptions", "OtherStream", "Source", "VideoStream", "probe"]

MAX_ERRORS = 500
"""Packets refused in a row before a file counts as undecodable."""
MAX_TAGS = 1000
"""Entries of container metadata that are kept."""


class InputOptions(PictureOptions):
    """Table [input]: how the input file is read. 'auto' believes the stream's tags where it has any."""

    matrix: Literal["auto", "bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc"] = (
        "auto"
    )
    """Matrix between Y, Cb, Cr and R, G, B (H.273 table 4); bt470bg and smpte170m are BT.601."""
    primaries: Literal[
        "auto", "bt709", "bt470m", "bt470bg", "smpte170m", "smpte240m", "film", "bt2020"
    ] = "auto"
    """Colour primaries (H.273 table 2)."""
    transfer: Literal[
        "auto",
        "bt709",
        "gamma22",
        "gamma28",
        "smpte170m",
        "smpte240m",
        "linear",
        "srgb",
        "pq",
        "hlg",
    ] = "auto"
    """Transfer characteristics (H.273 table 3)."""
    range: Literal["auto", "limited", "full"] = "auto"
    """limited: 8-bit luma is 16..235; full: 0..255."""
    siting: Literal["auto", "left", "center", "topleft", "top", "bottomleft", "bottom"] = "auto"
    """Where subsampled chroma lies: center is MPEG-1, left is MPEG-2 and later."""
    sample_aspect: str = Field(default="auto", pattern=r"^(auto|[1-9]\d{0,4}:[1-9]\d{0,4})$")
    """Width over height of one sample, as '12:11'; 'auto': as the file says, else square."""
    frame_rate: str = Field(
        default="auto", pattern=r"^(auto|[1-9]\d{0,2}(\.\d{1,6})?|[1-9]\d{0,5}/[1-9]\d{0,5})$"
    )
    """Frames per second of what has no times of its own, images and bare streams, as "16", "23.976" or
    "24000/1001"; auto: 24 for images, what a bare stream's header says. Times that a file has are kept."""
    missing: Literal["error", "repeat"] = "error"
    """Numbers that are missing in a sequence of images. repeat: the image before is shown once more."""
    square_pixels: bool = False
    """true: samples of the output are square, its width stretched or squeezed behind the last stage; false: the
    sample aspect ratio stays, as a tag."""
    hdr: Literal["refuse", "drop"] = "refuse"
    """HDR metadata that the encoder cannot carry: refuse to begin, or drop it. What it can is always kept."""
    hwaccel: Literal["none", "cuda"] = "none"
    """cuda: `restore run` decodes with the NVIDIA card (NVDEC) what it decodes, the rest, and whatever a stage reads quantisers
    of, on the CPU. MPEG-1, MPEG-2 and MPEG-4 ASP may then differ in last bits, damaged frames of any codec in more."""
    conceal: Literal["auto", "off"] = "auto"
    """auto: damaged frames are repaired from the good ones around them where these agree, and frames whose packets the
    decoder refused are put in; off: every frame is what the decoder gives."""
    duplicates: Literal["auto", "off"] = "auto"
    """auto: a frame that shows the picture before it again is restored once; its number and time stay. off: every
    frame goes through the chain."""


def probe(path: Path, options: InputOptions, *more: Path) -> Source:
    """Open `path`, which goes on in `more` if it was split, decode its first frame and say what is there.
    Raises InputError: not a local video file, no video in it, nothing decodable, beyond the limits."""
    notes: list[str] = []
    losses: list[str] = []
    files = (path, *more)
    with open_input(*files) as container:
        stream = _pick_video(container, path, notes)
        siting = stated_siting(stream)
        frame = _first_frame(container, stream, path)
        video = _video(stream, frame, siting, options, notes, losses)
        number = container.streams.video.index(stream)
        size = (video.format.width, video.format.height)
        stated = container_crop(path, container.format.name, number, stream.id, size)
        video = replace(video, stated=stated)
        _doubt_header(container, sum(f.stat().st_size for f in files), video, notes)
        with open_input(*files) as again:
            heard = sound_starts(again, again.streams.audio)
        audio = tuple(_audio(s, heard.get(s.index)) for s in container.streams.audio)
        other = tuple(
            _other(s)
            for s in container.streams
            if s.type != "audio" and s.index != stream.index and not is_timecode(s)
        )
        timecode = _timecode(container, stream, frame, video, path, losses)
        starts = [video.start_pts * video.format.time_base, _start(stream)]
        starts += [a.start for a in audio]
        return Source(
            path=path,
            container=container.format.name,
            video=video,
            parts=(Part(files),),
            audio=audio,
            other=other,
            start=min(s for s in starts if s is not None),
            metadata=_texts(container.metadata, notes),
            notes=tuple(notes),
            losses=tuple(losses),
            side_data=frozenset(travelling(frame)),
            timecode=timecode,
        )


def _pick_video(container: InputContainer, path: Path, notes: list[str]) -> AvVideoStream:
    """The best moving picture (covers are none)."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        kinds = sorted({codec_name(s) if s.type == "audio" else s.type for s in container.streams})
        held = f"only {', '.join(kinds)}" if kinds else "no streams"
        raise InputError(f"{path}: expected video, found none; the file holds {held}")
    best = container.streams.best("video")
    stream = next((s for s in moving if best is not None and s.index == best.index), moving[0])
    if stream.codec_context is None:
        raise InputError(
            f"{path}: stream {stream.index}: expected video that can be decoded, found a codec that "
            f"FFmpeg does not know; try converting it with the program that made it"
        )
    if len(moving) > 1:
        notes.append(f"{len(moving)} video streams: stream {stream.index} is restored")
    return stream


def _first_frame(container: InputContainer, stream: AvVideoStream, path: Path) -> av.VideoFrame:
    """Decoded, and within the limits."""
    errors: list[str] = []

    def report(kind: ReadFault, pts: int | None, text: str) -> None:
        errors.append(text)
        if len(errors) > MAX_ERRORS:
            raise _undecodable(path, stream, errors)

    for frame in frames_of(container, stream, report):
        if max(frame.width, frame.height) > MAX_SIDE:
            raise InputError(
                f"{path}: expected at most {MAX_SIDE} samples a side, "
                f"found {frame.width}x{frame.height}"
            )
        return frame
    raise _undecodable(path, stream, errors)


def _undecodable(path: Path, stream: AvVideoStream, errors: list[str]) -> InputError:
    why = f" ({errors[0]})" if errors else ""
    return InputError(
        f"{path}: stream {stream.index} ({codec_name(stream)}): expected frames, "
        f"none can be decoded{why}; try another copy of the file"
    )


def _video(
    stream: AvVideoStream,
    frame: av.VideoFrame,
    siting: Siting | None,
    options: InputOptions,
    notes: list[str],
    losses: list[str],
) -> VideoStream:
    pixel_format = frame.format.name
    read_as = readable_as(pixel_format)
    chroma, depth, rgb_depth = planes_of(read_as)
    rate = stream.guessed_rate or stream.average_rate
    codec = codec_name(stream)
    said = frame_color(frame, is_full_range(pixel_format), siting)
    if is_rgb(pixel_format):
        # Y, Cb, Cr are made here, so their matrix and range are ours to choose.
        said = replace(said, matrix=Matrix.UNSPECIFIED, full_range=None, siting=None)
    elif said.matrix is Matrix.RGB:
        notes.append("the matrix is tagged RGB, but the planes are Y, Cb, Cr: the tag is not used")
        said = replace(said, matrix=Matrix.UNSPECIFIED)
    color = _overridden(said, options).resolve(frame.height, rate, codec_siting(codec))
    _note_guesses(_overridden(said, options), color, chroma is not None, notes)
    if rgb_depth is not None:
        notes.append(
            f"{pixel_format}, {rgb_depth}-bit R, G, B, is worked on as {depth}-bit Y, Cb, Cr, which is exact"
        )
    if has_alpha(pixel_format):
        losses.append(f"transparency: {pixel_format} carries it, it is not read")
    elif stream.metadata.get("alpha_mode") == "1":
        losses.append(
            f"transparency: the file has it beside the picture, and {codec} is read without"
        )
    time_base = Fraction(stream.time_base or Fraction(1, 1000))
    return VideoStream(
        index=stream.index,
        codec=codec,
        pixel_format=pixel_format,
        read_as=read_as,
        format=VideoFormat(
            width=frame.width,
            height=frame.height,
            chroma=chroma,
            depth=depth,
            time_base=time_base,
            color=color,
            sample_aspect=_sample_aspect(stream, options),
            rgb_depth=rgb_depth,
            hdr=_hdr(frame, options, notes),
        ),
        frame_rate=Fraction(rate) if rate else None,
        header_duration=None if stream.duration is None else stream.duration * time_base,
        start_pts=next(
            t
            for said in (frame.pts, frame.dts, stream.start_time, 0)
            if (t := believable(said, time_base)) is not None
        ),
        turn=stated_turn(frame, losses),
        cut_at_start=cut_at_start(stream.codec_context.extradata) if codec == "h264" else (0, 0),
    )


def _hdr(frame: av.VideoFrame, options: InputOptions, notes: list[str]) -> HdrMetadata | None:
    found = hdr_of(frame)
    if found is None:
        return None
    notes.append(f"HDR metadata: {', '.join(hdr_names(found))}")
    return replace(found, may_go=options.hdr == "drop")


def _overridden(said: ColorInfo, options: InputOptions) -> ColorInfo:
    """`said`, with what table [input] sets."""
    return ColorInfo(
        MATRIX.get(options.matrix, said.matrix),
        PRIMARIES.get(options.primaries, said.primaries),
        TRANSFER.get(options.transfer, said.transfer),
        {"limited": False, "full": True}.get(options.range, said.full_range),
        SITING.get(options.siting, said.siting),
    )


def _note_guesses(said: ColorInfo, color: ColorInfo, has_chroma: bool, notes: list[str]) -> None:
    guesses = []
    if said.matrix is Matrix.UNSPECIFIED and has_chroma:
        guesses.append(f"matrix {name_of(MATRIX, color.matrix)}")
    if said.primaries is Primaries.UNSPECIFIED:
        guesses.append(f"primaries {name_of(PRIMARIES, color.primaries)}")
    if said.transfer is Transfer.UNSPECIFIED:
        guesses.append(f"transfer {name_of(TRANSFER, color.transfer)}")
    if said.full_range is None:
        guesses.append("limited range")
    if said.siting is None and has_chroma:
        guesses.append(f"{siting_name(color.siting)} chroma")
    if guesses:
        notes.append(f"not tagged, taken as: {', '.join(guesses)}; [input] overrides")


def _timecode(
    container: InputContainer,
    stream: AvVideoStream,
    frame: av.VideoFrame,
    video: VideoStream,
    path: Path,
    losses: list[str],
) -> Timecode | None:
    """Of the first decoded frame, as the container, else the frame itself says (DPX, H.264, HEVC, a GOP of MPEG)."""
    text, at = timecode_in(container), _start(stream)
    if text is None:
        if video.codec == "dpx":
            with path.open("rb") as file:
                text = dpx_timecode(file.read(2048))
        elif video.codec in _SAID_BY_FRAMES:
            text = frame.metadata.get("timecode")
        if text is None or (video.codec in _GOPS and not text.strip("0:;.")):
            return None  # an encoder that was told no time code counts from 0
    code = None if video.frame_rate is None else Timecode.of(text, video.frame_rate)
    if code is None:
        rate = "an unknown rate" if video.frame_rate is None else f"{video.frame_rate} frames/s"
        losses.append(f"time code: {text[:40]!r} is none at {rate}")
    elif at is not None:
        # A container's is that of the stream's start; frames that cannot be decoded may come first.
        late = video.start_pts * video.format.time_base - at
        code = code.later(round(late * code.rate)) if 0 < late < _LATE else code
    return code


_SAID_BY_FRAMES = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video"})
"""Codecs whose frames have one. Other metadata of frames is free text in any encoding."""
_GOPS = frozenset({"mpeg1video", "mpeg2video"})
"""Codecs that have a time code in every group of pictures, wanted or not."""
_LATE = 60
"""Seconds."""


def _sample_aspect(stream: AvVideoStream, options: InputOptions) -> Fraction:
    if options.sample_aspect != "auto":
        width, height = options.sample_aspect.split(":")
        return Fraction(int(width), int(height))
    said = stream.sample_aspect_ratio
    return Fraction(said) if said else Fraction(1)


_USUAL_RATES = (10, 12, 12.5, 15, 16, 18, 20, 23.976, 24, 25, 29.97, 30, 48, 50, 59.94, 60)
_UNSTATED_BIT_RATE = 0x3FFFF * 400
"""MPEG-1's way of saying that the rate varies (ISO 11172-2, 2.4.3.2)."""


def _doubt_header(
    container: InputContainer, size: int, video: VideoStream, notes: list[str]
) -> None:
    """Say it when the header claims what can hardly be."""
    rate = video.frame_rate
    if rate is not None and not any(abs(rate - usual) < 0.02 for usual in _USUAL_RATES):
        notes.append(f"the header says {float(rate):.5g} frames/s: the frames decide")
    seconds = video.header_duration
    rates = [s.codec_context.bit_rate or 0 for s in container.streams if s.codec_context]
    rates = [r for r in rates if r != _UNSTATED_BIT_RATE]
    if seconds and sum(rates) * seconds / 8 > 2 * size:
        notes.append(
            f"the header says {float(seconds):.0f} s, which would take more bytes than the file has: "
            f"the frames decide"
        )


def _audio(stream: AvAudioStream, start: Fraction | None) -> AudioStream:
    context = stream.codec_context
    return AudioStream(
        index=stream.index,
        codec=codec_name(stream),
        rate=context.sample_rate if context else 0,
        layout=context.layout.name if context else "unknown",
        channels=context.channels if context else 0,
        language=_language(stream),
        title=_title(stream),
        start=_start(stream) if start is None else start,
    )


def _other(stream: Stream) -> OtherStream:
    kind = "unknown" if stream.type == "audio" else stream.type
    return OtherStream(stream.index, kind, codec_name(stream), _language(stream), _title(stream))


def _language(stream: Stream) -> str | None:
    return None if stream.language in (None, "", "und") else stream.language


def _title(stream: Stream) -> str | None:
    title = stream.metadata.get("title") or stream.metadata.get("filename")
    return decode_text(title.encode("latin-1")) if title else None


def _start(stream: Stream) -> Fraction | None:
    if stream.start_time is None or not stream.time_base:
        return None
    return stream.start_time * Fraction(stream.time_base)


def _texts(raw: dict[str, str], notes: list[str]) -> dict[str, str]:
    """Container metadata (latin-1: one character a byte) as people read it."""
    texts = {}
    if len(raw) > MAX_TAGS:
        notes.append(f"{len(raw)} entries of metadata: the first {MAX_TAGS} are kept")
    for key, value in islice(raw.items(), MAX_TAGS):
        if len(value) > MAX_TEXT:
            notes.append(f"{key[:80]} has {len(value)} bytes: the first {MAX_TEXT} are kept")
            value = value[:MAX_TEXT]
        data = value.encode("latin-1")
        text = texts[decode_text(key.encode("latin-1"))] = decode_text(data)
        if text.encode("utf-8", "replace") != data:
            shown = text if len(text) <= 200 else f"{text[:200]}..."
            notes.append(f"{key} is not UTF-8: read as {shown!r}")
    return texts
