"""How much of a file is there, where its container says how long it is."""

from __future__ import annotations

from pathlib import Path

from restore.io.ebml import EBML, SEGMENT, head


def missing_bytes(path: Path) -> int:
    """Bytes by which an AVI or Matroska file is shorter than its own header says, or the last packet of a transport
    stream than all others: it was cut. 0 where nothing is missing, or nothing is said."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        end = 8 + int.from_bytes(start[4:8], "little")
        return 0 if end > 1 << 31 else max(0, end - path.stat().st_size)
    if {start[at : at + 1] for at in range(0, 4 * 188, 188)} == {b"G"}:
        return -path.stat().st_size % 188
    if start[:4] == EBML.to_bytes(4, "big"):
        return max(0, _segment_end(start) - path.stat().st_size)
    return 0


def _segment_end(start: bytes) -> int:
    """Where the Segment ends; 0 where it is of unknown size (a live recording), or there is none."""
    try:
        _, size, begin = head(start, 0)
        kind, length, begin = head(start, begin + (size or 0))
    except ValueError:
        return 0
    return 0 if kind != SEGMENT or length is None else begin + length
