"""A network as a plan of TensorRT (10.1 or newer): stated layer by layer, built, and kept for the next run.

A plan holds the kernels that were fastest on this card when tried, which takes up to a minute to find out. So plans are
kept in a folder, under names that no other weights, size, precision, version, card or driver has. Outside the plan stay the
mean that is taken off and the pixel shuffle, which only moves samples (see nets.tensorrt_engine).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restore.nets.engine import DTYPES, Network, Precision
from restore.nets.plain import PlainSR
from restore.nets.recurrent import RecurrentSR
from restore.private import cache_dir, read_private, write_private

OLDEST = (10, 1)
"""The first version that takes memory of the caller's with its size."""
LARGEST = 16
"""Frames at a time; a plan is for all numbers up to it, and fastest at half."""
EDITION = 1
"""Changes whenever the same weights would be stated otherwise, which makes plans kept by users stale."""
MOST_BYTES = 1 << 30
"""Of a plan that is kept: networks here have some MiB of weights."""
GIVEN, MADE = "given", "made"
"""Names of the plan's input and output."""
_TYPES: dict[Precision, str] = {"fp16": "HALF", "bf16": "BF16"}

Size = tuple[int, int]
"""Height and width of a frame."""


def plans_dir() -> Path:
    """Where plans are kept between runs."""
    return cache_dir() / "plans"


@dataclass(frozen=True)
class Card:
    """What a plan is bound to besides TensorRT itself."""

    gpu: str
    compute: str
    driver: str


def card_of(device: torch.device) -> Card:
    found = torch.cuda.get_device_properties(device)
    try:
        driver = Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except (OSError, IndexError):  # not Linux: the newest CUDA that the driver knows
        driver = f"CUDA {torch._C._cuda_getDriverVersion()}"  # type: ignore[attr-defined]
    return Card(found.name, f"{found.major}.{found.minor}", driver)


def load() -> Any:
    """The library. RuntimeError: it is too old, or not all of it is here."""
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise RuntimeError(f"TensorRT cannot be loaded: {error}") from error
    if tuple(int(part) for part in tensorrt.__version__.split(".")[:2]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise RuntimeError(f"expected TensorRT {wanted} or newer, found {tensorrt.__version__}")
    return tensorrt


def plan_name(
    network: Network, device: torch.device, precision: Precision, size: Size
) -> tuple[str, str]:
    """(the file's name, all that the plan depends on, one line of JSON). RuntimeError as `load`."""
    facts = {
        "edition": EDITION,
        "weights": network.sha256,
        "height": size[0],
        "width": size[1],
        "frames": 1 if network.sequential else LARGEST,
        "precision": precision,
        "tensorrt": load().__version__,
        **asdict(card_of(device)),
    }
    line = json.dumps(facts, sort_keys=True)
    digest = hashlib.sha256(line.encode()).hexdigest()
    start = f"{network.sha256[:16]}-{size[1]}x{size[0]}-{precision}"
    return f"{start}-{digest[:16]}.plan", line


@contextmanager
def in_words(trt: Any) -> Iterator[Any]:
    """Yields a log that keeps errors instead of printing them. RuntimeError, with the last of them, for all that the
    library refuses: objects that it cannot make come out as None or TypeError."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(text)

        def last(self) -> str:
            return self.errors[-1] if self.errors else "it does not say why"

    log = Log()
    try:
        yield log
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        said = f"{str(error).splitlines()[0]}: {log.last()}"
        raise RuntimeError(f"TensorRT {trt.__version__}: {said}") from error


def build_plan(
    trt: Any, log: Any, net: PlainSR | RecurrentSR, precision: Precision, size: Size, most: int
) -> bytes:
    """The plan of `net` without mean and pixel shuffle, for 1 to `most` frames of `size`."""
    kind = getattr(trt.DataType, _TYPES[precision])
    builder = trt.Builder(log)
    # Version 11 knows no other networks, and only keeps the name of the flag.
    strong = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    stated = builder.create_network(0 if strong is None else 1 << int(strong))
    alive = []  # TensorRT reads weights where they are, until the plan is built

    def weights(tensor: Tensor) -> Any:
        alive.append(tensor.detach().to("cpu", DTYPES[precision]).contiguous())
        return trt.Weights(kind, alive[-1].data_ptr(), alive[-1].numel())

    def convolve(x: Any, conv: nn.Conv2d) -> Any:
        bias = conv.bias if conv.bias is not None else torch.zeros(conv.out_channels)
        layer = stated.add_convolution_nd(
            x, conv.out_channels, (3, 3), weights(conv.weight), weights(bias)
        )
        layer.padding_nd = (1, 1)
        return layer.get_output(0)

    x = stated.add_input(GIVEN, kind, (-1, net.in_planes, *size))
    for conv in (net.head, *net.layers()):
        x = stated.add_activation(convolve(x, conv), trt.ActivationType.RELU).get_output(0)
    x = convolve(x, net.tail)
    x.name = MADE
    stated.mark_output(x)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    shapes = ((count, net.in_planes, *size) for count in (1, max(1, most // 2), most))
    profile.set_shape(GIVEN, *shapes)
    config.add_optimization_profile(profile)
    return bytes(there(builder.build_serialized_network(stated, config), "no plan was built"))


def there(found: Any, otherwise: str) -> Any:
    """`found`, unless it is None or false: then RuntimeError."""
    if found is None or found is False:
        raise RuntimeError(otherwise)
    return found


def kept_plan(path: Path, line: str) -> bytes | None:
    """What `keep_plan` wrote there for the same `line`; None where it is missing, damaged, of something else, or not surely
    this user's own (restore.private): a plan is code for the card."""
    try:
        facts, digest, plan = read_private(path, MOST_BYTES).split(b"\n", 2)
    except (OSError, ValueError):
        return None
    whole = digest.decode("ascii", "replace") == hashlib.sha256(plan).hexdigest()
    return plan if whole and facts == line.encode() else None


def keep_plan(path: Path, line: str, plan: bytes) -> None:
    """Whole or not at all. A folder that cannot be written to is no reason to fail."""
    digest = hashlib.sha256(plan).hexdigest()
    with suppress(OSError):
        write_private(path, f"{line}\n{digest}\n".encode() + plan)
