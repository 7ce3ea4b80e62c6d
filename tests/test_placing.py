"""A finished file gets its name on any file system, and nothing that stands there is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from restore import placing
from restore.placing import ClaimedError, claimed, give_name, is_plain, read_plain
from restore.writing import write_whole

LACK = [errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP]


def lacking(number: int) -> Callable[..., None]:
    """A system call that this file system does not have."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture(params=["renameat2", *(("link", n) for n in LACK), *(("reserve", n) for n in LACK)])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By what a file gets its name: what comes before it in the row is lacking, with that error."""
    if request.param == "renameat2":
        return "renameat2"
    way, number = request.param
    monkeypatch.setattr(placing, "_rename_new", lacking(number))
    if way == "reserve":
        monkeypatch.setattr(os, "link", lacking(number))
    return str(way)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    path = tmp_path / "parts" / "film.mkv"
    path.write_bytes(b"film")
    return path


def test_a_free_name_is_given(made: Path, tmp_path: Path, system: str) -> None:
    give_name(made, tmp_path / "film.mkv", overwrite=False)
    assert (tmp_path / "film.mkv").read_bytes() == b"film"
    assert (tmp_path / "film.mkv").stat().st_nlink == 1
    assert list(made.parent.iterdir()) == []


def test_what_stands_there_stays(made: Path, tmp_path: Path, system: str) -> None:
    (tmp_path / "film.mkv").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        give_name(made, tmp_path / "film.mkv", overwrite=False)
    assert (tmp_path / "film.mkv").read_bytes() == b"precious"
    assert made.read_bytes() == b"film"


def test_a_link_that_leads_nowhere_stays(made: Path, tmp_path: Path, system: str) -> None:
    (tmp_path / "film.mkv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        give_name(made, tmp_path / "film.mkv", overwrite=False)
    assert not (tmp_path / "nowhere").exists()


def test_what_may_be_replaced_is(made: Path, tmp_path: Path, system: str) -> None:
    (tmp_path / "film.mkv").write_bytes(b"old")
    give_name(made, tmp_path / "film.mkv", overwrite=True)
    assert (tmp_path / "film.mkv").read_bytes() == b"film"


def test_other_errors_are_told(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "_rename_new", lacking(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        give_name(made, tmp_path / "film.mkv", overwrite=False)
    assert made.exists()


def test_a_reservation_goes_where_the_rename_fails(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "_rename_new", lacking(errno.EINVAL))
    monkeypatch.setattr(os, "link", lacking(errno.EPERM))
    monkeypatch.setattr(os, "replace", lacking(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        give_name(made, tmp_path / "film.mkv", overwrite=False)
    assert [p.name for p in tmp_path.iterdir()] == ["parts"]


def test_a_file_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    write_whole(tmp_path / "a.json", b"one", overwrite=False)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a.json", b"two", overwrite=False)
    write_whole(tmp_path / "a.json", b"three", overwrite=True)
    monkeypatch.setattr(os, "fsync", lacking(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "b.json", b"four", overwrite=False)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"three"


def test_only_files_are_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert read_plain(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="too large"):
        read_plain(tmp_path / "file", 4)
    for name in ("folder", "link", "pipe", "nothing"):
        with pytest.raises(OSError):
            read_plain(tmp_path / name, 5)
    plain = [p.name for p in tmp_path.iterdir() if is_plain(p)]
    assert plain == ["file"]


def test_a_name_is_held_against_other_processes_until_this_one_ends(tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(tmp_path)
    hold = (
        "import sys, pathlib; from restore.placing import claimed\n"
        "with claimed([pathlib.Path(sys.argv[1])]): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "side.mp4")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(ClaimedError), claimed([tmp_path / "other" / "side.mp4"]):
            pass
        with claimed([tmp_path / "another.mp4"]):
            pass
        process.kill()
    with claimed([tmp_path / "side.mp4"]):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["other"]
