"""Files that are there whole or not at all, and names that are not UTF-8 in JSON."""

import json
import os
from pathlib import Path

import pytest

from restore.writing import json_bytes, write_whole

GBK = os.fsdecode("\u7535\u5f71.mkv".encode("gbk"))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")
    write_whole(path, b"after")
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    write_whole(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == other.stat().st_mode


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_not_utf8_comes_back_from_json() -> None:
    content = json_bytes({"input": GBK, "title": "\u7535"})
    assert json.loads(content)["input"] == GBK
    assert "\u7535".encode() in content  # for people to read
