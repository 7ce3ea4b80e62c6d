"""Files that appear under their names whole, or not at all."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Writes `content` beside `path`, waits until the disk has it, and gives it the name `path`, replacing what is there.
    `mode`: its permissions, less the umask. Raises OSError, and leaves nothing behind then."""
    # Nobody can have put a link to another file under a name that nobody knows.
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def json_bytes(document: Any) -> bytes:
    """`document` as JSON in UTF-8, for people to read too. File names that are not UTF-8 (PEP 383's surrogates) are
    escaped, so that `json.loads` gives the very name back."""
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")
