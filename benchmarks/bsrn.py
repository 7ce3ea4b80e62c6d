"""BSRN: Li et al., "Blueprint Separable Residual Network for Efficient Image Super-Resolution", CVPRW 2022, as a peer.

Only for the table of peers: the product has no use for it. It loads the weights as published.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Blueprint(nn.Module):
    """1x1 without bias, then 3x3 per channel: a separable convolution the other way round (section 3.2)."""

    def __init__(self, before: int, after: int, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.pw = nn.Conv2d(before, after, 1, bias=False)
        self.dw = nn.Conv2d(after, after, 3, stride, padding, groups=after)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dw(self.pw(x))
        return out


class SpatialAttention(nn.Module):
    """ESA: a coarse map of what matters, found at a sixth of the size, as a factor per sample (figure 4)."""

    def __init__(self, channels: int, inner: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv_f = nn.Conv2d(inner, inner, 1)
        self.conv2 = Blueprint(inner, inner, stride=2, padding=0)
        self.conv_max = Blueprint(inner, inner)
        self.conv3 = Blueprint(inner, inner)
        self.conv3_ = Blueprint(inner, inner)
        self.conv4 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(x)
        coarse = F.max_pool2d(self.conv2(narrow), 7, 3)
        coarse = self.conv3_(F.gelu(self.conv3(F.gelu(self.conv_max(coarse)))))
        size = (x.shape[-2], x.shape[-1])
        coarse = F.interpolate(coarse, size, mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(coarse + self.conv_f(narrow)))


class ContrastAttention(nn.Module):
    """CCA: a factor per channel, from its mean and standard deviation over the picture (Hui et al. 2019)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1),
            nn.ReLU(),
            nn.Conv2d(channels // reduction, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        spread, mean = torch.std_mean(x, (2, 3), correction=0, keepdim=True)
        return x * self.conv_du(spread + mean)


class Distillation(nn.Module):
    """ESDB: three times a part is kept and the rest refined; the parts joined, then both attentions (figure 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for number in (1, 2, 3):
            self.add_module(f"c{number}_d", nn.Conv2d(channels, channels // 2, 1))
            self.add_module(f"c{number}_r", Blueprint(channels, channels))
        self.c4 = Blueprint(channels, channels // 2)
        self.c5 = nn.Conv2d(2 * channels, channels, 1)
        self.esa = SpatialAttention(channels)
        self.cca = ContrastAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        rest, kept = x, []
        for number in (1, 2, 3):
            kept.append(F.gelu(self.get_submodule(f"c{number}_d")(rest)))
            rest = F.gelu(self.get_submodule(f"c{number}_r")(rest) + rest)
        kept.append(F.gelu(self.c4(rest)))
        out: Tensor = self.cca(self.esa(self.c5(torch.cat(kept, 1)))) + x
        return out


class BSRN(nn.Module):
    """(T, 3, h, w) R, G, B in 0..1 -> (T, 3, 2h, 2w); h, w >= 15. 331,628 parameters with 64 channels, 8 blocks, x2."""

    def __init__(self, channels: int = 64, blocks: int = 8, scale: int = 2) -> None:
        super().__init__()
        self.blocks = blocks
        self.fea_conv = Blueprint(12, channels)
        for number in range(1, blocks + 1):
            self.add_module(f"B{number}", Distillation(channels))
        self.c1 = nn.Conv2d(blocks * channels, channels, 1)
        self.c2 = Blueprint(channels, channels)
        last = nn.Sequential(
            nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)
        )
        self.upsampler = nn.ModuleDict({"upsampleOneStep": last})

    def forward(self, rgb: Tensor) -> Tensor:
        first = self.fea_conv(torch.cat([rgb] * 4, 1))
        x, found = first, []
        for number in range(1, self.blocks + 1):
            x = self.get_submodule(f"B{number}")(x)
            found.append(x)
        x = self.c2(F.gelu(self.c1(torch.cat(found, 1)))) + first
        out: Tensor = self.upsampler["upsampleOneStep"](x)
        return out


def load_bsrn(path: Path) -> BSRN:
    """The published weights (a PyTorch file of tensors, x2). Nothing in it is run; RuntimeError names what does not fit."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    net = BSRN()
    net.load_state_dict(found.get("params_ema", found.get("params", found)))
    return net.eval().requires_grad_(requires_grad=False)
