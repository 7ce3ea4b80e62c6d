"""What the process holds of the machine's memory: freed planes are kept for the next frame, pages of libraries that only
loading needed are not."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# <malloc.h> of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

# <sys/mman.h> of Linux
_MADV_DONTNEED = 4

_LARGEST = 32 << 20
"""Bytes: the largest that glibc takes for M_MMAP_THRESHOLD on 64-bit systems."""
_KEPT = 256 << 20
"""Bytes of free memory at the end of the heap that stay with the process."""


def keep_freed_memory() -> None:
    """Every frame takes the same few dozen planes and gives them back. glibc returns blocks of this size to the system
    at once and gets them again page by page, each page cleared: half of the time of a conversion to codes, measured alone.
    And it gives each thread a heap of its own, which goes back whole as soon as it is empty, while planes wander from thread
    to thread: with one heap for all, `bw_film_x2` gets next to no page from the system any more once it runs (100 to 500 a
    frame before), and takes 2 to 5 % less memory. To be called before threads are started. Where there is no glibc, nothing
    is done.

    What is kept is not free: to take planes above 4 MiB from the system each time, as a lower threshold does, saved 65 MiB of
    690 at 720x576 (while each thread had its heap), and cost a tenth of the processor time."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_ARENA_MAX, 1)


def give_back_freed() -> None:
    """Return what `keep_freed_memory` kept, once no more frames are made: what comes after them has other sizes, and would
    take room beside it. Where there is no glibc, nothing is done."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def give_back_libraries() -> None:
    """Let go of the pages of libraries that were read to load them: symbols, relocations, what ran once. They are the system's
    cache of the files, shared by all processes, and half of what this one seems to hold; those that are needed come back
    without being read again, 16 at a time. Pages that the process wrote to are not touched. Takes 45 ms. No other thread
    may load a library meanwhile: what is mapped is looked at first and let go afterwards. Where there is no Linux, nothing is
    done."""
    with suppress(OSError, AttributeError):
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, stop in _untouched(Path("/proc/self/smaps").read_text()):
            madvise(start, stop - start, _MADV_DONTNEED)


_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r-.p [0-9a-f]+ \S+ \d+ +/.*\.so\b.*$")


def _untouched(smaps: str) -> Iterator[tuple[int, int]]:
    """(start, stop) of every mapping of a library that cannot be written to and never was: what relocation wrote is
    closed to writing afterwards, and told by its anonymous pages."""
    found: re.Match[str] | None = None
    for line in smaps.splitlines():
        if line[0] in "0123456789abcdef":
            found = _MAPPING.match(line)
        elif found and line.startswith("Anonymous:") and line.split()[1] == "0":
            yield int(found[1], 16), int(found[2], 16)
