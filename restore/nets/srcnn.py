"""SRCNN: Dong, Loy, He, Tang, "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 2016.

Three layers on the picture enlarged by bicubic: patch extraction, non-linear mapping, reconstruction (section 3.1).
Weights start as the paper's do: Gaussian, standard deviation 0.001, biases zero (3.3). The authors trained without
padding and ran with repeated borders; here borders repeat always, so that the size stays.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SRCNN(nn.Module):
    """9 - `middle` - 5: 1 or 3 -> channels -> channels / 2 -> 1 or 3, ReLU after the first two.

    `forward`: enlarged codes / 255 (T, planes, H, W) -> picture of the same shape. 9-1-5 is section 3's (8,032 weights
    without biases), 9-5-5 the best of section 4.3.2 (57,184). RGB: section 4.5.
    """

    def __init__(self, middle: int, channels: int = 64, planes: int = 1) -> None:
        super().__init__()
        self.extract = nn.Conv2d(planes, channels, 9, padding=4, padding_mode="replicate")
        self.map = nn.Conv2d(
            channels, channels // 2, middle, padding=middle // 2, padding_mode="replicate"
        )
        self.rebuild = nn.Conv2d(channels // 2, planes, 5, padding=2, padding_mode="replicate")
        for conv in (self.extract, self.map, self.rebuild):
            nn.init.normal_(conv.weight, std=0.001)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, picture: Tensor) -> Tensor:
        x = torch.relu(self.extract(picture))
        out: Tensor = self.rebuild(torch.relu(self.map(x)))
        return out
