"""The class of this machine: what its CPU may use. Every choice that depends on the CPU asks `cpu_level`; no clock has a part in it.

RESTORE_CPU=avx512 restore run ...     as on a CPU that has AVX-512, and neither VNNI nor bf16 nor AMX

The variable lowers the class and never raises it. What it does not reach is in docs/same-bytes.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from pathlib import Path

from restore.errors import DeviceError

VARIABLE = "RESTORE_CPU"


class Level(IntEnum):
    """What a CPU can do; each level can do all that the ones before it can."""

    BASELINE = 0
    """Another architecture, or x86-64 without AVX2."""
    AVX2 = 1
    AVX512 = 2
    """F, BW, DQ and VL."""
    VNNI = 3
    """Products of bytes in 512 bits."""
    BF16 = 4
    AMX = 5
    """Tiles of bytes and of bf16."""

    def __str__(self) -> str:
        return self.name.lower()


_NEEDS: Mapping[Level, tuple[str, ...]] = {
    Level.AVX2: ("avx2", "fma3"),
    Level.AVX512: ("avx512_f", "avx512_bw", "avx512_dq", "avx512_vl"),
    Level.VNNI: ("avx512_vnni",),
    Level.BF16: ("avx512_bf16",),
    Level.AMX: ("amx_tile", "amx_int8", "amx_bf16"),
}
"""By PyTorch's names."""

_ONEDNN = {
    Level.BASELINE: "SSE41",
    Level.AVX2: "AVX2",
    Level.AVX512: "AVX512_CORE",
    Level.VNNI: "AVX512_CORE_VNNI",
    Level.BF16: "AVX512_CORE_BF16",
}


def cpu_level() -> Level:
    """What this CPU may use: what it has, or less if $RESTORE_CPU says so. DeviceError where that names no level."""
    asked = asked_level()
    return native_level() if asked is None else min(asked, native_level())


def asked_level() -> Level | None:
    """What $RESTORE_CPU names; None where it is not set. DeviceError where that is no level."""
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    found = next((level for level in Level if str(level) == name), None)
    if found is None:
        names = ", ".join(str(level) for level in Level)
        raise DeviceError(
            f"{VARIABLE}={name}: expected one of {names}; unset it for all that the CPU has"
        )
    return found


@lru_cache(maxsize=1)
def native_level() -> Level:
    """What the CPU has, as its own instruction says (which an emulator answers too)."""
    import torch

    return level_of(getattr(torch.cpu, "get_capabilities", _older_capabilities)())


def level_of(able: Mapping[str, object]) -> Level:
    """The highest level all of whose needs, and those of the levels below it, are in `able`."""
    found = Level.BASELINE
    for level, needs in _NEEDS.items():
        if not all(able.get(name) for name in needs):
            break
        found = level
    return found


def _older_capabilities() -> dict[str, bool]:
    """As `torch.cpu.get_capabilities`, which PyTorch before 2.10 has not."""
    from torch import cpu

    asked = {
        Level.AVX2: "_is_avx2_supported",
        Level.AVX512: "_is_avx512_supported",
        Level.VNNI: "_is_vnni_supported",
        Level.BF16: "_is_avx512_bf16_supported",
        Level.AMX: "_is_amx_tile_supported",
    }
    return {
        need: bool(getattr(cpu, name)()) for level, name in asked.items() for need in _NEEDS[level]
    }


def bind_libraries() -> None:
    """Hold the libraries to the level that $RESTORE_CPU names, as far as they can be told, and PyTorch's float32 to float32.
    To be called before they are used first, best before they are imported. A value that names no level is left
    to `asked_level`."""
    # A user's environment may ask oneDNN to multiply float32 in bf16, behind PyTorch's back.
    os.environ["ONEDNN_DEFAULT_FPMATH_MODE"] = "STRICT"
    try:
        level = asked_level()
    except DeviceError:
        return
    if level is None or level not in _ONEDNN:
        return
    os.environ["ONEDNN_MAX_CPU_ISA"] = _ONEDNN[level]
    if level == Level.BASELINE:
        os.environ["ATEN_CPU_CAPABILITY"] = "default"
        os.environ["MKL_ENABLE_INSTRUCTIONS"] = "SSE4_2"
    elif level == Level.AVX2 and _listed("avx2"):  # PyTorch would take it without
        os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
        os.environ["MKL_ENABLE_INSTRUCTIONS"] = "AVX2"


def _listed(flag: str) -> bool:
    """Whether the system lists it among the CPU's; no, where there is no list."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = (line.partition(":")[2].split() for line in lines if line.startswith("flags"))
    return flag in next(flags, [])
