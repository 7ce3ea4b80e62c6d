"""Encode one segment to a file that keeps exact times; check an output before the render."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Literal

from pydantic import Field

from restore.options import Options
from restore.video import FrameBatch, VideoFormat


class OutputOptions(Options):
    """Table [output]: how the result is encoded."""

    codec: str = "libx264"
    """FFmpeg's name of the encoder: libx264, libx265, libsvtav1, ffv1 (lossless)."""
    crf: float = 18
    """Constant quality of the lossy encoders: lower is better and larger; ffv1 has none."""
    preset: str = "medium"
    """Speed against size, in the encoder's own words (libsvtav1: 0 slow to 13 fast; medium = 8)."""
    pixel_format: str = "auto"
    """FFmpeg's name, for example yuv420p10le; auto: the format's own chroma and depth, or the
    nearest one above it that the encoder takes. Grey is written with neutral chroma."""
    options: dict[str, str] = Field(default_factory=dict)
    """Free options of the encoder, as FFmpeg names them, for example {"x264-params": "keyint=48"}."""
    audio: Literal["copy", "flac", "none"] = "copy"
    """copy: bit for bit where the container allows, else lossless FLAC; flac: always; none: drop."""
    dither: bool = True
    """Dither before rounding to output codes, so that smooth areas do not band."""


def encoded_format(options: OutputOptions, fmt: VideoFormat) -> VideoFormat:
    """The format in which the encoder wants its codes (depth and chroma), for a chain that ends in
    `fmt`. The worker must deliver this depth; chroma of `fmt` is converted by the encoder."""
    raise NotImplementedError


def check_output(options: OutputOptions, fmt: VideoFormat, out_path: Path) -> list[str]:
    """Every reason why `fmt` cannot be written to `out_path` so: 'output: key: expected, got; try'."""
    raise NotImplementedError


class SegmentEncoder:
    """Integer codes to one NUT file, written beside `path` and renamed by `close`."""

    def __init__(self, path: Path, fmt: VideoFormat, options: OutputOptions, threads: int) -> None:
        raise NotImplementedError

    def write(self, batch: FrameBatch) -> None:
        """Frames in display order; pts in fmt.time_base. Raises OutputError."""
        raise NotImplementedError

    def close(self) -> None:
        """Flush and rename: only now does `path` exist."""
        raise NotImplementedError

    def abort(self) -> None:
        """Leave nothing behind."""
        raise NotImplementedError

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
