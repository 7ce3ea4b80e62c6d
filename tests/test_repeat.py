"""Fresh processes whose fresh memory holds other bytes give the same: what reads memory that nobody wrote gives itself away."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from repeat import differing, make_clips

CLIPS = ("mpeg1.mpg", "mpeg2.vob", "mpeg4.avi", "rv20.rm", "h264.mkv", "wmv2.wmv", "theora.ogv")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc fills fresh memory, nothing else does")
def test_fresh_memory_decides_nothing(tmp_path: Path) -> None:
    """Encoders of picture and sound, decoders, filters and engines, three processes; benchmarks/repeat.py has the rest."""
    make_clips(tmp_path, CLIPS)
    first, wrong = differing("core", tmp_path)
    assert wrong == []
    made = [name for name, value in first.items() if not value.startswith("refused")]
    for expected in (
        "libx264 128x96",
        "libx265 8 threads",
        "libopus",
        "rv20.rm",
        "bwdif",
        "film_x2_fast",
    ):
        assert any(name.startswith(expected) for name in made), expected
