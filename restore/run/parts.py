"""The folder of an unfinished run: who holds it, what lies in it, and files that tell when they were changed.

Nothing in it is believed or followed: a link, a pipe or a folder in the place of a file is no file, and what is not a
run's own is never removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from restore.errors import OutputError
from restore.faults import cannot_write
from restore.placing import is_plain, read_plain, sync
from restore.writing import write_new

JOURNAL, INDEX = "journal.json", "index.json"
ROLES = ("checksums", "comparison", "page", "record", "film")
"""Folders of what a run makes, in the order in which the files get their names: where the film is, all is."""

_OWN = re.compile(
    r"(segment|side-[0-9a-f]{8})-\d+\.nut(\.part)?"
    rf"|(journal|index)\.json(\.tmp)?|joined\.\w+|side\.\w+|framemd5|{'|'.join(ROLES)}"
)
"""Names in the folder, those of earlier versions included."""
_LIMIT = 1 << 30
"""Bytes of a journal or an index: a film of three hours needs some ten million."""
_HEAD = '{{"sha256": "{}", "data": '


def parts_dir(output: Path) -> Path:
    """The folder of the run that makes `output`."""
    return output.with_name(output.name + ".parts")


def done_file(output: Path) -> Path:
    """Where the journal goes while a finished run's folder is taken away: as long as it is there, so may be others."""
    return output.with_name(output.name + ".done")


class PartsFolder:
    """The folder, held by this process alone."""

    def __init__(self, output: Path, *, make: bool = True) -> None:
        """Raises OutputError if another process holds it, if it cannot be made (`make`: where it is missing) or if it
        holds what is not a run's."""
        self.path = parts_dir(output)
        self._output = output
        self._handle = -1
        while self._handle < 0:
            try:
                if make:
                    self.path.mkdir(exist_ok=True)
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                handle = os.open(self.path, flags)
            except (FileExistsError, NotADirectoryError) as error:
                raise OutputError(
                    f"{self.path}: expected a folder of restore's, found a file or a link; move it away, or choose "
                    "another name for the output"
                ) from error
            except OSError as error:
                raise cannot_write(self.path, error) from error
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                raise OutputError(
                    f"{output}: another process is making this file now; wait for it or choose another name"
                ) from error
            if self._is_there(handle):
                self._handle = handle
            else:  # the process that held it has taken it away
                os.close(handle)
        foreign = sorted(p.name for p in self.path.iterdir() if not _OWN.fullmatch(p.name))
        if foreign:
            self.release()
            raise OutputError(
                f"{self.path}: expected unfinished work of restore, found {', '.join(foreign[:3])}; move that away, or "
                "choose another name for the output"
            )

    def _is_there(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self.path.stat())
        except OSError:
            return False

    def clear(self, keep: set[str]) -> None:
        """Remove all but plain files of these names."""
        for entry in self.path.iterdir():
            if entry.name not in keep or not is_plain(entry):
                _remove(entry)

    def room(self, role: str) -> Path:
        """An empty folder for what the run makes in this role."""
        room = self.path / role
        _remove(room)
        try:
            room.mkdir()
        except OSError as error:
            raise cannot_write(room, error) from error
        return room

    def write(self, name: str, data: dict[str, Any]) -> None:
        """Write a file with its own hash; it is on the disk then. Raises OutputError."""
        work = self.path / f"{name}.tmp"
        try:
            _remove(work)
            write_new(work, _sealed(data))
            work.replace(self.path / name)
            sync(self.path)
        except OSError as error:
            with suppress(OSError):
                work.unlink()
            raise cannot_write(self.path / name, error) from error

    def read(self, name: str) -> dict[str, Any] | None:
        """What `write` wrote; None where nothing is there. Raises ValueError where something else is."""
        return read_sealed(self.path / name)

    def remove(self, *, finished: bool = False) -> None:
        """Take the folder away. Where the run is `finished`, its journal goes last, under the name `done_file`: whoever
        finds it there knows that all else is done. Raises OutputError."""
        done = done_file(self._output)
        try:
            if finished and (is_done_file(done) or not os.path.lexists(done)):
                (self.path / JOURNAL).replace(done)
            for entry in list(self.path.iterdir()):
                _remove(entry)
            self.path.rmdir()
            if is_done_file(done):
                done.unlink()
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.release()

    def release(self) -> None:
        """Let others have it."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_sealed(path: Path) -> dict[str, Any] | None:
    """What a file with its own hash holds; None where nothing is there. Raises ValueError where it is something else or
    was changed: that is known before anything is parsed."""
    if not path.exists() and not path.is_symlink():
        return None
    try:
        content = read_plain(path, _LIMIT)
    except OSError as error:
        raise ValueError(f"{path.name}: {error.strerror}") from error
    length = len(_HEAD.format("0" * 64))
    head, body = content[:length], content[length:-1]
    if content != head + body + b"}" or head != _head(body):
        raise ValueError(f"{path.name}: is damaged or was edited")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: is damaged or was edited") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path.name}: is damaged or was edited")
    return data


def is_done_file(path: Path) -> bool:
    """Whether a journal that is whole lies there."""
    try:
        return read_sealed(path) is not None
    except ValueError:
        return False


def _sealed(data: dict[str, Any]) -> bytes:
    body = json.dumps(data).encode()
    return _head(body) + body + b"}"


def _head(body: bytes) -> bytes:
    return _HEAD.format(hashlib.sha256(body).hexdigest()).encode()


def _remove(path: Path) -> None:
    """A file, a link itself, or a folder with all in it; nothing where there is nothing. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
