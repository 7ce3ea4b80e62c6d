"""Measurements kept between runs, in the user's cache folder. Losing it costs a second."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

FORMAT = 1


def default_memo() -> Path:
    """$XDG_CACHE_HOME/restore/backends.json, or ~/.cache/..."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "restore" / "backends.json"


def recall(path: Path) -> dict[str, Any]:
    """Every entry; nothing where the file is missing, damaged or of another format."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return {}
    entries = document.get("measured")
    return entries if isinstance(entries, dict) else {}


def remember(path: Path, key: str, entry: Any) -> None:
    """Adds an entry, or replaces it. A folder that cannot be written to is no reason to fail."""
    document = {"format": FORMAT, "measured": {**recall(path), key: entry}}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        part.replace(path)
    with suppress(OSError):
        part.unlink()
