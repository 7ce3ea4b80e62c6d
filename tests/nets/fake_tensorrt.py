"""A stand-in for TensorRT that computes: it takes the statement of a network, makes a plan of it, and runs the plan by
PyTorch on memory that it is given by addresses, as the library does.

Strict where the library is: types of one convolution agree, weights are read where they lie when the plan is built and
not before, shapes are within the profile, no context runs without the memory it asked for. `module()` makes a fresh one; its
`state` is what tests look at, and what they make it do wrong. test_tensorrt.py compares its names with the real ones.
"""

from __future__ import annotations

import ctypes
import io
import pickle
from collections.abc import Sequence
from enum import IntEnum
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class State:
    """Of one stand-in."""

    def __init__(self) -> None:
        self.builds = 0
        self.flags: list[int] = []
        self.layers: list[str] = []
        """Of the network built last."""
        self.streams: list[int] = []
        self.refuses_to_build = False
        self.refuses_plans = False
        self.refuses_to_run = False
        self.spoil = 0.0
        """Added to every result."""
        self.memory_of_a_frame = 256
        """Bytes."""


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1
    BF16 = 10


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class ActivationType(IntEnum):
    RELU = 0


class ExecutionContextAllocationStrategy(IntEnum):
    STATIC = 0
    USER_MANAGED = 2


_TYPES = {
    DataType.FLOAT: torch.float32,
    DataType.HALF: torch.float16,
    DataType.BF16: torch.bfloat16,
}


def _at(address: int, kind: DataType, shape: Sequence[int]) -> Tensor:
    """The memory there, itself."""
    count = 1
    for side in shape:
        count *= side
    dtype = _TYPES[kind]
    raw = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return torch.frombuffer(raw, dtype=dtype).view(*shape)


class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    def __init__(self) -> None: ...

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class Weights:
    def __init__(self, type: DataType, ptr: int, count: int) -> None:
        self.dtype, self.ptr, self.size = type, ptr, count


class ITensor:
    def __init__(self, dtype: DataType, channels: int) -> None:
        self.dtype, self.channels, self.name = dtype, channels, ""


class IConvolutionLayer:
    def __init__(
        self, kernel: Weights, bias: Weights, shape: tuple[int, ...], out: ITensor
    ) -> None:
        self.kernel, self.bias, self.shape, self.out = kernel, bias, shape, out
        self.padding_nd = (0, 0)

    def get_output(self, index: int) -> ITensor:
        assert index == 0
        return self.out


class IActivationLayer:
    def __init__(self, out: ITensor) -> None:
        self.out = out

    def get_output(self, index: int) -> ITensor:
        assert index == 0
        return self.out


class INetworkDefinition:
    def __init__(self) -> None:
        self.given: tuple[str, DataType, tuple[int, ...]] | None = None
        self.layers: list[IConvolutionLayer | IActivationLayer] = []
        self.made: ITensor | None = None

    def add_input(self, name: str, dtype: DataType, shape: tuple[int, ...]) -> ITensor:
        self.given = (name, dtype, shape)
        return ITensor(dtype, shape[1])

    def add_convolution_nd(
        self,
        input: ITensor,
        num_output_maps: int,
        kernel_shape: tuple[int, int],
        kernel: Weights,
        bias: Weights,
    ) -> IConvolutionLayer | None:
        shape = (num_output_maps, input.channels, *kernel_shape)
        sizes = (kernel.size, bias.size)
        if sizes != (shape[0] * shape[1] * shape[2] * shape[3], num_output_maps):
            return None
        if not input.dtype == kernel.dtype == bias.dtype:
            return None
        layer = IConvolutionLayer(kernel, bias, shape, ITensor(input.dtype, num_output_maps))
        self.layers.append(layer)
        return layer

    def add_activation(self, input: ITensor, type: ActivationType) -> IActivationLayer:
        assert type is ActivationType.RELU
        layer = IActivationLayer(ITensor(input.dtype, input.channels))
        self.layers.append(layer)
        return layer

    def mark_output(self, tensor: ITensor) -> None:
        assert tensor is self.layers[-1].get_output(0)
        self.made = tensor


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(
        self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]
    ) -> None:
        self.shapes[input] = (min, opt, max)


