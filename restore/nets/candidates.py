"""What can run a network on a device here: every back end, the usual best first."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from restore.nets.engine import Engine, GraphEngine, Network, Precision, TorchEngine, native_bf16
from restore.nets.openvino_engine import OpenVinoEngine, capabilities
from restore.nets.plain import PlainSR
from restore.nets.recurrent import RecurrentSR
from restore.nets.tensorrt_engine import TensorRtEngine
from restore.nets.tensorrt_plan import Size
from restore.nets.winograd_engine import WinogradEngine, can_run


@dataclass(frozen=True)
class BackEnd:
    """One way to run a network."""

    name: str
    precision: Precision
    build: Callable[[Network, torch.device, int, Size], Engine]
    """Of the device, threads of the CPU, and frames of about this size. RuntimeError: cannot run here."""
    slow_start: bool = False
    """Takes longer to begin than a choice may take, or is itself made by trial: used when it is asked for by name."""


def _torch(precision: Precision, compiled: bool = False) -> BackEnd:
    name = f"torch-compile-{precision}" if compiled else f"torch-{precision}"

    def build(network: Network, device: torch.device, threads: int, _: Size) -> Engine:
        return TorchEngine(network, device, threads, precision, compiled=compiled)

    return BackEnd(name, precision, build, compiled)


def _openvino(precision: Precision) -> BackEnd:
    return BackEnd(
        f"openvino-{precision}",
        precision,
        lambda network, _, threads, __: OpenVinoEngine(network, threads, precision),
    )


def _winograd() -> BackEnd:
    return BackEnd(
        "winograd-int16",
        "int16",
        lambda network, _, threads, __: WinogradEngine(network, threads),
    )


def _graph(precision: Precision) -> BackEnd:
    return BackEnd(
        f"cuda-graph-{precision}",
        precision,
        lambda network, device, threads, _: GraphEngine(network, device, threads, precision),
    )


def _tensorrt(precision: Precision, plans: Path | None) -> BackEnd:
    return BackEnd(
        f"tensorrt-{precision}",
        precision,
        lambda network, device, threads, size: TensorRtEngine(
            network, device, threads, precision, size, plans
        ),
        True,
    )


def candidates(network: Network, device: torch.device, plans: Path | None = None) -> list[BackEnd]:
    """What can run `network` on `device` here, the usual best first; whole numbers are never the first, for they cost a
    little of the result, nor is what begins slowly. `plans`: where those of TensorRT are kept."""
    plain = isinstance(network.net, PlainSR | RecurrentSR)
    if device.type == "cuda":
        halves: tuple[Precision, ...] = ("fp16", "bf16") if network.residual else ("fp16",)
        planned = plain and find_spec("tensorrt") is not None
        return [
            *(_graph(p) for p in halves),
            *(_torch(p) for p in halves),
            _torch("fp32"),
            *(_tensorrt(p, plans) for p in halves if planned),
            *(_torch(p, compiled=True) for p in halves),
        ]
    found, whole = [], network.residual and isinstance(network.net, PlainSR)
    able = _openvino_types() if plain else frozenset()
    if "BF16" in able and network.residual:
        found.append(_openvino("bf16"))
    if able:
        found.append(_openvino("fp32"))
    if whole and can_run(network):
        found.append(_winograd())
    if whole and "INT8" in able:
        found.append(_openvino("int8"))
    precision: Precision = "bf16" if native_bf16() and network.residual else "fp32"
    if precision == "bf16":
        found.append(_torch("bf16"))
    return [*found, _torch("fp32"), _torch(precision, compiled=True)]


def _openvino_types() -> frozenset[str]:
    """What OpenVINO can do on this CPU; nothing where it is not installed."""
    return frozenset() if find_spec("openvino") is None else capabilities()


def processor() -> str:
    """The CPU's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
