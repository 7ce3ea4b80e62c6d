"""Pages that only loading needed are given back, and no others; memory of planes is had again without the system."""

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from restore.allocation import (
    _never_written,
    _untouched,
    give_back_libraries,
)

SMAPS = """\
7f0000000000-7f0000100000 r--p 00000000 fd:00 12                 /lib/libcode.so.6
Rss:                 512 kB
Anonymous:             0 kB
7f0000100000-7f0000200000 r-xp 00100000 fd:00 12                 /lib/libcode.so.6
Rss:                 512 kB
Anonymous:             0 kB
7f0000200000-7f0000300000 r--p 00200000 fd:00 12                 /lib/libcode.so.6
Rss:                 512 kB
Anonymous:             8 kB
7f0000300000-7f0000400000 rw-p 00300000 fd:00 12                 /lib/libcode.so.6
Rss:                   0 kB
Anonymous:             0 kB
7f0000400000-7f0000500000 r--p 00000000 fd:00 13                 /usr/share/locale/archive
Anonymous:             0 kB
7f0000500000-7f0000600000 r--p 00000000 00:00 0
Anonymous:             0 kB
"""


def test_only_mappings_of_libraries_that_were_never_written_to() -> None:
    found = list(_untouched(SMAPS))
    assert found == [(0x7F0000000000, 0x7F0000100000), (0x7F0000100000, 0x7F0000200000)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_that_may_be_written_to_counts_as_never_written() -> None:
    fixed = _never_written()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [(tuple(int(end, 16) for end in m[0].split("-")), m[1], m[-1]) for m in maps]
    code = [span for span, rights, name in spans if "libtorch_cpu" in name and "x" in rights]
    assert code
    assert all(any(a <= first and last <= b for a, b in fixed) for first, last in code)
    written = [span for span, rights, _ in spans if "w" in rights]
    assert not any(first < b and a < last for first, last in written for a, b in fixed)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_libraries_work_on_with_fewer_pages() -> None:
    before = resident("RssFile")
    give_back_libraries()
    assert resident("RssFile") < before / 2
    given = torch.arange(6.0).view(1, 1, 2, 3)
    wanted = np.arange(6.0).reshape(2, 3) @ np.arange(6.0).reshape(2, 3).T
    assert np.array_equal((given[0, 0] @ given[0, 0].T).numpy(), wanted)


FREED = """
from pathlib import Path
import numpy as np
from restore.allocation import give_back_freed, keep_freed_memory

def resident():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])

keep_freed_memory()
before = resident()
planes = [np.ones(1 << 18) for _ in range(64)]
size = sum(plane.nbytes for plane in planes) // 1024
del planes
kept = resident() - before
give_back_freed()
print(kept > size / 2, resident() - before < size / 4)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
def test_freed_planes_are_kept_until_no_more_are_made() -> None:
    """In a process of its own: one that has run other tests may have room for the planes already."""
    done = subprocess.run([sys.executable, "-c", FREED], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"]


def resident(what: str) -> int:
    """KiB that the process has in memory: "RssFile", mapped files; "RssAnon", its own."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0])


AGAIN = """
import resource, threading
import numpy as np
from restore.allocation import keep_freed_memory

keep_freed_memory()


def work():
    for _ in range(3):
        planes = [np.ones(1 << 20, np.uint8) for _ in range(150)]
        del planes


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def in_thread():
    before = faults()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return faults() - before


first = in_thread()
print(first, max(in_thread() for _ in range(3)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_planes_of_a_thread_are_taken_from_what_is_there() -> None:
    """150 MiB, over and over: pages are touched for the first time once."""
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    first, again = map(int, done.stdout.split())
    assert first > 20000
    assert again < 500


LOADING = """
import sys, threading
import restore.allocation
from pathlib import Path
import _ctypes

sys.setswitchinterval(1e-6)
library = next(p for p in Path(sys.modules["_ctypes"].__file__).parent.glob("_lsprof*.so"))


def load():
    for _ in range(3000):
        _ctypes.dlclose(_ctypes.dlopen(str(library), 2))


loader = threading.Thread(target=load)
loader.start()
while loader.is_alive():
    restore.allocation._never_written()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thread_that_loads_a_library_meanwhile_is_not_held_up() -> None:
    """Loading keeps Python's lock, and waits for the linker's: asking the linker with Python's functions waits the other
    way round, for ever."""
    subprocess.run([sys.executable, "-c", LOADING], check=True, timeout=60)
