"""How long back ends take, for the table that later runs choose by (nets.table). The only place where a clock is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import torch

from restore.nets.backends import machine_of
from restore.nets.candidates import candidates, processor
from restore.nets.engine import Engine, Network
from restore.nets.plain import PlainSR
from restore.nets.table import Row

FORMS = ((32, 8), (64, 8))
"""Channels and blocks of the plain networks that are measured: those of the shipped ones."""
SIZES = ((288, 352), (576, 720))
"""Height and width. Larger frames take as much per sample."""
SECONDS = 20.0
"""For all back ends of one network at one size, beyond the first call of each."""
LEAST, MOST = 2, 40
"""Calls of each."""


def conditions() -> str:
    """On what is measured: the processor, PyTorch and OpenVINO."""
    with suppress(PackageNotFoundError):
        return f"measured: {processor()}, torch {torch.__version__}, openvino {version('openvino')}"
    return f"measured: {processor()}, torch {torch.__version__}"


def measured_rows(
    device: torch.device,
    how: str,
    seconds: float = SECONDS,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    clock: Callable[[], float] | None = None,
) -> Iterator[Row]:
    """One row per network and size. `how`: what to say of where it was measured."""
    if clock is None:
        # On a CPU what counts is processor time: encoder and decoder want the rest of it.
        clock = time.perf_counter if device.type == "cuda" else time.process_time
    torch.set_num_threads(1)
    for channels, blocks in FORMS:
        torch.manual_seed(0)
        net = PlainSR(channels, blocks, 2).eval().requires_grad_(False)
        network = Network(net, f"plain {channels}x{blocks}", "")
        for height, width in sizes:
            yield Row(
                machine=machine_of(device),
                network=network.name,
                weights=network.weights,
                width=width,
                height=height,
                milliseconds=_times(network, device, (height, width), seconds, clock),
                how=how,
            )


@torch.inference_mode()
def _times(
    network: Network,
    device: torch.device,
    size: tuple[int, int],
    seconds: float,
    clock: Callable[[], float],
) -> dict[str, float]:
    """Milliseconds of a frame, the best of many calls: all back ends in turn, so that a minute in which others use the machine is nobody's
    alone."""
    frames = 4 if device.type == "cuda" else 1
    given = torch.rand(frames, 1, *size, device=device)
    engines: dict[str, Engine] = {}
    for back_end in candidates(network, device):
        if not back_end.slow_start:
            with suppress(RuntimeError):  # what does not run here has no time
                engine = back_end.build(network, device, 1, size)
                engine(given)
                engines[back_end.name] = engine
    best = dict.fromkeys(engines, float("inf"))
    began = time.monotonic()
    for number in range(MOST):
        if number >= LEAST and time.monotonic() - began > seconds:
            break
        for name, engine in engines.items():
            started = clock()
            engine(given)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best[name] = min(best[name], clock() - started)
    return {name: round(1000 * taken / frames, 3) for name, taken in best.items()}
