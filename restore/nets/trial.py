"""Back ends measured on a picture of bounded cost: which give the right one, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from restore.nets.candidates import BackEnd
from restore.nets.engine import Engine, Network, Precision, TorchEngine
from restore.nets.int8 import WORST_LOSS, loss
from restore.nets.tensorrt_plan import Size

LIMIT_CODES: dict[Precision, float] = {
    "fp32": 0.01,
    "fp16": 0.1,
    "bf16": 0.25,
    "int16": 0.5,
    "int8": 0.5,
}
"""Root mean square of the difference from float32 on the trial picture, in 8-bit codes, that a back end may have:
about what the precision costs. One that has more is broken here, and not used. Whole numbers are looked at more closely:
what they cost depends on the network (nets.int8.loss)."""

WORTH = 1.15
"""A back end must be this many times as fast as one before it on the list: what is measured on a busy machine swings,
and a choice that swings changes bytes."""

TRIAL_SECONDS = 1.0
TOGETHER = (1, 2, 4, 8, 16)
"""Frames that a network may be given at a time on a GPU."""
TRIAL_WORK = {"cpu": 2e9, "cuda": 4e11}
"""Multiplications per frame of a trial: 10 to 40 ms of two cores, a few of a GPU."""


class Trial(NamedTuple):
    """What was measured."""

    milliseconds: dict[str, float]
    """Per frame, of those that give the picture of float32, in the order of the list."""
    untried: list[str]
    """Those for which there was no time."""


def fastest_together(
    engine: Engine,
    network: Network,
    device: torch.device,
    size: Size,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Of TOGETHER, the fewest frames at a time that take within a twentieth of the shortest time each. One count after the other,
    until TRIAL_SECONDS are over or memory ends."""
    began = clock()
    picture = torch.zeros(1, network.planes, *size, device=device)
    times: dict[int, float] = {}
    with torch.inference_mode():
        for count in TOGETHER:
            given = picture.expand(count, -1, -1, -1)
            try:
                taken = min(_seconds(engine, given, clock) for _ in range(3))
            except RuntimeError:
                break  # no room for so many
            times[count] = taken / count
            if clock() - began > TRIAL_SECONDS:
                break
    best = min(times.values(), default=0.0)
    return next((count for count, taken in times.items() if taken <= 1.05 * best), 1)


def _seconds(engine: Engine, given: Tensor, clock: Callable[[], float]) -> float:
    """One call, waited for."""
    started = clock()
    engine(given)
    if given.device.type == "cuda":
        torch.cuda.synchronize(given.device)
    return clock() - started


def trial(
    able: list[BackEnd],
    network: Network,
    device: torch.device,
    threads: int,
    size: Size,
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Of each back end on a picture of `size` or smaller (TRIAL_WORK). One always counts; once TRIAL_SECONDS are over, no
    other is begun. A CPU runs one frame per thread at a time."""
    began = clock()
    picture = trial_picture(network, device, size)
    together = threads if device.type == "cpu" else 4
    picture = picture.expand(1 if network.sequential else together, -1, -1, -1)
    times: dict[str, float] = {}
    untried = sorted(able, key=lambda b: not b.ready)
    with torch.inference_mode():
        wanted = TorchEngine(network, device, threads)(picture)
        while untried and not (times and clock() - began > TRIAL_SECONDS):
            back_end = untried.pop(0)
            found = _timed(back_end, network, device, threads, picture, wanted, clock)
            if found is not None:
                times[back_end.name] = round(found, 3)
    ordered = {b.name: times[b.name] for b in able if b.name in times}
    return Trial(ordered, [b.name for b in untried])


def _timed(
    back_end: BackEnd,
    network: Network,
    device: torch.device,
    threads: int,
    picture: Tensor,
    wanted: Tensor,
    clock: Callable[[], float],
) -> float | None:
    """Milliseconds per frame, the best of three; None if it cannot run here or gives another picture."""
    try:
        size = (picture.shape[-2], picture.shape[-1])
        engine = back_end.build(network, device, threads, size)
        error = (engine(picture) - wanted).square().mean().sqrt() * 255
        if not float(error) <= LIMIT_CODES[back_end.precision]:
            return None
        if back_end.precision in ("int16", "int8") and loss(network, engine) > WORST_LOSS:
            return None
        best = min(_seconds(engine, picture, clock) for _ in range(3))
    except RuntimeError:
        return None  # a driver without this type, or no room: the others are tried
    return 1000 * best / len(picture)


def trial_picture(network: Network, device: torch.device, size: Size) -> Tensor:
    """(1, planes, h, w): soft shapes and a little noise, the same every time."""
    height, width = trial_size(network, device, size)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(
        1, network.planes, -(-height // 8) + 1, -(-width // 8) + 1, generator=generator
    )
    soft = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    noise = 0.02 * torch.randn(1, network.planes, height, width, generator=generator)
    return (0.8 * soft + 0.1 + noise).to(device)


def trial_size(network: Network, device: torch.device, size: Size) -> Size:
    """`size`, or less where that would be more than TRIAL_WORK."""
    height, width = size
    share = (TRIAL_WORK[device.type] / max(1, network.weights) / (height * width)) ** 0.5
    return size if share >= 1 else (max(32, round(height * share)), max(32, round(width * share)))


def fastest(times: Mapping[str, float]) -> str:
    """The name of the quickest, where it is so by WORTH; the order of `times` is the order of preference."""
    best = ""
    for name, taken in times.items():
        if not best or taken * WORTH < times[best]:
            best = name
    return best
