"""Frames of a damaged file, every one of them, with true times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import av
import numpy as np
import torch

from restore.errors import InputError
from restore.io.parts import timed_frames
from restore.io.pixels import to_planes
from restore.io.quantiser import quant_map
from restore.io.reader import ReadFault
from restore.io.source import Source
from restore.io.timeline import Timed
from restore.video import FrameBatch, FrameInfo

LIMIT = 100_000
"""Events kept of each kind."""

EventKind = Literal["damaged", "packet", "demux", "stamp"]
"""damaged: a frame with an error concealed by the decoder; packet: a packet the decoder refused;
demux: the container is broken here; stamp: a time stamp was repaired."""


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

    Errors are logged and survived. `quantisers` adds FrameBatch.quant where the codec tells.
    Raises InputError when the picture changes size midway, or not one frame can be decoded."""
    log = DecodeLog() if log is None else log
    time_base = source.video.format.time_base

    def report(kind: ReadFault, pts: int | None, text: str) -> None:
        log.add(kind, None if pts is None else pts * time_base, text)
        if kind == "packet" and pts is not None:
            log.refused.append(pts)

    held: list[tuple[av.VideoFrame, FrameInfo]] = []
    for index, timed in enumerate(timed_frames(source, report, quantisers=quantisers)):
        held.append((timed.item, _info(index, timed, time_base, log)))
        if len(held) == batch:
            yield _batch(held, source, quantisers, log)
            held = []
    if held:
        yield _batch(held, source, quantisers, log)
    if log.frames == 0:
        raise InputError(
            f"{source.path}: not one frame can be decoded; try another copy of the file"
        )


def _info(
    index: int, timed: Timed[av.VideoFrame], time_base: Fraction, log: DecodeLog
) -> FrameInfo:
    frame, seconds = timed.item, timed.pts * time_base
    if timed.repair is not None:
        text = f"{timed.repair}: {frame.pts} became {timed.pts}"
        log.add("stamp", seconds, text, frame.pts, timed.pts)
    if frame.is_corrupt:
        log.add("damaged", seconds, "the decoder concealed errors in this frame")
    return FrameInfo(
        index=index,
        pts=timed.pts,
        duration=timed.duration,
        picture_type=_TYPES.get(int(frame.pict_type), "?"),
        damaged=bool(frame.is_corrupt),
    )


# AVPictureType; S is MPEG-4's sprite (a P frame), SI, SP and BI are kinds of I, P and B.
_TYPES = {1: "I", 2: "P", 3: "B", 4: "P", 5: "I", 6: "P", 7: "B"}


def _batch(
    held: list[tuple[av.VideoFrame, FrameInfo]], source: Source, quantisers: bool, log: DecodeLog
) -> FrameBatch:
    """Copies the codes: one allocation per plane, one copy per frame."""
    fmt = source.video.format
    dtype = np.uint8 if fmt.depth == 8 else np.uint16 if fmt.depth <= 16 else np.int32
    planes = [np.empty((len(held), 1, h, w), dtype) for h, w in fmt.plane_shapes()]
    for n, (frame, info) in enumerate(held):
        if (frame.width, frame.height) != (fmt.width, fmt.height):
            raise InputError(
                f"{source.path}: at {round(info.pts * fmt.time_base * 1000)} ms the picture changes "
                f"from {fmt.width}x{fmt.height} to {frame.width}x{frame.height}, which is not "
                f"supported yet; try cutting the file there and restoring the parts"
            )
        for plane, codes in zip(planes, to_planes(frame, fmt, source.video.read_as), strict=True):
            plane[n, 0] = codes
    log.frames += len(held)
    return FrameBatch(
        planes=tuple(torch.from_numpy(p) for p in planes),
        frames=tuple(info for _, info in held),
        format=fmt,
        quant=tuple(quant_map(source.video.codec, f) for f, _ in held) if quantisers else (),
    )
