"""What the process holds of the machine's memory: freed planes are kept for the next frame, pages of libraries that only
loading needed are not."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import struct
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


_LOADED, _WRITTEN = 1, 2
"""PT_LOAD and PF_W of <elf.h>."""
_MAGIC = b"\x7fELF\x02\x01"
"""Of 64 bits, least significant byte first."""
_SEGMENT = struct.Struct("<IIQQQQQQ")
"""Elf64_Phdr: kind, flags, place in the file, address, physical one, bytes in the file, bytes in memory, alignment."""
_HEADER = re.compile(r"^([0-9a-f]+)-[0-9a-f]+ r-.p 0+ \S+ \d+ +/.*\.so\b.*$", re.M)


def _never_written() -> list[tuple[int, int]]:
    """(start, stop), in whole pages, of the segments without leave to write of every library, by its own header in memory.

    The system's linker is not asked: while it counts libraries it keeps others from loading, and would have Python's lock
    taken for each; a thread that has this lock and loads a library never gives it back then."""
    found: list[tuple[int, int]] = []
    maps = Path("/proc/self/maps").read_text()
    with Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for mapping in _HEADER.finditer(maps):
            # Not by address: what is unloaded meanwhile is an error here, and a crash there.
            with suppress(OSError):
                start = int(mapping[1], 16)
                found += _fixed(start, os.pread(memory.fileno(), mmap.PAGESIZE, start))
    return found


def _fixed(start: int, header: bytes) -> Iterator[tuple[int, int]]:
    """(first, last) of those segments of the library at `start` that begins with `header`."""
    page = mmap.PAGESIZE
    if len(header) < page or not header.startswith(_MAGIC):
        return
    (at,), (size, count) = (
        struct.unpack_from("<Q", header, 32),
        struct.unpack_from("<HH", header, 54),
    )
    if size != _SEGMENT.size or at + size * count > page:
        return
    segments = (_SEGMENT.unpack_from(header, at + size * n) for n in range(count))
    loaded = [s for s in segments if s[0] == _LOADED]
    first = min((s[3] for s in loaded), default=0) // page * page
    for _, flags, _, address, _, _, length, _ in loaded:
        begin = start + address - first
        if not flags & _WRITTEN:
            yield begin // page * page, -(-(begin + length) // page) * page


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
