"""One way to run a network, whatever runs it: OpenVINO or PyTorch on a CPU, PyTorch on CUDA.

The float32 result of PyTorch is the reference the others are tested against. Of networks that return a residual only
that passes through reduced precision, so the skip is exact in every back end. On a CPU each frame is one job for one thread and several jobs are
in flight: measured on two cores without AMX, that is faster than two threads on one frame and does not stall when
decoder and encoder take a core.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from restore.nets.plain import MEAN, PlainSR

Engine = Callable[[Tensor], Tensor]
"""A network's input (T, planes, h, w) float -> its output, float32 on the same device (see nets.architectures)."""


def make_engine(
    net: nn.Module, device: torch.device, threads: int, *, residual: bool = True
) -> Engine:
    """The fastest back end for `net` that is installed here. `residual`: whether that is what it returns; a whole
    picture has no room for the 8 bits of bf16."""
    if device.type == "cpu":
        if isinstance(net, PlainSR) and find_spec("openvino") is not None:
            return OpenVinoEngine(net, threads)
        if not residual:
            return TorchEngine(net, device, threads, torch.float32)
    return TorchEngine(net, device, threads)


def fast_dtype(device: torch.device) -> torch.dtype:
    """fp16 on CUDA; bf16 where a CPU multiplies it (AMX, AVX512-BF16); elsewhere it is emulated, so float32."""
    if device.type == "cuda":
        return torch.float16
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


class TorchEngine:
    """PyTorch, channels last, in `dtype` or the device's fast type. Raises nothing of its own."""

    def __init__(
        self,
        net: nn.Module,
        device: torch.device,
        threads: int,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._dtype, self._device, self._threads = dtype or fast_dtype(device), device, threads
        self._net = net.to(device=device, dtype=self._dtype)
        for module in self._net.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, luma: Tensor) -> Tensor:
        before = torch.get_num_threads()
        if self._device.type == "cpu":
            torch.set_num_threads(self._threads)
        try:
            # One frame at a time on a CPU: activations of several would not stay in its caches.
            step = 1 if self._device.type == "cpu" else len(luma)
            parts = [
                self._net(part.to(self._dtype).contiguous(memory_format=torch.channels_last))
                for part in torch.split(luma, step)
            ]
            return torch.cat(parts).float()
        finally:
            if self._device.type == "cpu":
                torch.set_num_threads(before)


class OpenVinoEngine:
    """OpenVINO on the CPU: bf16 where the CPU has it, else float32. Compiled once per frame size."""

    def __init__(self, net: PlainSR, threads: int) -> None:
        import openvino

        self._core = openvino.Core()
        self._threads, self._scale = threads, net.scale
        self._planes, self._colours = net.in_planes, net.colours
        able = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._hint = "bf16" if "BF16" in able else "f32"
        self._model = _openvino_graph(net)
        self._queues: dict[tuple[int, int], Any] = {}

    def _queue(self, height: int, width: int) -> Any:
        import openvino

        if (height, width) not in self._queues:
            self._model.reshape([1, self._planes, height, width])
            settings = {
                "INFERENCE_PRECISION_HINT": self._hint,
                "NUM_STREAMS": str(self._threads),
                "INFERENCE_NUM_THREADS": str(self._threads),
                "ENABLE_CPU_PINNING": False,
            }
            compiled = self._core.compile_model(self._model, "CPU", settings)
            queue = openvino.AsyncInferQueue(compiled, self._threads)
            queue.set_callback(_keep)
            self._queues[height, width] = queue
        return self._queues[height, width]

    def __call__(self, luma: Tensor) -> Tensor:
        count, given, height, width = luma.shape
        queue = self._queue(height, width)
        missing = luma.new_zeros(count, self._planes - given, height, width)
        frames = torch.cat([luma, missing], 1).float().contiguous().numpy()
        result = torch.empty(count, self._colours, height * self._scale, width * self._scale)
        for number in range(count):
            queue.start_async({0: frames[number : number + 1]}, result[number].numpy())
        queue.wait_all()
        return result


def _openvino_graph(net: PlainSR) -> Any:
    """`net` as an OpenVINO model, operator by operator: the general converter reports its use over the
    network."""
    import openvino
    from openvino import opset13 as ops

    def constant(tensor: Tensor) -> Any:
        return ops.constant(tensor.detach().float().cpu().numpy())

    def convolve(x: Any, conv: nn.Conv2d) -> Any:
        bias = conv.bias if conv.bias is not None else torch.zeros(conv.out_channels)
        done = ops.convolution(x, constant(conv.weight), [1, 1], [1, 1], [1, 1], [1, 1])
        return ops.add(done, constant(bias.view(1, -1, 1, 1)))

    luma = ops.parameter([1, net.in_planes, -1, -1], dtype=openvino.Type.f32)
    mean = [[[MEAN]]] * net.colours + [[[0.0]]] * (net.in_planes - net.colours)
    x = ops.subtract(luma, ops.constant([mean], dtype=openvino.Type.f32))
    for conv in (net.head, *net.layers()):
        x = ops.relu(convolve(x, conv))
    residual = ops.depth_to_space(convolve(x, net.tail), "depth_first", net.scale)
    return openvino.Model([residual], [luma], "PlainSR")


def _keep(request: Any, place: Any) -> None:
    """Copy a result out of the memory that the next job will use, into the caller's: memory that one thread takes
    and another gives back piles up in the allocator."""
    place[...] = request.get_output_tensor(0).data[0]
