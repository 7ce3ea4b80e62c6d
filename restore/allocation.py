"""Memory that was given back is kept for the next frame, where the C library can be told so."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# <malloc.h> of glibc
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_LARGEST = 32 << 20
"""Bytes: the largest that glibc takes for M_MMAP_THRESHOLD on 64-bit systems."""
_KEPT = 256 << 20
"""Bytes of free memory at the end of the heap that stay with the process."""


def keep_freed_memory() -> None:
    """Every frame takes the same few dozen planes and gives them back. glibc returns blocks of this size to the system
    at once and gets them again page by page, each page cleared: half of the time of a conversion to codes, measured alone.
    Where there is no glibc, nothing is done."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
