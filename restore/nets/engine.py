"""PyTorch as a back end of networks: on a CPU, on CUDA, with its launches recorded, and compiled.

The float32 result of PyTorch is the reference that every back end is tested against. Of networks that return a residual
only that passes through reduced precision, so the skip is exact in every back end.
"""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from restore.machine import Level, cpu_level
from restore.private import cache_dir, private_dir

Engine = Callable[[Tensor], Tensor]
"""A network's input (T, planes, h, w) float -> its output, float32 on the same device (see nets.architectures)."""

Precision = Literal["fp32", "fp16", "bf16", "int16", "int8"]

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
"""Of PyTorch; whole numbers are not for it (see nets.int8, nets.winograd)."""


@dataclass(frozen=True)
class Network:
    """A network and what a back end must know of it."""

    net: nn.Module
    """float32, eval mode, on the CPU. Engines copy it."""
    name: str
    sha256: str
    """Of its weights."""
    residual: bool = True
    """Whether that is what it returns; a whole picture has no room for the 8 bits of bf16."""
    planes: int = 1
    """That go in."""
    sequential: bool = False
    """Whether a frame waits for the one before it, so that no two are run at a time."""
    gain: float = 2.0
    """dB of Y-PSNR over the resampler that it has at best: the better a network, the less it may be rounded."""

    @property
    def reach(self) -> int:
        """Input samples on either side that one output sample can depend on, at most."""
        kernels = (
            max(module.kernel_size)
            for module in self.net.modules()
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
        )
        return sum(size // 2 for size in kernels)

    @property
    def widest(self) -> int:
        """The most channels that one of its layers has."""
        return max(
            module.out_channels
            for module in self.net.modules()
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))
        )

    @property
    def weights(self) -> int:
        return sum(parameter.numel() for parameter in self.net.parameters())


def native_bf16() -> bool:
    """Whether the CPU multiplies bf16 (AMX, AVX512-BF16); elsewhere it is emulated, slower than float32."""
    return cpu_level() >= Level.BF16


IN_FLIGHT = 4 << 30
"""Bytes that activations of all frames in work may take on a CPU, about: frames of 4K have fewer at a time than there are
threads."""


class TorchEngine:
    """PyTorch, channels last. Raises nothing of its own; float32 on CUDA is float32, not TF32.

    On a CPU each frame is one job for one thread: PyTorch's own threads are a setting of the whole process, which other threads
    would see while it is changed for one call. On CUDA kernels are chosen by rule and not by trial, and only such as
    give the same bits every time."""

    def __init__(
        self,
        network: Network,
        device: torch.device,
        threads: int,
        precision: Precision = "fp32",
        *,
        compiled: bool = False,
    ) -> None:
        self._dtype, self._device = DTYPES[precision], device
        # What is compiled is so in the first call: several at a time would do it several times.
        self._threads, self._widest = 1 if compiled else threads, network.widest
        net = copy.deepcopy(network.net).to(device=device, dtype=self._dtype)
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._net: Callable[[Tensor], Tensor] = _compiled(net) if compiled else net
        self._pool = ThreadPoolExecutor(
            self._threads, "torch"
        )  # threads begin when they are needed

    def __call__(self, given: Tensor) -> Tensor:
        if self._device.type == "cuda":
            exactly = {"enabled": True, "benchmark": False, "deterministic": True}
            with torch.backends.cudnn.flags(**exactly, allow_tf32=False):
                return self.run(self._prepared(given)).float()
        frames = torch.split(given, 1)
        each = 3 * 4 * self._widest * given.shape[-2] * given.shape[-1]
        jobs = max(1, min(self._threads, len(frames), IN_FLIGHT // each))
        if jobs == 1:
            return torch.cat([self._alone(frame) for frame in frames])
        some = (frames[n : n + jobs] for n in range(0, len(frames), jobs))
        return torch.cat([done for few in some for done in self._pool.map(self._alone, few)])

    def _alone(self, frame: Tensor) -> Tensor:
        """One frame, on the thread that calls: gradients are a setting of a thread."""
        with torch.no_grad():
            return self.run(self._prepared(frame)).float()

    def _prepared(self, given: Tensor) -> Tensor:
        return given.to(self._dtype).contiguous(memory_format=torch.channels_last)

    def run(self, given: Tensor) -> Tensor:
        """The network on a batch of its own type and layout."""
        return self._net(given)


def _compiled(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """RuntimeError where there is no place for what compiling makes: that is code which is run, and PyTorch's own place for it is a
    folder of /tmp under a name that anybody can foresee. Each class of machine has a place of its own: what was compiled for
    one gives another picture on the next, hundreds of codes off, and PyTorch does not tell them apart."""
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        try:
            folder = private_dir(cache_dir() / f"compiled-{cpu_level()}")
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
        except OSError as error:
            raise RuntimeError(f"{error.filename}: cannot be used: {error.strerror}") from error
    return torch.compile(net)


class GraphEngine(TorchEngine):
    """PyTorch on CUDA with the launches of a batch recorded once per shape and replayed: small networks on small
    frames are otherwise bound by the host. A batch is cut into powers of two, so that few shapes come up."""

    LARGEST = 16
    SHAPES = 8
    """Recordings kept; each holds its activations."""

    def __init__(
        self, network: Network, device: torch.device, threads: int, precision: Precision
    ) -> None:
        super().__init__(network, device, threads, precision)
        self._recorded: OrderedDict[
            tuple[int, ...], tuple[torch.cuda.CUDAGraph, Tensor, Tensor]
        ] = OrderedDict()

    def run(self, given: Tensor) -> Tensor:
        sizes = powers(len(given), self.LARGEST)
        # A replay writes over what the last one of that shape returned.
        return torch.cat([self._replayed(part).clone() for part in torch.split(given, sizes)])

    def _replayed(self, part: Tensor) -> Tensor:
        key = tuple(part.shape)
        if key not in self._recorded:
            while len(self._recorded) >= self.SHAPES:
                self._recorded.popitem(last=False)
            self._recorded[key] = self._record(part)
        self._recorded.move_to_end(key)
        graph, fixed, result = self._recorded[key]
        fixed.copy_(part)
        graph.replay()
        return result

    def _record(self, part: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        fixed = part.clone(memory_format=torch.preserve_format)
        side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):  # libraries allocate and choose kernels on first use
            for _ in range(3):
                self._net(fixed)
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self._net(fixed)
        return graph, fixed, result


def powers(count: int, largest: int) -> list[int]:
    """`count` as a sum of powers of two up to `largest`, itself one; the largest first."""
    sizes = [largest] * (count // largest)
    rest = count % largest
    while rest:
        sizes.append(1 << (rest.bit_length() - 1))
        rest -= sizes[-1]
    return sizes
