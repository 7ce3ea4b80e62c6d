"""What the machine says when work cannot go on (memory, a GPU, a disk, a limit of the system), in one sentence that
says what to try. What is told here is no fault of restore."""

from __future__ import annotations

import errno
import re
import traceback
from pathlib import Path

import restore
from restore.errors import InputError, OutputError, RestoreError

_LENGTH = 110
"""Characters of a library's own words that are shown."""

_SOURCE_LINE = re.compile(
    r"^(\[enforce fail at [^]]*\] err == 0\.|OpenCV\([^)]*\) \S+: error: \(-?\d+:[^)]*\)) "
)
"""Of PyTorch and OpenCV, before what they have to say."""

_DISK = {
    errno.ENOSPC: "the disk is full: make room, and give the same command again",
    errno.EDQUOT: "the quota is used up: make room, and give the same command again",
    errno.EFBIG: "this file system takes no file so large: choose another disk",
    errno.EIO: "the disk or the way to it fails: try another disk; the system's log (dmesg) says more",
    errno.ESTALE: "the network drive went away: connect it, and give the same command again",
    errno.EROFS: "this file system is read-only: choose another folder",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a symbolic link there leads to itself: choose another name",
}
"""What the system says of a file, or of the disk it is on, and what to try."""

_LIMITS = {
    errno.EMFILE: "too many files are open: allow more ('ulimit -n 4096'), and give the same command again",
    errno.ENFILE: "too many files are open on this machine: close other programs",
}

_MEMORY = (
    *("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc"),
    *("ALLOC_FAILED", "OutOfMemory", "not enough memory", "Insufficient memory"),
)
"""Each library has its own words."""
_GPU_MEMORY = ("CUDA", "cuda", "CUBLAS", "CUDNN", "GPU")
_GPU = (
    *("CUDA error", "CUDA driver", "cudaError", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS"),
    *("CUFFT_", "cuFFT error", "NVRTC_", "NCCL error"),
)
_THREADS = ("can't start new thread", "Resource temporarily unavailable")


def brief(error: BaseException) -> str:
    """The first line of what `error` says, cut to a readable length; its kind where it says nothing."""
    text = getattr(error, "strerror", None) or str(error)
    line = next((part.strip() for part in str(text).splitlines() if part.strip()), "")
    line = _SOURCE_LINE.sub("", line)
    if not line:
        return type(error).__name__
    return line if len(line) <= _LENGTH else f"{line[:_LENGTH]}..."


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory, of the machine or of a GPU, ended."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return any(word.lower() in str(error).lower() for word in _MEMORY)


def machine_fault(error: BaseException) -> str | None:
    """One sentence about an error whose cause is the machine, with what to try; None: it has another cause."""
    number = getattr(error, "errno", None)
    if out_of_memory(error):
        if any(word in str(error) for word in _GPU_MEMORY):
            return (
                f"not enough memory on the GPU ({brief(error)}); close what else uses it, take a "
                "smaller network, or --device cpu"
            )
        return (
            f"not enough memory ({brief(error)}); close other programs, or try --threads 1, a smaller "
            "network or a smaller picture"
        )
    if isinstance(error, RuntimeError) and any(word in str(error) for word in _GPU):
        return f"the GPU failed ({brief(error)}); try again, or --device cpu"
    if any(word in str(error) for word in _THREADS):
        return (
            f"the system starts no more threads ({brief(error)}); close other programs, allow more "
            "('ulimit -u'), or try --threads 1"
        )
    if number in _LIMITS:
        return _LIMITS[number]
    if isinstance(error, OSError) and number in _DISK:
        name = getattr(error, "filename", None)
        where = f"{name}: " if name is not None else ""
        return f"{where}{brief(error)}; {_DISK[number]}"
    return None


def told(error: BaseException) -> str:
    """What a user should read of any error."""
    if isinstance(error, RestoreError):
        return str(error)
    return machine_fault(error) or f"a fault of restore: {internal(error)}"


def internal(error: BaseException) -> str:
    """Kind, words and place of an error that is a fault of restore."""
    kind, words = type(error).__name__, brief(error)
    home = Path(restore.__file__).parent
    ours = [
        f"{Path(frame.filename).relative_to(home.parent)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(home)
    ]
    places = [*ours[-1:], *getattr(error, "__notes__", ())]
    said = kind if words == kind else f"{kind}: {words}"
    return f"{said} ({', '.join(places)})" if places else said


def is_internal(error: BaseException) -> bool:
    """Whether the program is at fault, not what it was given nor the machine it runs on."""
    return not isinstance(error, RestoreError) and machine_fault(error) is None


def cannot_read(path: Path | str, error: BaseException) -> InputError:
    """What to say of `path` that the system does not open or read."""
    number = getattr(error, "errno", None) or 0
    advice = _LIMITS.get(number)
    if number in (errno.EIO, errno.ESTALE):
        advice = _DISK[number].replace("another disk", "a copy on another disk")
    said = f"{path}: cannot be read: {brief(error)}"
    return InputError(f"{said}; {advice}" if advice else said)


def cannot_write(path: Path | str, error: BaseException, otherwise: str = "") -> OutputError:
    """What to say of `path` after `error`; `otherwise`: what to try where the system does not say what is wrong."""
    number = getattr(error, "errno", None) or 0
    advice = _DISK.get(number) or _LIMITS.get(number)
    if advice is None and out_of_memory(error):
        advice = "close other programs, or try --threads 1"
    advice = advice or otherwise
    other = getattr(error, "filename", None)
    name = f"{other}: " if other is not None and str(other) != str(path) else ""
    said = f"{path}: cannot be written: {name}{brief(error)}"
    return OutputError(f"{said}; {advice}" if advice else said)
