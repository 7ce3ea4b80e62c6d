"""Frames of a damaged file, every one of them, with true times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import Literal

import av
import numpy as np
import torch

from restore.color import HdrMetadata
from restore.errors import InputError
from restore.io.captions import captions_of
from restore.io.filters import undo_fields
from restore.io.geometry import chroma_error, place_map, place_planes, shift_chroma
from restore.io.hdr import hdr_of
from restore.io.length import missing_bytes
from restore.io.parts import timed_frames
from restore.io.picture import Picture
from restore.io.pixels import to_planes
from restore.io.quantiser import quant_map
from restore.io.reader import ReadFault
from restore.io.resize import one_size, watched
from restore.io.side_data import HDR_CHANGE, travelling
from restore.io.source import Source, VideoStream
from restore.io.timeline import Timed
from restore.video import FrameBatch, FrameInfo, QuantMap

LIMIT = 100_000
"""Events kept of each kind."""

EventKind = Literal["damaged", "packet", "demux", "stamp", "size"]
"""damaged: a frame with an error concealed by the decoder; packet: a packet the decoder refused;
demux: the container is broken here; stamp: a time stamp was repaired; size: the picture changed its
size, pixel format or sample aspect ratio."""


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    pts_ms: int | None
    """Milliseconds on the container's clock (repaired); None where no time is known."""
    text: str
    claimed: int | None = None
    """stamp: the time in the file, in the video's time base; None: there was none."""
    became: int | None = None
    """stamp: the time instead of it."""


@dataclass(slots=True)
class DecodeLog:
    """What went wrong on the way; written by `decode`, read by the caller at any time."""

    events: list[Event] = field(default_factory=list)
    """In order; of each kind at most LIMIT are kept, `counts` knows them all."""
    counts: dict[EventKind, int] = field(default_factory=dict)
    frames: int = 0
    """Yielded so far."""
    refused: list[int] = field(default_factory=list)
    """pts of the packets that the video's decoder refused, where they had one, in its time base."""
    side_data: list[str] = field(default_factory=list)
    """What frames carried along that a viewer may miss (see restore.io.side_data), each once."""

    def add(
        self,
        kind: EventKind,
        seconds: Fraction | None,
        text: str,
        claimed: int | None = None,
        became: int | None = None,
    ) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= LIMIT:
            at = None if seconds is None else round(seconds * 1000)
            self.events.append(Event(kind, at, text, claimed, became))


def decode(
    source: Source, *, batch: int = 8, quantisers: bool = False, log: DecodeLog | None = None
) -> Iterator[FrameBatch]:
    """Every decodable frame, as integer code planes (uint8; uint16 above 8 bits, int32 above 16) of
    source.video.format, in display order, `batch` frames at a time; FrameInfo complete but for `scene`.
    Fields are made frames, borders cut off and the picture turned as source.video.layout says.

    Errors are logged and survived. `quantisers` adds FrameBatch.quant where the codec tells.
    Raises InputError when not one frame can be decoded, or when the picture changes size midway where
    the layout says that this is an error."""
    log = DecodeLog() if log is None else log
    video = source.video
    pictures = watched(_pictures(source, quantisers, log), video, source.path, log.add)
    # Scaled, the fields of a frame would run into each other.
    frames = undo_fields(pictures, video.layout.scan, video.layout.decoded, video.read_as)
    made = one_size(frames, video)
    while held := list(islice(made, batch)):
        log.frames += len(held)
        yield as_batch(held, video, quantisers)
    for part in source.parts:
        if len(part.files) == 1 and (missing := missing_bytes(part.files[0])):
            log.add("demux", None, f"{part.files[0].name} ends {missing} bytes too early: cut off")
    if log.frames == 0:
        raise InputError(
            f"{source.path}: not one frame can be decoded; try another copy of the file"
        )


