"""TensorRT as a back end of plain networks, recurrent ones among them, on CUDA (see nets.tensorrt_plan).

In float32 by PyTorch stay the mean that is taken off and the pixel shuffle. Memory for activations is PyTorch's, so that
it is given back with everything else, and its end is noticed as always (see nets.ladder).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.nets.engine import DTYPES, Engine, GraphEngine, Network, Precision
from restore.nets.plain import MEAN, PlainSR
from restore.nets.recurrent import RecurrentSR
from restore.nets.tensorrt_plan import (
    GIVEN,
    LARGEST,
    MADE,
    Size,
    build_plan,
    in_words,
    keep_plan,
    kept_plan,
    load,
    plan_name,
    there,
)


@contextmanager
def on_card(device: torch.device) -> Iterator[int]:
    """`device` is the current one inside. Yields the handle of a stream whose work comes after all that was begun on the
    current one, and before all that will be: on the default stream itself TensorRT would wait for the device."""
    with torch.cuda.device(device):
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(here)
        try:
            yield side.cuda_stream
        finally:
            here.wait_stream(side)


class TensorRtEngine:
    """One network on frames of one size; frames of another, such as the tiles that are left when memory ends, are run by
    PyTorch in the same precision. RuntimeError: TensorRT cannot be loaded, or builds nothing that runs here. TypeError
    for any network but PlainSR and RecurrentSR."""

    plan: str
    """SHA-256 of the plan: another one of the same network may round otherwise."""

    def __init__(
        self,
        network: Network,
        device: torch.device,
        threads: int,
        precision: Precision,
        size: Size,
        folder: Path | None = None,
    ) -> None:
        """`folder`: where plans are kept; None: nowhere."""
        net = network.net
        if not isinstance(net, PlainSR | RecurrentSR):
            raise TypeError(f"expected a plain network, got {type(net).__name__}")
        self._network, self._net = network, net
        self._device, self._threads = device, threads
        self._precision, self._size = precision, size
        self._made = net.tail.out_channels
        self._scale = net.scale if isinstance(net, PlainSR) else 1
        colours = net.colours if isinstance(net, PlainSR) else 1
        means = [MEAN] * colours + [0.0] * (net.in_planes - colours)
        self._mean = torch.tensor(means, device=device).view(1, -1, 1, 1)
        self._most = 1 if network.sequential else LARGEST
        self._scratch = torch.empty(0, dtype=torch.uint8, device=device)
        self._other: Engine | None = None
        trt = load()
        with on_card(device), in_words(trt) as log:
            self._runtime = trt.Runtime(log)
            self._engine = self._loaded(trt, log, folder)
            strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
            self._context = there(self._engine.create_execution_context(strategy), "no context")
        self._log = log

    def _loaded(self, trt: Any, log: Any, folder: Path | None) -> Any:
        """The plan on the device: the kept one where TensorRT takes it, else a new one."""
        name, line = plan_name(self._network, self._device, self._precision, self._size)
        plan = None if folder is None else kept_plan(folder / name, line)
        engine = None if plan is None else self._runtime.deserialize_cuda_engine(plan)
        if plan is None or engine is None:
            plan = build_plan(trt, log, self._net, self._precision, self._size, self._most)
            engine = there(self._runtime.deserialize_cuda_engine(plan), "its own plan not taken")
            if folder is not None:
                keep_plan(folder / name, line, plan)
        self.plan = hashlib.sha256(plan).hexdigest()
        return engine

    def __call__(self, given: Tensor) -> Tensor:
        if tuple(given.shape[-2:]) != self._size:
            if self._other is None:
                self._other = GraphEngine(
                    self._network, self._device, self._threads, self._precision
                )
            return self._other(given)
        missing = self._mean.shape[1] - given.shape[1]
        centred = F.pad(given.float(), (0, 0, 0, 0, 0, missing)) - self._mean
        ready = centred.to(DTYPES[self._precision]).contiguous()
        made = torch.cat([self._run(part) for part in torch.split(ready, self._most)])
        return F.pixel_shuffle(made, self._scale).float()

    def _run(self, part: Tensor) -> Tensor:
        """(1 to LARGEST, planes, h, w) contiguous, of the plan's type -> what the last layer makes of it."""
        context = self._context
        there(context.set_input_shape(GIVEN, tuple(part.shape)), "shape not taken")
        needed = context.update_device_memory_size_for_shapes()
        if needed > len(self._scratch):
            self._scratch = self._scratch.new_empty(0)  # first: both may not fit at once
            self._scratch = torch.empty(needed, dtype=torch.uint8, device=self._device)
        context.set_device_memory(self._scratch.data_ptr(), len(self._scratch))
        made = part.new_empty(len(part), self._made, *self._size)
        context.set_tensor_address(GIVEN, part.data_ptr())
        context.set_tensor_address(MADE, made.data_ptr())
        with on_card(self._device) as stream:
            if not context.execute_async_v3(stream):
                raise RuntimeError(f"TensorRT does not run: {self._log.last()}")
        return made
