"""Compiles restore/nets/winograd.c while the program is installed or packed, where there is a C compiler.

Without one, or on another CPU than x86-64, the program is complete but for that back end: `restore doctor` says so.
CC names another compiler.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("restore/nets/winograd.c")
LIBRARY = SOURCE.with_name("_winograd.so")
# Products are summed in the order that the source states, whichever the compiler.
FLAGS = [
    "-O3",
    "-mavx2",
    "-mfma",
    "-ffp-contract=off",
    "-std=gnu11",
    "-shared",
    "-fPIC",
    "-fvisibility=hidden",
]


class Compile(BuildHookInterface):
    """Puts the library beside its source, and into the wheel, which is then of one platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        source, library = root / SOURCE, root / LIBRARY
        if problem := compiled(source, library):
            library.unlink(missing_ok=True)
            self.app.display_warning(f"{LIBRARY}: left out: {problem}")
            return
        build_data["artifacts"].append(f"/{LIBRARY}")
        build_data["pure_python"] = False
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{tag}"


def compiled(source: Path, library: Path) -> str:
    """Why `library` could not be made of `source`; '' if it was."""
    if platform.machine() not in ("x86_64", "AMD64") or os.name != "posix":
        return f"not for {platform.machine()} and {platform.system()}"
    names = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    compiler = next(filter(None, map(shutil.which, filter(None, names))), None)
    if compiler is None:
        return "no C compiler; install gcc or clang, or set CC"
    mark = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    # Moved into place whole: the one before it may be in use.
    part = library.with_suffix(f".{os.getpid()}.part")
    command = [compiler, *FLAGS, f'-DSOURCE="{mark}"', "-o", str(part), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        part.unlink(missing_ok=True)
        return (done.stderr.strip() or f"{compiler} failed").splitlines()[-1]
    part.replace(library)
    return ""
