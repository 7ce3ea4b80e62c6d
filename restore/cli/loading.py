"""What a command's imports cost, made smaller: no garbage is looked for, PyTorch's largest library is loaded in a second
thread, and the part of PyTorch that only torch.compile and torch.export look at is left until they do.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_METAS = "torch._meta_registrations"
"""Shapes of results without the results, for 'meta' and fake tensors, and all that they are put together from: a quarter
of the time that PyTorch's import takes."""


@contextmanager
def loading() -> Iterator[None]:
    """Around the imports of a command. Libraries make millions of objects that stay, among which the garbage
    collector looks for waste again and again: a tenth of PyTorch's import is that, and every later collection is
    spared it."""
    gc.disable()
    leave_metas()
    threading.Thread(target=_load_library, name="torch library", daemon=True).start()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def leave_metas() -> None:
    """From here on `import torch` leaves _METAS out. The first import of any further part of PyTorch, as by torch.compile
    and torch.export, makes up for it, and so does a look into _METAS. Nothing but tensors on the device 'meta' does
    without both and needs it."""
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, _Leaver())


class _Leaver(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == _METAS and (spec := PathFinder.find_spec(name, path, target)) is not None:
            spec.loader = _Given(_Left(name))
            return spec
        if name.startswith("torch.") and not _beginning("torch"):
            _make_up()
            if name in sys.modules:  # it was among them
                return ModuleSpec(name, _Given(sys.modules[name]))
        return None  # the others on the list find it


class _Given(Loader):
    """Of a module that is there already."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is run."""


class _Left(ModuleType):
    """Stands for _METAS until something is looked for in it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system, and those who list all modules
            raise AttributeError(name)
        _make_up()
        return getattr(sys.modules[_METAS], name)


def _beginning(package: str) -> bool:
    """Whether its import has begun and is not over."""
    module = sys.modules.get(package)
    return module is None or getattr(module.__spec__, "_initializing", False)


def _make_up() -> None:
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Leaver)]
    if isinstance(sys.modules.get(_METAS), _Left):
        del sys.modules[_METAS]
        importlib.import_module(_METAS)


def _load_library() -> None:
    """libtorch_cpu.so, whose addresses and operators take a fifth of PyTorch's import to set up. Called as a C
    function, the loader works without Python's lock, so that modules without a library are read meanwhile."""
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
