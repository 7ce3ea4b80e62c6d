"""A file that was split at any byte, as one again: DVD-Video (VTS_01_1.VOB ...), film.avi.001 ..."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path


class SplitFile:
    """What FFmpeg needs of a file: read, seek, tell, and a name to guess the format by.

    Each file is open only while it is read, so there is nothing to close."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.name = str(files[0])
        self._files = list(files)
        self._ends = list(accumulate(f.stat().st_size for f in files))
        self._at = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes, fewer at the end of a file; none at the end of the last."""
        number = bisect_right(self._ends, self._at)
        if number == len(self._files):
            return b""
        begin = self._ends[number - 1] if number else 0
        with self._files[number].open("rb") as file:
            file.seek(self._at - begin)
            data = file.read(min(size, self._ends[number] - self._at))
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1]}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at
