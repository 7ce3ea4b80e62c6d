"""Segments and the source's other streams into one file; and proof that it holds what it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from restore.io.audio import StreamPlan
from restore.io.probe import Source
from restore.video import VideoFormat


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a second reading of the output found."""

    frames: int
    pts_error_ms: Fraction
    """Largest distance of a frame's time from where it should be."""
    av_offset_error_ms: Fraction | None
    """Largest change of an audio stream's start against the picture; None without audio."""
    audio_samples: dict[int, int]
    """Decoded samples per channel of each audio stream, by its number in the output."""
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        raise NotImplementedError


def join(
    segments: Sequence[Path], source: Source, plan: StreamPlan, out: Path, fmt: VideoFormat
) -> None:
    """One video stream of all segments' packets, interleaved with the source's other streams as `plan`
    says, written to `out` (container: plan.container). `fmt` is the encoded format. Raises OutputError."""
    raise NotImplementedError


def verify(
    out: Path, expected_pts_ms: Sequence[Fraction | int], source: Source, plan: StreamPlan
) -> VerifyReport:
    """Read `out` again and compare; `expected_pts_ms` are the frames' times on the source's clock
    (source.start is subtracted here). Raises OutputError on a mismatch."""
    raise NotImplementedError
