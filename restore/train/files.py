"""Files of a training run, each whole or not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from restore.errors import TrainError


class WriteError(TrainError):
    """The system refused to write a file."""


def write_whole(path: Path, content: bytes) -> None:
    """Replaces `path` by `content` in one step. WriteError if it cannot be written: what was there stays."""
    part = path.with_name(path.name + ".part")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says about `path` (a full disk, a folder without permission) into a WriteError."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written: {error.strerror or error}; what was there before is kept: make room or choose "
            "another folder, and run the same command again"
        ) from None
