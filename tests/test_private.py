"""Files that restore keeps for itself: where, and what of them is believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from restore.private import cache_dir, config_dir, private_dir, read_private, write_private


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "some" / "restore"


def test_where_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_dir() == tmp_path / "restore"
    assert config_dir() == Path("/home/somebody/.config/restore")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path("/home/somebody/.cache/restore")
    # In a container, as a user without a home: nowhere, and not in the folder that the program runs in.
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(FileNotFoundError):
        read_private(cache_dir() / "file", 10)
    with pytest.raises(OSError, match="restore"):
        write_private(cache_dir() / "file", b"")


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_what_is_written_is_the_user_s_own_whatever_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_private(folder / "file", b"first")
        write_private(folder / "file", b"second")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "file").stat().st_mode & 0o777 == 0o600
    assert read_private(folder / "file", 6) == b"second"
    assert [p.name for p in folder.iterdir()] == ["file"]


def test_a_link_is_replaced_and_not_followed(folder: Path, tmp_path: Path) -> None:
    private_dir(folder)
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (folder / "file").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        read_private(folder / "file", 100)
    write_private(folder / "file", b"new")
    assert victim.read_bytes() == b"precious"
    assert read_private(folder / "file", 100) == b"new"


def test_what_is_too_large_is_not_read(folder: Path) -> None:
    write_private(folder / "file", b"12345")
    assert read_private(folder / "file", 5) == b"12345"
    with pytest.raises(PermissionError, match="larger than 4 bytes"):
        read_private(folder / "file", 4)


def test_pipes_do_not_wait(folder: Path) -> None:
    private_dir(folder)
    os.mkfifo(folder / "file", 0o600)
    with pytest.raises(PermissionError, match="not a regular file"):
        read_private(folder / "file", 100)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_what_others_may_write_is_not_believed(folder: Path, mode: int) -> None:
    write_private(folder / "file", b"x")
    (folder / "file").chmod(mode)
    with pytest.raises(PermissionError, match="others may write it"):
        read_private(folder / "file", 100)
    (folder / "file").chmod(0o600)
    folder.chmod(mode | 0o500)
    for attempt in (
        lambda: read_private(folder / "file", 100),
        lambda: write_private(folder / "file", b"y"),
    ):
        with pytest.raises(PermissionError, match="others may write it"):
            attempt()


def test_another_user_s_is_not_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(folder / "file", b"x")
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    # Not this user's folder, so nothing of this user's is there.
    with pytest.raises(FileNotFoundError):
        read_private(folder / "file", 100)
    with pytest.raises(PermissionError, match="another user"):
        write_private(folder / "file", b"y")


def test_another_user_s_link_to_an_own_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private_dir(folder)
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert private_dir(link) == link
    own = Path.lstat

    def foreign(path: Path) -> os.stat_result:
        found = list(own(path))
        found[4] += 1
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", foreign)
    with pytest.raises(PermissionError, match="another user's link"):
        private_dir(link)


def test_another_user_s_file_in_the_own_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_private(folder / "file", b"x")
    real = os.fstat

    def foreign(handle: int) -> os.stat_result:
        found = list(real(handle))
        found[4] += 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", foreign)
    with pytest.raises(PermissionError, match="another user's"):
        read_private(folder / "file", 100)
