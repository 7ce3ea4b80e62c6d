"""The image transform network of Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and
Super-Resolution", ECCV 2016 (section 3.1; supplement, table 2: super-resolution).

All layers but the last have batch normalisation and ReLU; the blocks have no ReLU after the addition; enlarging is
by convolutions of stride 1/2 (transposed); the last layer ends in a tanh scaled to the range of the codes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restore.nets.blocks import NormalisedBlock


class TransformNet(nn.Module):
    """k9n64, `blocks` residual blocks, (3x3, stride 1/2) per doubling, k9: for scales 1, 2 and 4.

    `forward`: codes / 255 (T, planes, h, w) -> picture (T, planes, scale*h, scale*w) within 0..1. Zeros pad every
    layer. In training mode the batch is normalised by its own statistics; run it in eval mode.
    """

    def __init__(self, channels: int = 64, blocks: int = 4, scale: int = 2, planes: int = 1):
        super().__init__()
        self.head = nn.Sequential(
            nn.Conv2d(planes, channels, 9, padding=4), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.body = nn.Sequential(*(NormalisedBlock(channels, nn.ReLU()) for _ in range(blocks)))
        up: list[nn.Module] = []
        for _ in range({1: 0, 2: 1, 4: 2}[scale]):
            up += [
                nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1, output_padding=1),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        self.up = nn.Sequential(*up)
        self.tail = nn.Conv2d(channels, planes, 9, padding=4)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.up(self.body(self.head(picture)))
        return (torch.tanh(self.tail(x)) + 1) / 2
