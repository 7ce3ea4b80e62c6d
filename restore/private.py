"""Files that restore keeps for itself between runs, in a folder of the user's own: read only where nobody else can have
written them.

Nothing that lies there decides what a picture looks like. It is still believed by libraries that were not made to read what an
enemy wrote, so what is a link, a pipe, another user's, open to others or larger than expected is as if it were not there.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from restore.writing import write_whole

_OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def cache_dir() -> Path:
    """$XDG_CACHE_HOME/restore, or ~/.cache/restore; may be missing. Losing it costs time alone."""
    return _base("XDG_CACHE_HOME", "~/.cache")


def config_dir() -> Path:
    """$XDG_CONFIG_HOME/restore, or ~/.config/restore; may be missing. Only what a user asked for lies there."""
    return _base("XDG_CONFIG_HOME", "~/.config")


def _base(variable: str, usual: str) -> Path:
    named = Path(os.environ.get(variable, ""))
    # A relative path is to be ignored, says the XDG base directory specification.
    if not named.is_absolute():
        named = Path(os.path.expanduser(usual))  # noqa: PTH111  # the other raises where there is no home
    return named / "restore" if named.is_absolute() else Path(os.devnull, "restore")


def read_private(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes that this user owns and nobody else may write, in a folder of the
    same kind. FileNotFoundError if there is none, nor a folder of this user's own; PermissionError says what else it is; OSError as open
    and read give it."""
    try:
        folder = path.parent.stat()
    except OSError:
        raise FileNotFoundError(path) from None
    if folder.st_uid != os.geteuid():
        raise FileNotFoundError(path)
    _refuse_foreign(folder, path.parent)
    # A pipe would wait for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise PermissionError(0, "not a regular file", str(path))
        _refuse_foreign(found, path)
        content = file.read(most + 1)
    if len(content) > most:
        raise PermissionError(0, f"larger than {most} bytes", str(path))
    return content


def private_dir(path: Path) -> Path:
    """The folder `path`, made for this user alone where it is missing. PermissionError where it is another user's or open to others;
    OSError as the system gives it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.lstat().st_uid != os.geteuid():
        raise PermissionError(0, "another user's link", str(path))
    _refuse_foreign(path.stat(), path)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, in a `private_dir`; raises what that raises."""
    private_dir(path.parent)
    write_whole(path, content, 0o600)


def _refuse_foreign(found: os.stat_result, path: Path) -> None:
    if found.st_uid != os.geteuid():
        raise PermissionError(0, "another user's", str(path))
    if found.st_mode & _OPEN_TO_OTHERS:
        raise PermissionError(0, "others may write it", str(path))
