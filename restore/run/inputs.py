"""The files a run reads, which must not change while it reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from restore.errors import InputError

WHOLE_FILE_LIMIT = 1 << 30
_SAMPLES = 256
_SAMPLE_BYTES = 1 << 20
_OFTEN = 1000
"""Files that are looked at after every segment; of more (images), only before the output gets its name."""

State = tuple[int, int, int]
"""Bytes, time of the last change in nanoseconds, and what the file system calls the file."""


def hash_file(path: Path) -> str:
    """SHA-256 of a file. Beyond 1 GiB, of its size and 256 evenly spaced MiB: reading an 80 GB capture
    twice would cost more than resuming saves."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= WHOLE_FILE_LIMIT:
            while chunk := file.read(_SAMPLE_BYTES):
                digest.update(chunk)
        else:
            for k in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * k // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def hash_all(paths: Iterable[Path]) -> str:
    """One hash over several files, in the order given."""
    return hashlib.sha256("".join(hash_file(p) for p in paths).encode()).hexdigest()


def hash_input(files: Sequence[Path]) -> str:
    """One hash over the files of a source, in order. Of very many files (images), beyond 1 GiB together, only the
    sizes and the first and last bytes are read."""
    sizes = [p.stat().st_size for p in files]
    share = WHOLE_FILE_LIMIT // max(1, len(files)) // 2
    if sum(sizes) <= WHOLE_FILE_LIMIT or share > _SAMPLE_BYTES:
        return hash_all(files)
    digest = hashlib.sha256(str(sizes).encode())
    for path, size in zip(files, sizes, strict=True):
        with path.open("rb") as file:
            digest.update(file.read(share))
            file.seek(max(0, size - share))
            digest.update(file.read(share))
    return digest.hexdigest()


class Watch:
    """The files as they were when the run looked at them first."""

    def __init__(self, seen: Mapping[Path, State], content: str) -> None:
        """`content`: hash_input of the files."""
        self._seen, self._content = seen, content

    def check(self, *, often: bool = False) -> None:
        """Raises InputError where a file is another than it was. `often`: this is asked again soon."""
        if often and len(self._seen) > _OFTEN:
            return
        moved = False
        for path, before in self._seen.items():
            try:
                now = state_of(path)
            except OSError as error:
                raise InputError(f"{path}: went away during the run: {error.strerror}") from error
            if now[:2] != before[:2]:
                raise InputError(
                    f"{path}: changed during the run: {before[0]} bytes at its start, {now[0]} now, written to since"
                )
            moved |= now != before
        # Some network drives number a file anew; another one under its name may have its size and time.
        small = sum(size for size, *_ in self._seen.values()) <= WHOLE_FILE_LIMIT
        if (moved or (small and not often)) and hash_input(list(self._seen)) != self._content:
            raise InputError(f"{next(iter(self._seen))}: its content changed during the run")


def state_of(path: Path) -> State:
    """Raises OSError."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino
