"""Real test sets, which are no part of the repository, and a small one that is made here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

DATA = Path(os.environ.get("RESTORE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


@pytest.fixture
def real() -> Callable[[str], Path]:
    """A folder of real test material, or a skip that says what is missing."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"test material not present: {name}")
        return path

    return find


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a colour image of odd size and a grey one."""
    folder = tmp_path / "pair"
    folder.mkdir()
    y, x = np.mgrid[0:61, 0:73]
    waves = 128 + 60 * np.sin(x / 5) + 50 * np.cos(y / 7 + x / 11)
    colour = np.stack([waves, 255 - waves, waves[::-1]], -1)
    cv2.imwrite(str(folder / "colour.png"), np.rint(colour).astype(np.uint8))
    cv2.imwrite(str(folder / "grey.png"), np.rint(waves[:60, :72]).astype(np.uint8))
    return folder
