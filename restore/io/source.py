"""What a file holds, as `probe` found it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from restore.io.geometry import Crop, Turn
from restore.io.timecode import Timecode
from restore.video import VideoFormat


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """How fields become frames, decided once, before the first frame."""

    deinterlace: Literal["off", "bwdif", "w3fdif"] = "off"
    telecine: Literal["off", "match", "decimate"] = "off"
    """match: fields of one film frame are put together again; decimate: and of five frames, the one that
    then repeats its neighbour is dropped (3:2 pulldown)."""
    top_first: bool = True
    """Of a frame's two fields, the top one is the earlier."""
    per_field: bool = False
    """Deinterlacing makes a frame of each field, not of each pair."""
    interlaced: bool = False
    """The fields belong to different times, whether that is undone or not."""

    @property
    def active(self) -> bool:
        return self.deinterlace != "off" or self.telecine != "off"

    @property
    def rate(self) -> Fraction:
        """Frames made of one decoded frame, on average."""
        if self.deinterlace != "off" and self.per_field:
            return Fraction(2)
        return Fraction(4, 5) if self.telecine == "decimate" else Fraction(1)


@dataclass(frozen=True, slots=True)
class Layout:
    """What `decode` does to pictures, decided before the first one; by itself nothing."""

    decoded: VideoFormat
    """Of the pictures as they come, or, where they differ, as most of them do."""
    scan: ScanPlan = field(default_factory=ScanPlan)
    crop: Crop = field(default_factory=Crop)
    turn: Turn = field(default_factory=Turn)
    """After the crop."""
    size_change: Literal["scale", "error"] = "scale"
    """What is done with pictures of another size than `decoded`."""


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
    """Of the planes `decode` yields (deinterlaced, cropped and turned), every colour tag resolved."""
    frame_rate: Fraction | None
    """Decoded frames per second as the header says: a hint, never used for time."""
    header_duration: Fraction | None
    """Seconds as the header says: a hint; the frames decide."""
    start_pts: int
    """Of the first decoded frame, in format.time_base units, before repair."""
    turn: Turn = field(default_factory=Turn)
    """What the file asks players to do with the picture; `layout` has what is done."""
    cut_at_start: tuple[int, int] = (0, 0)
    """(down, right) luma samples of the coded picture that the bitstream cuts off before the first one decoded."""
    stated: Crop = field(default_factory=Crop)
    """What the container asks players to cut off; `layout` has what is done."""
    card: int | None = None
    """Number of the CUDA device that decodes it; None: FFmpeg's decoders on the CPU."""
    chosen: Layout | None = None
    """None: nothing was decided yet, pictures stay as they are decoded."""

    @property
    def layout(self) -> Layout:
        return self.chosen or Layout(self.format)


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
    """Seconds of the first decoded sample on the container's clock; of its header, where none comes early."""


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
    end: Fraction | None = None
    """Seconds on the container's clock at which the picture ends; None: not all of it was seen yet."""
    pace: Fraction | None = None
    """Frames per second of what has no times of its own (images, a bare stream); None: frames have theirs."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of the container, decoded."""
    notes: tuple[str, ...] = ()
    """Each decision about something unknown or impossible, for the log."""
    losses: tuple[str, ...] = ()
    """What of the picture is given up whatever the output is: transparency, a turn that cannot be done."""
    side_data: frozenset[str] = frozenset()
    """What frames carry along that a viewer may miss (see restore.io.side_data), as far as samples show."""
    timecode: Timecode | None = None
    """Of the frame at video.start_pts."""
    other_sizes: tuple[int, int] | None = None
    """(frames of another size than most, frames looked at); None: all are of one size."""
