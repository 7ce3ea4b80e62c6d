"""How much of a file is there, where its container says how long it is."""

from __future__ import annotations

from pathlib import Path

_SEGMENT = 0x18538067
_EBML = b"\x1a\x45\xdf\xa3"


def missing_bytes(path: Path) -> int:
    """Bytes by which an AVI or Matroska file is shorter than its own header says, or the last packet of a transport
    stream than all others: it was cut. 0 where nothing is missing, or nothing is said."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        end = 8 + int.from_bytes(head[4:8], "little")
        return 0 if end > 1 << 31 else max(0, end - path.stat().st_size)
    if {head[at : at + 1] for at in range(0, 4 * 188, 188)} == {b"G"}:
        return -path.stat().st_size % 188
    if head[:4] == _EBML:
        return max(0, _segment_end(head) - path.stat().st_size)
    return 0


def _segment_end(head: bytes) -> int:
    """Where the Segment ends; 0 where it is of unknown size (a live recording)."""
    size, start = _number(head, 4)
    at = start + size
    if int.from_bytes(head[at : at + 4], "big") != _SEGMENT:
        return 0
    size, start = _number(head, at + 4)
    unknown = (1 << 7 * (start - at - 4)) - 1
    return 0 if size == unknown else start + size


def _number(head: bytes, at: int) -> tuple[int, int]:
    """(EBML's number of variable size at `at`, where it ends) (RFC 8794, section 4)."""
    first = head[at] if at < len(head) else 0
    length = 9 - first.bit_length() if first else 8
    value = int.from_bytes(head[at : at + length], "big")
    return value & ((1 << 7 * length) - 1), at + length
