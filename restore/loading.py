"""What a command's imports cost, made smaller: no garbage is looked for, and PyTorch's largest library is loaded in a second
thread."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


@contextmanager
def loading() -> Iterator[None]:
    """Around the imports of a command. Libraries make millions of objects that stay, among which the garbage
    collector looks for waste again and again: a tenth of PyTorch's import is that, and every later collection is
    spared it."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


_SMALL = (
    "zlib _bz2 _lzma _opcode fcntl _posixsubprocess select math _datetime _uuid _heapq _bisect "
    "_struct _pickle _random _sha512 _decimal _json _typing"
)
"""Modules of Python with a library of their own that the command line imports."""


def load_ahead() -> None:
    """Begin to load libtorch_cpu.so, whose addresses and operators take a fifth of PyTorch's import to set up. Called as a C
    function, the loader works without Python's lock: modules without a library are read meanwhile. Those that have one
    would wait for the loader, so the small ones go first."""
    if "torch" not in sys.modules:
        for name in _SMALL.split():
            with suppress(ImportError):  # built in, or not there, in other builds of Python
                import_module(name)
        threading.Thread(target=_load_library, name="torch library", daemon=True).start()


def _load_library() -> None:
    spec = find_spec("torch")  # does not import it
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "lib"
    library = folder / "libtorch_cpu.so"
    # Another system; or CUDA, whose libraries PyTorch loads in an order of its own.
    if not library.exists() or (folder / "libtorch_cuda.so").exists():
        return
    with suppress(OSError, AttributeError):
        load = ctypes.CDLL(None).dlopen
        load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        load(os.fsencode(library), os.RTLD_LAZY)
