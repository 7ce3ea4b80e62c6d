"""What a file holds, as `probe` found it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from restore.video import VideoFormat


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The one video stream that is restored."""

    index: int
    """Stream number in the container."""
    codec: str
    """FFmpeg's name of the codec, for example 'rv40'."""
    pixel_format: str
    """As the decoder delivers it (FFmpeg's name)."""
    read_as: str
    """Pixel format of the planes `decode` yields; equal to `pixel_format`, or what it is converted to."""
    format: VideoFormat
    """Of the decoded planes, every colour tag resolved."""
    frame_rate: Fraction | None
    """Frames per second as the header says: a hint, never used for time."""
    header_duration: Fraction | None
    """Seconds as the header says: a hint; the frames decide."""
    start_pts: int
    """Of the first decoded frame, in format.time_base units, before repair."""
    rotation: int
    """Degrees clockwise a player must turn the picture: 0, 90, 180, 270. Not applied."""


@dataclass(frozen=True, slots=True)
class AudioStream:
    index: int
    codec: str
    rate: int
    """Samples per second."""
    layout: str
    """FFmpeg's name of the channel layout."""
    channels: int
    language: str | None
    """ISO 639-2, or None."""
    title: str | None
    start: Fraction | None
    """Seconds of the first packet on the container's clock."""


OtherKind = Literal["video", "subtitle", "data", "attachment", "unknown"]


@dataclass(frozen=True, slots=True)
class OtherStream:
    index: int
    kind: OtherKind
    """'video' is a further video stream, or a cover picture."""
    codec: str
    language: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file, in seconds on its container's clock; `start` becomes 0 in the output."""

    start: Fraction
    end: Fraction | None = None
    """Excluded; None: to the end of the file."""

    def holds(self, time: Fraction) -> bool:
        return time >= self.start and (self.end is None or time < self.end)


@dataclass(frozen=True, slots=True)
class Part:
    """What is read in one go; a source of several files is a row of parts."""

    files: tuple[Path, ...]
    """One file, or those that it was split into at any byte, or all of a sequence's images."""
    offset: Fraction = Fraction(0)
    """Seconds to add to its clock: the source's clock is the first part's."""
    streams: Mapping[int, int] | None = None
    """Its own number of each of the source's streams that it holds; None: they are the same."""
    images: bool = False
    """`files` are images, one a frame."""


@dataclass(frozen=True, slots=True)
class Source:
    """What `probe` found. Nothing in it was taken on trust where a frame could be asked."""

    path: Path
    """The first file; `parts` has all of them."""
    container: str
    """FFmpeg's name of the container format."""
    video: VideoStream
    parts: tuple[Part, ...]
    """At least one; restore.io.parts reads them."""
    audio: tuple[AudioStream, ...] = ()
    other: tuple[OtherStream, ...] = ()
    start: Fraction = Fraction(0)
    """Seconds on the container's clock that become 0 in the output: the earliest start of any
    audio or video stream, as FFmpeg counts it."""
    pace: Fraction | None = None
    """Frames per second of what has no times of its own (images, a bare stream); None: frames have theirs."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of the container, decoded."""
    notes: tuple[str, ...] = ()
    """Each decision about something unknown or impossible, for the log."""
