from pathlib import Path

import pytest
from media_clips import make_clip

from restore.io.length import missing_bytes


@pytest.mark.parametrize("name", ["clip.avi", "clip.mkv", "clip.ts", "clip.webm"])
def test_a_whole_file_misses_nothing(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name.endswith("webm") else "mpeg4"
    assert missing_bytes(make_clip(tmp_path / name, "-c:v", codec)) == 0


@pytest.mark.parametrize(
    ("name", "cut"),
    [("clip.avi", 1), ("clip.avi", 1000), ("clip.mkv", 1), ("clip.mkv", 1000), ("clip.ts", 100)],
)
def test_what_was_cut_off_is_counted(tmp_path: Path, name: str, cut: int) -> None:
    clip = make_clip(tmp_path / name, "-c:v", "mpeg4")
    clip.write_bytes(clip.read_bytes()[:-cut])
    assert missing_bytes(clip) == cut


def test_a_live_recording_says_nothing(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", "-c:v", "mpeg4", "-f", "matroska", "-live", "1")
    clip.write_bytes(clip.read_bytes()[:-1000])
    assert missing_bytes(clip) == 0


@pytest.mark.parametrize(
    "data", [b"", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00" + bytes(20), b"RIFF"]
)
def test_nonsense_says_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert missing_bytes(path) == 0