def _pictures(source: Source, quantisers: bool, log: DecodeLog) -> Iterator[Picture]:
    """Every frame as the decoder gives it, its time repaired."""
    time_base = source.video.layout.decoded.time_base
    # What `source.video.format` has of them.
    ticks = int(time_base / source.video.format.time_base)

    def report(kind: ReadFault, pts: int | None, text: str) -> None:
        log.add(kind, None if pts is None else pts * time_base, text)
        if kind == "packet" and pts is not None:
            log.refused.append(pts * ticks)

    for index, timed in enumerate(timed_frames(source, report, quantisers=quantisers)):
        quant = (
            quant_map(source.video.codec, timed.item, source.video.cut_at_start)
            if quantisers
            else None
        )
        if timed.repair is not None:
            _tell_stamp(timed, time_base, ticks, log)
        _tell_side_data(timed.item, source.video.format.hdr, log)
        yield Picture(timed.item, _info(index, timed, time_base, log), quant)


def _tell_stamp(
    timed: Timed[av.VideoFrame], time_base: Fraction, ticks: int, log: DecodeLog
) -> None:
    claimed, became = timed.item.pts, timed.pts
    text = f"{timed.repair}: {claimed} became {became}"
    claimed = None if claimed is None else claimed * ticks
    log.add("stamp", became * time_base, text, claimed, became * ticks)


def _tell_side_data(frame: av.VideoFrame, stated: HdrMetadata | None, log: DecodeLog) -> None:
    found = travelling(frame)
    hdr = hdr_of(frame)
    if hdr is not None and (
        stated is None or (hdr.mastering, hdr.light) != (stated.mastering, stated.light)
    ):
        found.add(HDR_CHANGE)
    log.side_data += sorted(found - set(log.side_data))


def _info(
    index: int, timed: Timed[av.VideoFrame], time_base: Fraction, log: DecodeLog
) -> FrameInfo:
    frame, seconds = timed.item, timed.pts * time_base
    if frame.is_corrupt:
        log.add("damaged", seconds, "the decoder concealed errors in this frame")
    return FrameInfo(
        index=index,
        pts=timed.pts,
        duration=timed.duration,
        picture_type=picture_type(frame),
        damaged=bool(frame.is_corrupt),
        captions=captions_of(frame),
    )


def picture_type(frame: av.VideoFrame) -> str:
    """'I', 'P' or 'B'; '?' where the bitstream does not say."""
    return _TYPES.get(int(frame.pict_type), "?")


# AVPictureType; S is MPEG-4's sprite (a P frame), SI, SP and BI are kinds of I, P and B.
_TYPES = {1: "I", 2: "P", 3: "B", 4: "P", 5: "I", 6: "P", 7: "B"}


def as_batch(held: list[Picture], video: VideoStream, quantisers: bool) -> FrameBatch:
    """Frames of the layout's decoded size, cropped and turned. Copies the codes: one allocation per plane, one copy
    per frame."""
    fmt, layout = video.format, video.layout
    decoded, crop, turn = layout.decoded, layout.crop, layout.turn
    dtype = np.uint8 if fmt.depth == 8 else np.uint16 if fmt.depth <= 16 else np.int32
    planes = [np.empty((len(held), 1, h, w), dtype) for h, w in fmt.plane_shapes()]
    for n, picture in enumerate(held):
        found = place_planes(to_planes(picture.frame, decoded, video.read_as), decoded, crop, turn)
        for plane, codes in zip(planes, found, strict=True):
            plane[n, 0] = codes
    quant: tuple[QuantMap | None, ...] = ()
    if quantisers:
        size = (decoded.height, decoded.width)
        quant = tuple(p.quant and place_map(p.quant, size, crop, turn) for p in held)
    return FrameBatch(
        planes=shift_chroma(
            tuple(torch.from_numpy(p) for p in planes), fmt, chroma_error(decoded, crop, turn)
        ),
        frames=tuple(p.info for p in held),
        format=fmt,
        quant=quant,
    )
