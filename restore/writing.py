"""Files that appear under their names whole, or not at all."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from restore.placing import give_name, sync


def write_whole(path: Path, content: bytes, mode: int = 0o666, *, overwrite: bool = True) -> None:
    """Writes `content` beside `path`, waits until the disk has it, and gives it the name `path`, replacing what is there
    where that is allowed. `mode`: its permissions, less the umask. Raises OSError, FileExistsError for what may not be replaced, and leaves nothing behind then."""
    # Nobody can have put a link to another file under a name that nobody knows.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        write_new(part, content, mode)
        give_name(part, path, overwrite=overwrite)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync(path.parent)


def write_new(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Writes a new file, never through a link, and waits until the disk has it. Raises OSError, FileExistsError where
    something stands there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def json_bytes(document: Any) -> bytes:
    """`document` as JSON in UTF-8, for people to read too. File names that are not UTF-8 (PEP 383's surrogates) are
    escaped, so that `json.loads` gives the very name back."""
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")
