"""Chapters of a source, on the clock of its output."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from restore.io.containers import is_quicktime
from restore.io.parts import open_parts
from restore.io.source import Source, Span
from restore.io.text import decode_text

Chapter = Any
"""PyAV's dictionary: id, start, end, time_base, metadata."""


def moved_chapters(
    source: Source, origin: Fraction, span: Span | None, container: str
) -> list[Chapter]:
    """The chapters of all parts with `origin` (seconds) as 0, titles decoded, as `container` can have them; of
    a span, those that it touches, cut to it."""
    chapters: list[Chapter] = []
    for part in open_parts(source):
        for chapter in part.container.chapters():
            base = Fraction(chapter["time_base"] or 1)
            zero = round((origin - part.offset) / base)
            if span is not None and span.end is not None:
                chapter["end"] = min(chapter["end"], round((span.end - part.offset) / base))
            chapter["start"] = max(0, chapter["start"] - zero)
            chapter["end"] = max(chapter["start"] + 1, chapter["end"] - zero)
            chapter["metadata"] = {
                k: decode_text(v.encode("latin-1")) for k, v in chapter["metadata"].items()
            }
            if part.offset:
                chapter["id"] = len(chapters) + 1  # each file counts its own
            chapters.append(chapter)
    if span is not None:
        chapters = [c for c in chapters if c["end"] > c["start"] + 1]
    if chapters and is_quicktime(container):
        chapters[0]["start"] = 0  # its chapters are a track of text, which begins with the film
    return chapters
