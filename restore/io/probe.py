"""What a file holds, decided once: streams, sizes, colour, times, and every doubt about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from restore.options import Options
from restore.video import VideoFormat


class InputOptions(Options):
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
    sample_aspect: str = "auto"
    """Width over height of one sample, as '12:11'; 'auto': as the file says, else square."""


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


@dataclass(frozen=True, slots=True)
class OtherStream:
    index: int
    kind: Literal["video", "subtitle", "data", "attachment", "unknown"]
    """'video' is a further video stream, or a cover picture."""
    codec: str
    language: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What `probe` found. Nothing in it was taken on trust where a frame could be asked."""

    path: Path
    container: str
    """FFmpeg's name of the container format."""
    video: VideoStream
    audio: tuple[AudioStream, ...] = ()
    other: tuple[OtherStream, ...] = ()
    start: Fraction = Fraction(0)
    """Seconds on the container's clock that become 0 in the output: the earliest start of any
    audio or video stream, as FFmpeg counts it."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Of the container, decoded."""
    notes: tuple[str, ...] = ()
    """Each decision about something unknown or impossible, for the log."""


def probe(path: Path, options: InputOptions) -> Source:
    """Open `path`, decode its first frame and say what is there.
    Raises InputError: not a local video file, no video in it, nothing decodable, beyond the limits."""
    raise NotImplementedError