class IBuilderConfig:
    def __init__(self) -> None:
        self.profiles: list[IOptimizationProfile] = []

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class Plan(dict[str, Any]):
    """What the stand-in writes into its plans."""


def module(version: str = "11.4.0.106") -> ModuleType:
    """A fresh stand-in, to be put in the place of the module 'tensorrt'."""
    state = State()

    class Builder:
        def __init__(self, logger: ILogger) -> None:
            self.logger = logger

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            state.flags.append(flags)
            return INetworkDefinition()

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(
            self, network: INetworkDefinition, config: IBuilderConfig
        ) -> bytearray | None:
            state.builds += 1
            if state.refuses_to_build:
                self.logger.log(ILogger.Severity.WARNING, "only a warning")
                self.logger.log(ILogger.Severity.ERROR, "no kernel fits this card")
                return None
            assert network.given is not None
            assert network.made is not None
            name, dtype, shape = network.given
            (profile,) = config.profiles
            low, usual, high = profile.shapes[name]
            for side, a, b, c in zip(shape, low, usual, high, strict=True):
                assert a <= b <= c
                assert side == -1 or side == a == c
            steps: list[tuple[Any, ...]] = []
            for layer in network.layers:
                if isinstance(layer, IActivationLayer):
                    steps.append(("relu",))
                    continue
                kernel = _at(layer.kernel.ptr, layer.kernel.dtype, layer.shape).clone()
                bias = _at(layer.bias.ptr, layer.bias.dtype, layer.shape[:1]).clone()
                steps.append(("convolution", kernel, bias, layer.padding_nd))
            state.layers = [step[0] for step in steps]
            plan = Plan(
                version=version,
                given=name,
                made=network.made.name,
                kind=int(dtype),
                low=low,
                high=high,
                steps=steps,
            )
            written = io.BytesIO()
            pickle.dump(plan, written)
            return bytearray(written.getvalue())

    class IExecutionContext:
        def __init__(self, plan: Plan) -> None:
            self.plan, self.shape, self.memory = plan, (), 0
            self.addresses: dict[str, int] = {}

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            fits = zip(self.plan["low"], shape, self.plan["high"], strict=True)
            if name != self.plan["given"] or not all(a <= b <= c for a, b, c in fits):
                return False
            self.shape = shape
            return True

        def update_device_memory_size_for_shapes(self) -> int:
            return state.memory_of_a_frame * self.shape[0]

        def set_device_memory(self, memory: int, size: int) -> None:
            self.memory = size if memory else 0

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self.addresses[name] = memory
            return name in (self.plan["given"], self.plan["made"])

        def execute_async_v3(self, stream_handle: int) -> bool:
            state.streams.append(stream_handle)
            if state.refuses_to_run or self.memory < self.update_device_memory_size_for_shapes():
                return False
            kind = DataType(self.plan["kind"])
            x = _at(self.addresses[self.plan["given"]], kind, self.shape)
            for step in self.plan["steps"]:
                if step[0] == "relu":
                    x = torch.relu(x)
                else:
                    x = F.conv2d(x, step[1], step[2], padding=step[3])
            _at(self.addresses[self.plan["made"]], kind, x.shape).copy_(x + state.spoil)
            return True

    class ICudaEngine:
        def __init__(self, plan: Plan) -> None:
            self.plan = plan

        def create_execution_context(
            self, strategy: ExecutionContextAllocationStrategy
        ) -> IExecutionContext:
            assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
            return IExecutionContext(self.plan)

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            plan = None if state.refuses_plans else pickle.loads(serialized_engine)
            if plan is None or plan["version"] != version:
                self.logger.log(ILogger.Severity.ERROR, "the plan is of another version")
                return None
            return ICudaEngine(plan)

    made = ModuleType("tensorrt")
    made.__spec__ = ModuleSpec("tensorrt", None)
    made.__version__ = version  # type: ignore[attr-defined]
    made.state = state  # type: ignore[attr-defined]
    for part in (
        DataType, NetworkDefinitionCreationFlag, ActivationType, ExecutionContextAllocationStrategy,
        ILogger, Weights, ITensor, IConvolutionLayer, IActivationLayer, INetworkDefinition,
        IOptimizationProfile, IBuilderConfig, Builder, IExecutionContext, ICudaEngine, Runtime,
    ):  # fmt: skip
        setattr(made, part.__name__, part)
    return made
