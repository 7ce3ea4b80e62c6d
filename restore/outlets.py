"""Standard output and error that never stop the work: a reader that went away, a full disk, a closed terminal."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, TextIO, cast


class Outlet:
    """`stream`, until it can no longer be written to; what comes later is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.trouble: OSError | None = None
        """What ended it."""

    def write(self, text: str) -> int:
        if self.trouble is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._close(error)
        return len(text)

    def flush(self) -> None:
        if self.trouble is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._close(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _close(self, error: OSError) -> None:
        self.trouble = error
        # What the stream still holds goes nowhere too.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def open_outlets() -> None:
    """Put outlets before sys.stdout and sys.stderr. Where a descriptor below 3 is closed, as a service may have it, the next
    file to be opened would get its number, and what is printed: it leads nowhere instead."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name) or open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        setattr(sys, name, cast(TextIO, Outlet(stream)))


def close_outlets(code: int) -> int:
    """Say that output was lost, and give the exit code. A reader that had enough is no fault."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    trouble = getattr(sys.stdout, "trouble", None)
    if trouble is None or trouble.errno == errno.EPIPE:
        return code
    sys.stderr.write(
        f"error: standard output cannot be written: {trouble.strerror}; what was printed is lost, files are complete\n"
    )
    sys.stderr.flush()
    return code or 2
