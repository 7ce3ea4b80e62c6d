"""Chapters of a file, on the clock of another."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.container import InputContainer

from restore.io.source import Span
from restore.io.text import decode_text

Chapter = Any
"""PyAV's dictionary: id, start, end, time_base, metadata."""


def moved_chapters(file: InputContainer, origin: Fraction, span: Span | None) -> list[Chapter]:
    """The chapters of `file` with `origin` (seconds) as 0, titles decoded; of a part, those that it touches,
    cut to it."""
    chapters: list[Chapter] = list(file.chapters())
    for chapter in chapters:
        base = Fraction(chapter["time_base"] or 1)
        if span is not None and span.end is not None:
            chapter["end"] = min(chapter["end"], round(span.end / base))
        chapter["start"] = max(0, chapter["start"] - round(origin / base))
        chapter["end"] = max(chapter["start"] + 1, chapter["end"] - round(origin / base))
        chapter["metadata"] = {
            k: decode_text(v.encode("latin-1")) for k, v in chapter["metadata"].items()
        }
    if span is None:
        return chapters
    return [c for c in chapters if c["end"] > c["start"] + 1]
