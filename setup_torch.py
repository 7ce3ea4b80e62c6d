"""Installs PyTorch without CUDA where there is no NVIDIA driver, and says how much is fetched before anything is.

On Linux, PyPI's PyTorch brings CUDA's libraries: gigabytes that a machine without an NVIDIA GPU cannot use. The PyTorch project has an
index of CPU builds. Run by `make` in the new environment; what is installed already stays.

    python setup_torch.py constraints.txt [INDEX]
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import unquote, urlparse
from urllib.request import Request, urlopen

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_WAIT = 15
"""Seconds for an answer of an index that may not be reachable."""
_OF_CUDA = ("nvidia-", "cuda-", "triton")

Report = dict[str, Any]
Pip = Callable[..., Report | None]


def main(constraints: Path, index: str = CPU_INDEX) -> None:
    if find_spec("torch") is not None:
        return
    wanted = pinned(constraints.read_text("utf-8"))
    for line, arguments in plan(wanted, has_driver(), would_install, index):
        print(line, flush=True)
        if arguments:
            command = [sys.executable, "-m", "pip", "install", "--quiet", *arguments]
            subprocess.run([*command, "-c", str(constraints)], check=True)


def plan(
    wanted: str, driver: bool, ask: Pip, index: str = CPU_INDEX
) -> list[tuple[str, list[str]]]:
    """What to say, and pip's arguments where something is to be installed now; what is left out here is installed with the
    rest. `ask` gives pip's report of what it would install, None where it could not."""
    usual = ask(wanted)
    if usual is None:
        return []  # what is wrong, the installation itself will tell
    if not brings_cuda(usual):
        return [(f"PyTorch: {described(usual)} to fetch", [])]
    if driver:
        return [
            (f"PyTorch with CUDA, for this machine's NVIDIA GPU: {described(usual)} to fetch", [])
        ]
    small = ask(wanted, "--index-url", index, "--timeout", str(_WAIT), "--retries", "0")
    if small is None:
        return [
            (
                f"PyTorch with CUDA: {described(usual)} to fetch, though there is no NVIDIA driver here: the index of CPU "
                f"builds, {index}, cannot be reached; name another one with make TORCH_INDEX=URL, or install torch yourself",
                [],
            )
        ]
    return [
        (
            f"PyTorch for CPUs, as there is no NVIDIA driver here: {described(small)} to fetch "
            f"(with CUDA: {described(usual)})",
            [wanted, "--index-url", index],
        )
    ]


def pinned(constraints: str) -> str:
    """'torch==2.13.0', as the constraints have it."""
    found = re.search(r"^torch==[^\s;#]+", constraints, re.MULTILINE)
    return found[0] if found else "torch"


def has_driver() -> bool:
    """Whether an NVIDIA driver is loaded, also below Windows' subsystem for Linux."""
    places = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")
    return any(Path(p).exists() for p in places) or shutil.which("nvidia-smi") is not None


def would_install(*arguments: str) -> Report | None:
    """pip's report; it fetches metadata only."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    try:
        report: Report = json.loads(done.stdout)
    except ValueError:
        return None
    return report if done.returncode == 0 else None


def brings_cuda(report: Report) -> bool:
    names = [item["metadata"]["name"].lower() for item in report["install"]]
    return any(name.startswith(_OF_CUDA) for name in names)


def described(report: Report) -> str:
    """'about 0.2 GB'."""
    sizes = [size_of(item["download_info"]["url"]) for item in report["install"]]
    known = [size for size in sizes if size is not None]
    if not known:
        return "an unknown size"
    least = "" if len(known) == len(sizes) else " or more"
    return f"about {sum(known) / 1e9:.1f} GB{least}"


def size_of(url: str) -> int | None:
    """Bytes of a file that an index or a folder offers."""
    parts = urlparse(url)
    try:
        if parts.scheme == "file":
            return Path(unquote(parts.path)).stat().st_size
        with urlopen(Request(url, method="HEAD"), timeout=_WAIT) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, URLError, TypeError, ValueError):
        return None


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
