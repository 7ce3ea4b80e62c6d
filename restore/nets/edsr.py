"""EDSR-baseline: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017.

Residual blocks without batch normalisation and without ReLU after the addition (section 3.1), no residual scaling in
the baseline (table 1), pixel shuffle at the end. 16 blocks of 64 on R, G, B: 1,369,859 parameters at x2, 1,554,499 at
x3, 1,517,571 at x4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restore.nets.blocks import STEPS, ResidualBlock

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Of R, G, B, as the authors subtract it."""

DIV2K_LUMA_MEAN = 0.4379
"""The same colour's luma code / 255 (BT.601, limited range)."""


class EDSR(nn.Module):
    """1 or 3 -> channels, `blocks` residual blocks, a long skip, upsampling, channels -> 1 or 3.

    `forward`: codes / 255 (T, planes, h, w) -> picture (T, planes, scale*h, scale*w). Zeros pad every layer.
    """

    mean: Tensor

    def __init__(self, channels: int = 64, blocks: int = 16, scale: int = 2, planes: int = 1):
        super().__init__()
        mean = DIV2K_MEAN if planes == 3 else (DIV2K_LUMA_MEAN,)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.head = nn.Conv2d(planes, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.join = nn.Conv2d(channels, channels, 3, padding=1)
        self.up = nn.Sequential(*_upsampling(channels, scale))
        self.tail = nn.Conv2d(channels, planes, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.head(picture - self.mean)
        x = x + self.join(self.body(x))
        out: Tensor = self.tail(self.up(x)) + self.mean
        return out


def _upsampling(channels: int, scale: int) -> list[nn.Module]:
    """One shuffle for x2 and x3, two of x2 for x4 (figure 3), none for x1."""
    layers: list[nn.Module] = []
    for step in STEPS[scale]:
        layers += [
            nn.Conv2d(channels, step**2 * channels, 3, padding=1),
            nn.PixelShuffle(step),
        ]
    return layers
