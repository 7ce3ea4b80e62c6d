"""A small test set that is made here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


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
