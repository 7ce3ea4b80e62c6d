"""Residual blocks that several networks of the literature are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEPS: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}
"""Scale: the steps in which a network enlarges, one after the other."""


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x))): EDSR's block (Lim et al. 2017, section 3.1), and EnhanceNet's.

    `forward`: (T, channels, h, w) -> the same shape. 3x3, zeros pad both layers.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(torch.relu(self.first(x)))
        return out


class NormalisedBlock(nn.Module):
    """x + BN(conv(activation(BN(conv(x))))): the block of Johnson et al. 2016, with ReLU, and of SRResNet, with PReLU.

    `forward`: (T, channels, h, w) -> the same shape. 3x3, zeros pad both layers.
    """

    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            activation,
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.branch(x)
        return out
