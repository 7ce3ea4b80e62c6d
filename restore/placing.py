"""Give finished files their names: what stands there already stays, unless it may be replaced."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_LACKING = frozenset(
    {errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}
)
"""What a system or a file system answers that cannot do it this way: NFS and many FUSE have no RENAME_NOREPLACE, exFAT and FAT no links."""
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def give_name(made: Path, target: Path, *, overwrite: bool) -> None:
    """Rename the file `made` to `target`, on the same file system, in one step. Raises FileExistsError where something
    stands there, which stays as it is unless `overwrite` is set, and OSError; `made` keeps its name then."""
    if overwrite:
        made.replace(target)
        return
    for way in (_rename_new, _link_new):
        try:
            way(made, target)
        except OSError as error:
            if error.errno not in _LACKING:
                raise
        else:
            return
    _reserve_new(made, target)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems cannot sync a folder.
        if error.errno not in _LACKING or not path.is_dir():
            raise
    finally:
        os.close(handle)


def read_plain(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes, itself and no link to one. Raises OSError: anything else
    (a pipe, a folder, a link, a device) is never waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "expected a file", str(path))
        if state.st_size > limit:
            raise OSError(errno.EFBIG, "is too large", str(path))
        # Not `limit`: a read has room for all that it is asked for.
        return file.read(state.st_size)


def is_plain(path: Path) -> bool:
    """Whether a regular file, and no link to one, has this name."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


class ClaimedError(Exception):
    """Another process is making the file `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


@contextmanager
def claimed(targets: Iterable[Path]) -> Iterator[None]:
    """Hold the names of files that do not exist yet against other processes of this machine, without a trace in the
    file system: a name in Linux's abstract socket space goes when the process goes, however it goes. Elsewhere this
    holds nothing, and `give_name` is what protects. Raises ClaimedError."""
    with ExitStack() as held:
        for target in targets:
            name = _socket_name(target)
            if name is None or not hasattr(socket, "AF_UNIX"):
                continue
            try:
                claim = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                claim.bind(name)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise ClaimedError(target) from error
        yield


def _socket_name(target: Path) -> bytes | None:
    """The same for every way to write the path of a file."""
    try:
        folder = target.absolute().parent.stat()
    except OSError:
        return None
    key = f"{folder.st_dev}:{folder.st_ino}:".encode() + os.fsencode(target.name)
    return b"\0restore-" + hashlib.sha256(key).hexdigest().encode()


def _rename_new(made: Path, target: Path) -> None:
    """By Linux's renameat2, which looks and renames in one step."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = os.fsencode(made), os.fsencode(target)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_RENAME_NOREPLACE)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def _link_new(made: Path, target: Path) -> None:
    """By a second name and the loss of the first. Stopped in between, the file has both."""
    os.link(made, target, follow_symlinks=False)
    made.unlink()


def _reserve_new(made: Path, target: Path) -> None:
    """By an empty file that only a free name can get, then replaced. Stopped in between, the empty file is there."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        made.replace(target)
    except OSError:
        target.unlink()
        raise
