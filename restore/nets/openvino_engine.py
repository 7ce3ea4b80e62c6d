"""OpenVINO as a back end of plain networks, recurrent ones among them, on a CPU.

Each frame is one job for one thread and several jobs are in flight: measured on two cores without AMX, that is faster
than two threads on one frame and does not stall when decoder and encoder take a core. Where a frame waits for the one
before it, all threads work on one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from restore.machine import Level, cpu_level
from restore.nets.engine import Network, Precision, native_bf16
from restore.nets.int8 import MOST_ACTIVATION, measured_ranges, plain, whole_weights
from restore.nets.plain import MEAN, PlainSR
from restore.nets.recurrent import RecurrentSR


class OpenVinoEngine:
    """OpenVINO on the CPU in `precision`: of the network's arithmetic, inputs and outputs are float32. Compiled once
    per frame size. int8 is of the body (see nets.int8) and for PlainSR alone; head and
    tail are then in bf16 where the CPU has it. TypeError for any network but PlainSR and RecurrentSR."""

    def __init__(
        self,
        network: Network,
        threads: int,
        precision: Precision = "fp32",
    ) -> None:
        openvino = _openvino()
        if not isinstance(network.net, PlainSR | RecurrentSR):
            raise TypeError(f"expected a plain network, got {type(network.net).__name__}")
        self._core = openvino.Core()
        self._threads, self._jobs = threads, 1 if network.sequential else threads
        net = network.net
        self._planes = net.in_planes
        if isinstance(
            net, RecurrentSR
        ):  # what it returns is taken apart outside (nets.recurrent.taken)
            self._scale, self._made = 1, net.out_planes
        else:
            self._scale, self._made = net.scale, net.colours
        whole = precision == "int8"
        half = precision == "bf16" or (whole and "BF16" in capabilities())
        self._hint = "bf16" if half else "f32"
        self._model = _graph(net, measured_ranges(plain(network)) if whole else [])
        self._queues: dict[tuple[int, int], Any] = {}

    def _queue(self, height: int, width: int) -> Any:
        if (height, width) not in self._queues:
            self._model.reshape([1, self._planes, height, width])
            settings = {
                "INFERENCE_PRECISION_HINT": self._hint,
                "EXECUTION_MODE_HINT": "ACCURACY",
                "NUM_STREAMS": str(self._jobs),
                "INFERENCE_NUM_THREADS": str(self._threads),
                "ENABLE_CPU_PINNING": False,
            }
            compiled = self._core.compile_model(self._model, "CPU", settings)
            queue = _openvino().AsyncInferQueue(compiled, self._jobs)
            queue.set_callback(_keep)
            self._queues[height, width] = queue
        return self._queues[height, width]

    def __call__(self, given: Tensor) -> Tensor:
        count, planes, height, width = given.shape
        queue = self._queue(height, width)
        if planes < self._planes:
            missing = given.new_zeros(count, self._planes - planes, height, width)
            given = torch.cat([given, missing], 1)
        frames = given.float().contiguous().numpy()
        result = torch.empty(count, self._made, height * self._scale, width * self._scale)
        for number in range(count):
            queue.start_async({0: frames[number : number + 1]}, result[number].numpy())
        queue.wait_all()
        return result


def _openvino() -> Any:
    """The package without its converter of other frameworks' models, which it takes in if it is there: half of its
    import, and no use here."""
    converter = "openvino.tools.ovc"
    alone = "openvino" not in sys.modules
    if alone:
        sys.modules[converter] = None  # type: ignore[assignment]  # an ImportError, which it expects
    try:
        import openvino
    finally:
        if alone:
            del sys.modules[converter]
    return openvino


def capabilities() -> frozenset[str]:
    """What OpenVINO may do on this CPU: FP32, BF16, INT8. Less than it says it can where the class of machine is lowered."""
    able = set(_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    if not native_bf16():
        able.discard("BF16")
    if cpu_level() < Level.AVX2:
        able.discard("INT8")
    return frozenset(able)


def _graph(net: PlainSR | RecurrentSR, tops: Sequence[float]) -> Any:
    """`net` as an OpenVINO model, operator by operator: the general converter reports its use over the
    network. `tops`: the largest input of each layer of the body if that is to run in whole numbers, else nothing."""
    openvino = _openvino()
    ops = openvino.opset13

    def constant(tensor: Tensor) -> Any:
        return ops.constant(tensor.detach().float().cpu().numpy())

    def convolve(x: Any, conv: nn.Conv2d, weight: Any = None) -> Any:
        bias = conv.bias if conv.bias is not None else torch.zeros(conv.out_channels)
        weight = constant(conv.weight) if weight is None else weight
        done = ops.convolution(x, weight, [1, 1], [1, 1], [1, 1], [1, 1])
        return ops.add(done, constant(bias.view(1, -1, 1, 1)))

    def convolve_whole(x: Any, conv: nn.Conv2d, top: float) -> Any:
        low, high = (ops.constant(np.float32(end)) for end in (0, top))
        counted = ops.fake_quantize(x, low, high, low, high, MOST_ACTIVATION + 1)
        whole, steps = whole_weights(conv.weight)
        weight = ops.multiply(ops.convert(ops.constant(whole.numpy()), "f32"), constant(steps))
        return convolve(counted, conv, weight)

    luma = ops.parameter([1, net.in_planes, -1, -1], dtype=openvino.Type.f32)
    colours = net.colours if isinstance(net, PlainSR) else 1
    mean = [[[MEAN]]] * colours + [[[0.0]]] * (net.in_planes - colours)
    x = ops.subtract(luma, ops.constant([mean], dtype=openvino.Type.f32))
    x = ops.relu(convolve(x, net.head))
    for number, conv in enumerate(net.layers()):
        x = ops.relu(convolve_whole(x, conv, tops[number]) if tops else convolve(x, conv))
    out = convolve(x, net.tail)
    if isinstance(net, PlainSR):
        out = ops.depth_to_space(out, "depth_first", net.scale)
    return openvino.Model([out], [luma], type(net).__name__)


def _keep(request: Any, place: Any) -> None:
    """Copy a result out of the memory that the next job will use, into the caller's: memory that one thread takes
    and another gives back piles up in the allocator."""
    place[...] = request.get_output_tensor(0).data[0]
