"""Pages that only loading needed are given back, and no others."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from restore.allocation import _untouched, give_back_libraries

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
def test_libraries_work_on_with_fewer_pages() -> None:
    before = resident_file_pages()
    give_back_libraries()
    after = resident_file_pages()
    assert after < before / 2
    given = torch.arange(6.0).view(1, 1, 2, 3)
    wanted = np.arange(6.0).reshape(2, 3) @ np.arange(6.0).reshape(2, 3).T
    assert np.array_equal((given[0, 0] @ given[0, 0].T).numpy(), wanted)


def resident_file_pages() -> int:
    """KiB of files that the process has mapped and in memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssFile:")[2].split()[0])
