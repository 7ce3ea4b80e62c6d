"""What becomes of every stream that is not the restored video, decided by trial before the render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from restore.io.probe import Source


@dataclass(frozen=True, slots=True)
class StreamAction:
    """The fate of one stream."""

    index: int
    """In the source."""
    kind: Literal["audio", "video", "subtitle", "data", "attachment", "unknown"]
    codec: str
    action: Literal["copy", "convert", "drop"]
    to: str | None
    """Codec converted to; None unless action is 'convert'."""
    reason: str


@dataclass(frozen=True, slots=True)
class StreamPlan:
    container: str
    """FFmpeg's name of the output container: 'matroska', 'mp4', 'mov'."""
    streams: tuple[StreamAction, ...] = ()
    chapters: bool = True
    """Chapters go along."""

    def lines(self) -> list[str]:
        """For people: one line a stream."""
        return [
            f"stream {s.index} ({s.kind}, {s.codec}): {s.action}"
            + (f" to {s.to}" if s.to else "")
            + f": {s.reason}"
            for s in self.streams
        ]


def plan_streams(
    source: Source, container: str, audio: Literal["copy", "flac", "none"]
) -> StreamPlan:
    """Decide by muxing real packets into `container` ('mkv', 'mp4', 'mov') and decoding them back."""
    raise NotImplementedError
