"""EBML, the syntax of Matroska (RFC 8794), read and written: elements of a number, a size and a content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Element = tuple[int, bytes]
"""(id, content)."""

EBML, SEGMENT, TRACKS, TRACK = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE
"""Ids of the elements on the way to a track."""
VOID, CRC = 0xEC, 0xBF


def number(data: bytes, at: int, keep_marker: bool = False) -> tuple[int, int]:
    """(variable-length integer at `at`, position after it); an id is kept with its marker. ValueError where `data` ends
    before it does."""
    length = 9 - data[at].bit_length() if at < len(data) else 9
    if length > 8 or at + length > len(data):
        raise ValueError(f"no EBML number at byte {at}")
    value = int.from_bytes(data[at : at + length], "big")
    return (value if keep_marker else value & ~(1 << 7 * length)), at + length


def head(data: bytes, at: int) -> tuple[int, int | None, int]:
    """(id, size, position of the content) of the element at `at`; size None: it is unknown. ValueError as `number`."""
    kind, at = number(data, at, keep_marker=True)
    size, begin = number(data, at)
    return kind, None if size == (1 << 7 * (begin - at)) - 1 else size, begin


def children(content: bytes) -> Iterator[Element]:
    """The elements that `content` is made of. ValueError where it is not."""
    at = 0
    while at < len(content):
        kind, size, begin = head(content, at)
        if size is None or begin + size > len(content):
            raise ValueError(f"EBML element {kind:#x} at byte {at} reaches beyond its parent")
        yield kind, content[begin : begin + size]
        at = begin + size


def serialised(elements: Iterable[Element]) -> bytes:
    return b"".join(element(kind, content) for kind, content in elements)


def element(kind: int, content: bytes, size_bytes: int | None = None) -> bytes:
    """One element; its size takes `size_bytes`, or as few as it needs."""
    length = size_bytes or next(n for n in range(1, 9) if len(content) < (1 << 7 * n) - 1)
    size = (len(content) | 1 << 7 * length).to_bytes(length, "big")
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + size + content


def filled(content: bytes, length: int) -> bytes:
    """`content` and a Void element, `length` bytes together. ValueError where that cannot be."""
    spare = length - len(content)
    if spare == 0:
        return content
    if not 2 <= spare < 128:
        raise ValueError(f"no Void element has {spare} bytes here")
    return content + element(VOID, bytes(spare - 2))


def unsigned(value: int) -> bytes:
    """Content of an unsigned integer, at least a byte, at most eight. OverflowError above."""
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
