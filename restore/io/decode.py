"""Frames of a damaged file, every one of them, with true times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from restore.io.probe import Source
from restore.video import FrameBatch

EventKind = Literal["damaged", "packet", "demux", "stamp"]
"""damaged: a frame with an error concealed by the decoder; packet: a packet the decoder refused;
demux: the container is broken here; stamp: a time stamp was repaired."""


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    pts_ms: int | None
    """Milliseconds on the container's clock (repaired); None where no time is known."""
    text: str


@dataclass(slots=True)
class DecodeLog:
    """What went wrong on the way; written by `decode`, read by the caller at any time."""

    events: list[Event] = field(default_factory=list)
    """In order; of each kind at most LIMIT are kept, `counts` knows them all."""
    counts: dict[EventKind, int] = field(default_factory=dict)
    frames: int = 0


def decode(
    source: Source, *, batch: int = 8, quantisers: bool = False, log: DecodeLog | None = None
) -> Iterator[FrameBatch]:
    """Every decodable frame, as integer code planes (uint8; uint16 above 8 bits) of
    source.video.format, in display order, `batch` frames at a time; FrameInfo complete but for `scene`.

    Errors are logged and survived. `quantisers` adds FrameBatch.quant where the codec tells.
    Raises InputError when the picture changes size midway, or not one frame can be decoded."""
    raise NotImplementedError
