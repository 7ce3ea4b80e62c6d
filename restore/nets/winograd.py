"""A plain network's convolutions in whole numbers by Winograd's F(4x4, 3x3): what winograd.c computes, with the weights as it wants them.

A quarter of the products of the usual way, of 16 bits in place of 8: on CPUs with AVX2 and no unit for bytes that is the
fastest of what we know, and as exact as bytes between the layers allow, since nothing else is rounded noticeably.
"""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from restore.machine import VARIABLE, Level, asked_level, cpu_level
from restore.nets.int8 import MOST_ACTIVATION

SOURCE = Path(__file__).with_suffix(".c")
LIBRARY = Path(__file__).with_name("_winograd.so")
"""Built when the program is installed (hatch_build.py), where there is a compiler."""

LANES = 16
"""Channels come in multiples of it."""

# Lavin and Gray 2016, section 4.3.
_B = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
_G = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float64,
)


def source_hash() -> str:
    """Of winograd.c: a library built of another source is not used."""
    return hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]


def library() -> Any:
    """The compiled functions. RuntimeError says why there are none."""
    if asked_level() is not None and cpu_level() < Level.AVX2:
        raise RuntimeError(f"{VARIABLE} allows no AVX2")
    return _library()


@lru_cache(maxsize=1)
def _library() -> Any:
    if not LIBRARY.exists():
        raise RuntimeError("its library was not built; install restore where there is a C compiler")
    try:
        found = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise RuntimeError(f"its library does not load: {error}") from None
    found.winograd_source.restype = ctypes.c_char_p
    found.winograd_scratch.restype = ctypes.c_int64
    if found.winograd_source().decode() != source_hash():
        raise RuntimeError("its library was built of another source; install restore again")
    if not found.winograd_runs_here():
        raise RuntimeError("the CPU has no AVX2")
    for name in ("winograd_head", "winograd_body", "winograd_tail"):
        getattr(found, name).restype = None
    return found


def why_not() -> str:
    """Why it cannot run here; '' where it can."""
    try:
        library()
    except RuntimeError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class Layer:
    """One convolution of bytes, as winograd.c reads it."""

    weights: np.ndarray
    """(blocks, 36, inputs / 2, 16, 2) int16, aligned to 64 bytes."""
    steps: np.ndarray
    """(blocks, 36, 16) float32: what one count of a sum is worth, in steps of the output."""
    bias: np.ndarray
    """(blocks * 16,) float32, in steps of the output."""
    outputs: int


def layer(conv: nn.Conv2d, step_in: float, step_out: float) -> Layer:
    """`conv` (3x3) from bytes of `step_in` to numbers of `step_out`. Weights are as fine as 32-bit sums allow whatever
    the bytes: of a point of the transform at most 2^31 / (the largest sum of its inputs)."""
    kernel = conv.weight.detach().double().cpu().numpy()
    outputs, inputs = kernel.shape[:2]
    transformed = np.einsum("ia,kcab,jb->ijkc", _G, kernel, _G).reshape(36, outputs, inputs)
    turned = np.einsum("ia,jb->ijab", _B, _B).reshape(36, 36)
    most = MOST_ACTIVATION * np.maximum(turned.clip(min=0).sum(1), -turned.clip(max=0).sum(1))
    sums = np.abs(transformed).sum(2)
    # Half a count a weight is left for rounding.
    room = (2**31 - 1) / most[:, None] - inputs
    scale = np.minimum(
        room / np.maximum(sums, 1e-30), 32767 / np.maximum(np.abs(transformed).max(2), 1e-30)
    )
    scale = np.where(sums > 0, scale, 1.0)
    whole = np.rint(transformed * scale[..., None]).astype(np.int16)
    blocks = -(-outputs // LANES)
    padded = np.zeros((36, blocks * LANES, inputs), np.int16)
    padded[:, :outputs] = whole
    steps = np.zeros((36, blocks * LANES))
    steps[:, :outputs] = step_in / step_out / scale
    bias = np.zeros(blocks * LANES, np.float32)
    if conv.bias is not None:
        bias[:outputs] = conv.bias.detach().double().cpu().numpy() / step_out
    packed = padded.reshape(36, blocks, LANES, inputs // 2, 2).transpose(1, 0, 3, 2, 4)
    return Layer(
        aligned(packed),
        np.ascontiguousarray(steps.reshape(36, blocks, LANES).transpose(1, 0, 2), np.float32),
        bias,
        outputs,
    )


def aligned(array: np.ndarray) -> np.ndarray:
    """A contiguous copy that begins at a multiple of 64 bytes."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def head(conv: nn.Conv2d, step_out: float) -> tuple[np.ndarray, np.ndarray]:
    """(planes, 3, 3, outputs) and (outputs,) float32, in steps of the output."""
    kernel = conv.weight.detach().double().cpu().numpy().transpose(1, 2, 3, 0) / step_out
    bias = np.zeros(conv.out_channels)
    if conv.bias is not None:
        bias = conv.bias.detach().double().cpu().numpy() / step_out
    return np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32)


def padded_shape(height: int, width: int, channels: int) -> tuple[int, int, int]:
    """Of an activation: whole tiles and a border."""
    return -(-height // 4) * 4 + 2, -(-width // 4) * 4 + 2, channels
