"""Whether a back end gives the right picture here: run once on a picture of bounded cost, and compared with float32.

No clock takes part: on machines of a class the answer is always the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restore.faults import out_of_memory
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

TRIAL_WORK = {"cpu": 2e9, "cuda": 4e11}
"""Multiplications of a trial: 10 to 40 ms of two cores, a few of a GPU."""


def trial(
    back_end: BackEnd, network: Network, device: torch.device, threads: int, size: Size
) -> tuple[Engine | None, str]:
    """(its engine, '') where it gives the picture of float32 within its limit, on a picture of `size` or smaller (TRIAL_WORK); else
    (None, why not). RuntimeError or MemoryError where memory ended, which says nothing of the picture."""
    picture = trial_picture(network, device, size)
    try:
        engine = back_end.build(network, device, threads, size)
        with torch.inference_mode():
            wanted = TorchEngine(network, device, 1)(picture)
            off = float((engine(picture) - wanted).square().mean().sqrt() * 255)
            if not off <= LIMIT_CODES[back_end.precision]:
                return None, f"is {off:.2g} codes off"
            if back_end.precision in ("int16", "int8"):
                cost = loss(network, engine)
                if not cost <= WORST_LOSS:
                    return None, f"costs {cost:.2g} dB"
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        return None, f"does not start ({str(error).splitlines()[0]})"
    return engine, ""


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
