"""The static FFmpeg that imageio-ffmpeg brings, and what the linked libraries can do."""

from __future__ import annotations


def ffmpeg_binary() -> str | None:
    """Path of the static FFmpeg, or None when imageio-ffmpeg is not installed."""
    raise NotImplementedError


def capabilities() -> dict[str, str]:
    """Facts for `restore doctor`: library versions, and decoders and encoders present or missing."""
    raise NotImplementedError
