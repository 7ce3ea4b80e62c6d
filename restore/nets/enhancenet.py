"""EnhanceNet: Sajjadi, Schoelkopf, Hirsch, "EnhanceNet: Single Image Super-Resolution Through Automated Texture
Synthesis", ICCV 2017 (table 1).

Ten residual blocks at low resolution, nearest-neighbour enlarging followed by a convolution instead of a transposed
one (no checkerboard), and a result that is added to the bicubic enlargement.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restore.nets.blocks import STEPS, ResidualBlock


class EnhanceNet(nn.Module):
    """1 or 3 -> channels, `blocks` residual blocks, (nearest x2, conv) per doubling, conv, channels -> 1 or 3.

    `forward`: codes / 255 (T, planes, h, w) -> residual (T, planes, scale*h, scale*w), to be added to the input
    enlarged by bicubic. All layers 3x3 with ReLU, but the second of a block and the last. Zeros pad every layer.
    """

    def __init__(self, channels: int = 64, blocks: int = 10, scale: int = 2, planes: int = 1):
        super().__init__()

        def conv(before: int, after: int) -> nn.Conv2d:
            return nn.Conv2d(before, after, 3, padding=1)

        self.head = conv(planes, channels)
        self.body = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        up: list[nn.Module] = []
        for step in STEPS[scale]:
            up += [nn.Upsample(scale_factor=step), conv(channels, channels), nn.ReLU()]
        self.up = nn.Sequential(*up)
        self.last = conv(channels, channels)
        self.tail = conv(channels, planes)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.up(self.body(torch.relu(self.head(picture))))
        out: Tensor = self.tail(torch.relu(self.last(x)))
        return out
