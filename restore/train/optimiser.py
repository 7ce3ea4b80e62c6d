"""The optimisers a recipe may name: AdamW alone, or Muon for the convolutions with AdamW for all else.

Muon (Jordan et al. 2024) takes the momentum of a layer's gradient, seen as a matrix of output channels by inputs, and
steps along the nearest orthogonal matrix: every direction the layer can turn to is turned by the same amount, also
those the gradient hardly shows. The matrix comes from five Newton-Schulz steps; the length of the step is scaled so
that AdamW's learning rates fit (Liu et al. 2025, "Muon is scalable", section 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Jordan's quintic: takes singular values from 0 to 1 to between 0.7 and 1.2 in five rounds."""

SMALLEST = 16
"""Matrices with a side shorter than this stay with AdamW: a head of one plane, a tail of four phases."""


class Muon(torch.optim.Optimizer):
    """Groups with `orthogonal` hold kernels and step by Muon, the others by AdamW (betas 0.9, 0.99, no decay). The
    learning rate of both is the group's `lr`."""

    def __init__(self, params: Any, lr: float, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        if closure is not None:
            raise TypeError("this optimiser calls no closure")
        for group in self.param_groups:
            update = self._orthogonal if group["orthogonal"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.add_(update(parameter, group["momentum"]), alpha=-group["lr"])

    def _orthogonal(self, parameter: Tensor, momentum: float) -> Tensor:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(grad, 1 - momentum)
        matrix = grad.lerp(state["momentum"], momentum).flatten(1)  # Nesterov's look ahead
        scale = 0.2 * math.sqrt(max(matrix.shape))
        return orthogonal(matrix).view_as(parameter) * scale

    def _adam(self, parameter: Tensor, _: float) -> Tensor:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(grad), "square": torch.zeros_like(grad)}
        state["step"] += 1
        state["mean"].lerp_(grad, 0.1)
        state["square"].lerp_(grad * grad, 0.01)
        mean: Tensor = state["mean"] / (1 - 0.9 ** state["step"])
        square: Tensor = state["square"] / (1 - 0.99 ** state["step"])
        return mean / (square.sqrt() + 1e-8)


def orthogonal(matrix: Tensor) -> Tensor:
    """(m, n) -> about the orthogonal factor of its polar decomposition: singular values between 0.7 and 1.2."""
    a, b, c = NEWTON_SCHULZ
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def make(name: str, net: nn.Module, rate: float) -> torch.optim.Optimizer:
    """'adamw' or 'muon' for all parameters of `net`."""
    if name == "adamw":
        return torch.optim.AdamW(net.parameters(), rate, betas=(0.9, 0.99), weight_decay=0)
    kernels: list[Tensor] = []
    others: list[Tensor] = []
    for parameter in net.parameters():
        is_matrix = parameter.ndim == 4 and min(parameter.flatten(1).shape) >= SMALLEST
        (kernels if is_matrix else others).append(parameter)
    groups: list[dict[str, Any]] = [{"params": others}]
    if kernels:
        groups.insert(0, {"params": kernels, "orthogonal": True})
    return Muon(groups, rate)
