"""Encode one segment to a file that keeps exact times."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
from av.packet import Packet
from av.video.stream import VideoStream

from restore.errors import OutputError
from restore.faults import brief, cannot_write, machine_fault
from restore.io.check import check_output
from restore.io.encoder import (
    NOMINAL_RATE,
    NUMBERED,
    carries_captions,
    configure,
    open_encoder,
    refused,
)
from restore.io.formats import described, encoded_format, encoder_pixel_format
from restore.io.output import OutputOptions, container_of
from restore.io.pixels import from_planes
from restore.video import FrameBatch, FrameInfo, VideoFormat

__all__ = [
    "OutputOptions",
    "SegmentEncoder",
    "check_output",
    "container_of",
    "encoded_format",
    "open_encoder",
]

START = "restore_start"
"""Metadata key of a segment: pts of its first frame. The file itself begins at 0."""


EncoderFrames = list[tuple[FrameInfo, av.VideoFrame]]
"""Frames as an encoder takes them, with copies of their codes."""


class SegmentEncoder:
    """Integer codes to one file (see _segment_file), written beside `path` and renamed by `close`: a file at `path`
    is whole. NUT and QuickTime keep any time base exactly, FFmpeg's Matroska only milliseconds."""

    def __init__(self, path: Path, fmt: VideoFormat, options: OutputOptions) -> None:
        """`fmt`: what encoded_format gave. Raises OutputError where the encoder does not take it."""
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._format = fmt
        self._options = options
        self._name = encoder_pixel_format(options.codec, self._format) or ""
        self._captions = carries_captions(options.codec)
        self._container: av.container.OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._start = 0
        self._last: int | None = None
        self._times: list[int] = []
        """By frame number, for encoders of NUMBERED."""

    @property
    def format(self) -> VideoFormat:
        """In which the codes are encoded."""
        return self._format

    def write(self, batch: FrameBatch) -> None:
        """Frames in display order; codes as `format` says, pts in fmt.time_base, increasing.
        Raises OutputError, ValueError for a batch of another format."""
        self.encode(self.frames(batch))

    def frames(self, batch: FrameBatch) -> EncoderFrames:
        """The first half of `write`, which copies the codes: in a thread of its own it costs the encoder nothing.
        ValueError for a batch of another format."""
        self._check(batch)
        arrays = [p.cpu().numpy() for p in batch.planes]
        made: EncoderFrames = []
        for n, info in enumerate(batch.frames):
            captions = info.captions if self._captions else b""
            planes = [a[n, 0] for a in arrays]
            made.append((info, from_planes(planes, self._format, self._name, captions)))
        return made

    def encode(self, frames: EncoderFrames) -> None:
        """The second half, in order. Raises as `write` does."""
        for info, frame in frames:
            stream = self._stream or self._open(info.pts)
            if self._last is not None and info.pts <= self._last:
                raise ValueError(f"frame {info.index}: pts {info.pts} after {self._last}")
            self._last = info.pts
            frame.pts, frame.time_base = self._stamp(info.pts - self._start)
            self._mux(self._packets(stream, frame))

    def close(self) -> None:
        """Flush and rename: only now does `path` exist. Raises OutputError if nothing was written."""
        if self._container is None or self._stream is None:
            raise OutputError(f"{self._path}: a segment without frames cannot be written")
        self._mux(self._packets(self._stream, None))
        try:
            self._container.close()
            self._container = None
            with self._part.open("rb") as written:
                os.fsync(written.fileno())
            self._part.replace(self._path)
        except (av.FFmpegError, OSError) as error:
            raise cannot_write(self._part, error) from error

    def abort(self, idle: bool = True) -> None:
        """Leave nothing behind. `idle`: no other thread is inside the encoder; else what it uses is left alone, and only
        the file's name is taken away."""
        if self._container is not None and idle:
            with suppress(av.FFmpegError, OSError):  # what it still holds may not fit on the disk
                self._container.close()
            self._container = None
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> SegmentEncoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """`close` after success, `abort` after an error."""
        if kind is None:
            self.close()
        else:
            self.abort()

    def _stamp(self, pts: int) -> tuple[int, Fraction]:
        """Time for the encoder of a frame at `pts`."""
        if self._options.codec not in NUMBERED:
            return pts, self._format.time_base
        self._times.append(pts)
        return len(self._times) - 1, 1 / NOMINAL_RATE

    def _restamp(self, packet: Packet[VideoStream]) -> None:
        """Give a packet of a numbered frame its time back. Decode times before the first are a tick apart."""
        times, pts, dts = self._times, packet.pts or 0, packet.dts or 0
        packet.pts = times[pts]
        packet.dts = times[dts] if dts >= 0 else times[0] + dts
        packet.duration, packet.time_base = 0, self._format.time_base

    def _check(self, batch: FrameBatch) -> None:
        got, want = batch.format, self._format
        mine = (want.width, want.height, want.depth, want.chroma)
        same = (got.width, got.height, got.depth, got.chroma) == mine
        if not same or batch.planes[0].is_floating_point():
            raise ValueError(
                f"expected {want.depth}-bit codes of {want.width}x{want.height} {_sampling(want)}, "
                f"got {got.depth}-bit {batch.planes[0].dtype} of {got.width}x{got.height} {_sampling(got)}"
            )

    def _open(self, start: int) -> VideoStream:
        try:
            self._container = _segment_file(self._part, self._options.codec)
            self._container.metadata[START] = str(start)
            stream = cast(VideoStream, self._container.add_stream(self._options.codec))
            configure(stream.codec_context, self._options, self._format)
            stream.time_base = self._format.time_base
            self._container.start_encoding()
        except (av.FFmpegError, ValueError, OSError) as error:
            self.abort()
            raise refused(self._options, self._format, error) from error
        self._start, self._stream = start, stream
        return stream

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        if self._container is None:
            raise ValueError("the segment is closed")
        try:
            if self._options.codec in NUMBERED:
                for packet in packets:
                    self._restamp(packet)
            self._container.mux(packets)
        except (av.FFmpegError, OSError) as error:
            raise cannot_write(self._part, error, "try another encoder") from error

    def _packets(
        self, stream: VideoStream, frame: av.VideoFrame | None
    ) -> list[Packet[VideoStream]]:
        """What the encoder makes of `frame`, and of those it still holds where there is no more. Raises OutputError."""
        try:
            return stream.codec_context.encode(frame)
        except (av.FFmpegError, MemoryError, RuntimeError) as error:
            codec, fmt = self._options.codec, self._format
            raise OutputError(
                f"{codec}: {fmt.width}x{fmt.height} {described(fmt)} cannot be encoded: "
                + (machine_fault(error) or f"{brief(error)}; try another preset or another encoder")
            ) from error


def _segment_file(path: Path, codec: str) -> av.container.OutputContainer:
    """A file for packets of an encoder: NUT, or QuickTime for the few that NUT does not know (ProRes)."""
    # Decode times before the first frame would otherwise shift every time.
    options = {"fflags": "+bitexact", "avoid_negative_ts": "disabled"}
    nut = av.open(str(path), "w", format="nut", container_options=options)
    if av.Codec(codec, "w").canonical_name in nut.supported_codecs:
        return nut
    nut.close()
    options |= {"movflags": "+use_metadata_tags"}  # START is a name of ours
    return av.open(str(path), "w", format="mov", container_options=options)


def _sampling(fmt: VideoFormat) -> str:
    return "grey" if fmt.chroma is None else fmt.chroma.name
