"""What the process holds of the machine's memory: freed planes are kept for the next frame, pages of libraries that only
loading needed are not."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

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
    without being read again, 16 at a time. Takes 45 ms. Where there is no Linux, nothing is done.

    Let go are pages that a library's own header says are never written to, of libraries that are loaded to the end, and that have
    not been written to either: other threads may load what they like meanwhile."""
    with suppress(OSError, AttributeError):
        # In this order: what the second finds untouched cannot be touched any more if it is in the first.
        fixed = _never_written()
        untouched = list(_untouched(Path("/proc/self/smaps").read_text()))
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, stop in untouched:
            if any(first <= start and stop <= last for first, last in fixed):
                madvise(start, stop - start, _MADV_DONTNEED)


class _Segment(ctypes.Structure):
    """Elf64_Phdr of <elf.h>."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        *(
            (name, ctypes.c_uint64)
            for name in ("offset", "address", "physical", "in_file", "size", "align")
        ),
    )


class _Library(ctypes.Structure):
    """struct dl_phdr_info of <link.h>, as far as it is used."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("segments", ctypes.POINTER(_Segment)),
        ("count", ctypes.c_uint16),
    )


_LOADED, _WRITTEN = 1, 2
"""PT_LOAD and PF_W of <elf.h>."""


def _never_written() -> list[tuple[int, int]]:
    """(start, stop), in whole pages, of the segments without leave to write of every loaded library."""
    found: list[tuple[int, int]] = []
    if sys.maxsize < 1 << 32:
        return found  # other structures
    page = mmap.PAGESIZE

    def note(library: Any, size: int, data: object) -> int:
        about = library.contents
        for segment in about.segments[: about.count]:
            if segment.kind == _LOADED and not segment.flags & _WRITTEN:
                start = about.base + segment.address
                stop = start + segment.size
                found.append((start // page * page, -(-stop // page) * page))
        return 0

    kind = ctypes.PYFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(_Library), ctypes.c_size_t, ctypes.c_void_p
    )
    # With Python's lock: a thread that loads a library has it or does without, so neither waits for the other.
    ctypes.PyDLL(None).dl_iterate_phdr(kind(note), None)
    return found


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
