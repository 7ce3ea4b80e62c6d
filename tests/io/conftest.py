"""Real samples for the tests of the media layer, where they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(os.environ.get("RESTORE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


@pytest.fixture
def real() -> Callable[[str], Path]:
    """real("rm/name.rm"): the sample, or the test is skipped."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.is_file():
            pytest.skip(f"no real sample {name} in {DATA} (set RESTORE_DATA)")
        return path

    return find
