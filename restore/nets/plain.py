"""A plain 3x3 luma super-resolution network, and the form it is trained in.

The deployed network (`PlainSR`) is nothing but 3x3 convolutions, ReLU and a pixel shuffle: the fastest thing a CPU
or a GPU can run (PERFORMANCE: plain stacks reach 80 to 95 % of the machine's ceiling). It returns the residual
alone; the caller adds it, in float32, to the input resampled with `planes.resample` (lanczos3), so a bf16 or fp16
body costs no accuracy: outside float32 only the small residual is rounded.

Training uses parallel branches (3x3, 1x1->3x3, 1x1, identity: ECBSR, Zhang et al. 2021; RepVGG, Ding et al. 2021).
Nothing between them is non-linear and the 1x1 has no bias, so their sum *is* one 3x3 kernel, exactly, borders
included. `RepPlainSR` therefore composes the kernels, not the feature maps: a training step costs what the
plain network costs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = 0.45
"""Subtracted from the nominal luma, so that zero padding means mid-grey and activations start centred."""

EXPANSION = 2
"""Width of the 1x1->3x3 branch, in multiples of the layer's."""


class PlainSR(nn.Module):
    """head in_planes->C, `blocks` x (C->C), tail C->scale^2, pixel shuffle; ReLU after all but the tail.

    `forward`: nominal luma (T, 1, h, w) -> residual (T, 1, scale*h, scale*w), in the input's dtype, to be added
    to the resampled input. Any h, w >= 1. Receptive field: 2 * (blocks + 2) + 1 input pixels.
    `in_planes` over 1: luma may be followed by planes of nets.condition, (T, in_planes, h, w); without them it is as
    if they were zero. `colours` 3: R, G, B in place of luma, in and out.
    """

    def __init__(
        self,
        channels: int = 32,
        blocks: int = 8,
        scale: int = 2,
        in_planes: int = 1,
        colours: int = 1,
    ) -> None:
        super().__init__()
        self.channels, self.blocks, self.scale = channels, blocks, scale
        self.in_planes, self.colours = in_planes, colours
        self.head = nn.Conv2d(in_planes, channels, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks)
        )
        self.tail = nn.Conv2d(channels, colours * scale**2, 3, padding=1)
        icnr_(self.tail.weight, scale)
        nn.init.zeros_(_bias(self.tail))

    def forward(self, luma: Tensor) -> Tensor:
        x = torch.relu(self.head(centred(luma, self.in_planes, self.colours)))
        for conv in self.body:
            x = torch.relu(conv(x))
        return F.pixel_shuffle(self.tail(x), self.scale)

    def layers(self) -> list[nn.Conv2d]:
        """The body's convolutions, typed."""
        return [conv for conv in self.body if isinstance(conv, nn.Conv2d)]


class RepBlock(nn.Module):
    """3x3 || 1x1 -> 3x3 || 1x1 || identity, with one bias: C -> C channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.full = nn.Parameter(torch.empty(channels, channels, 3, 3))
        self.expand = nn.Parameter(torch.empty(wide, channels, 1, 1))
        self.mix = nn.Parameter(torch.empty(channels, wide, 3, 3))
        self.point = nn.Parameter(torch.empty(channels, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        # The identity carries the signal at the start; the branches begin as small corrections to it.
        for kernel, gain in (
            (self.full, 0.5),
            (self.expand, 1.0),
            (self.mix, 0.35),
            (self.point, 0.25),
        ):
            fan_in = kernel[0].numel()
            nn.init.normal_(kernel, std=gain / fan_in**0.5)

    def kernel(self) -> Tensor:
        """The one (C, C, 3, 3) kernel that equals all branches together."""
        composed = torch.einsum("omyx,mi->oiyx", self.mix, self.expand[:, :, 0, 0])
        identity = torch.eye(len(self.full), device=self.full.device, dtype=self.full.dtype)
        centre = self.point + identity[:, :, None, None]
        return self.full + composed + F.pad(centre, (1, 1, 1, 1))

    def branches(self, x: Tensor) -> Tensor:
        """The same result the slow way, branch by branch: the reference `kernel` is tested against."""
        wide = F.conv2d(F.conv2d(x, self.expand), self.mix, padding=1)
        return F.conv2d(x, self.full, self.bias, padding=1) + wide + F.conv2d(x, self.point) + x


class RepPlainSR(nn.Module):
    """The training form of `PlainSR`: same function, same `forward`, richer parameters."""

    def __init__(
        self,
        channels: int = 32,
        blocks: int = 8,
        scale: int = 2,
        in_planes: int = 1,
        colours: int = 1,
    ) -> None:
        super().__init__()
        self.channels, self.blocks, self.scale = channels, blocks, scale
        self.in_planes, self.colours = in_planes, colours
        self.head = nn.Conv2d(in_planes, channels, 3, padding=1)
        self.body = nn.ModuleList(RepBlock(channels) for _ in range(blocks))
        self.tail = nn.Conv2d(channels, colours * scale**2, 3, padding=1)
        nn.init.kaiming_normal_(self.head.weight, nonlinearity="relu")
        nn.init.zeros_(_bias(self.head))
        icnr_(self.tail.weight, scale)
        nn.init.zeros_(_bias(self.tail))

    def forward(self, luma: Tensor) -> Tensor:
        x = torch.relu(self.head(centred(luma, self.in_planes, self.colours)))
        for block in self.layers():
            x = torch.relu(F.conv2d(x, block.kernel(), block.bias, padding=1))
        return F.pixel_shuffle(self.tail(x), self.scale)

    def branches(self, luma: Tensor) -> Tensor:
        """`forward` with every branch run on the feature maps (slow; for tests)."""
        x = torch.relu(self.head(centred(luma, self.in_planes, self.colours)))
        for block in self.layers():
            x = torch.relu(block.branches(x))
        return F.pixel_shuffle(self.tail(x), self.scale)

    def layers(self) -> list[RepBlock]:
        """The body's blocks, typed."""
        return [block for block in self.body if isinstance(block, RepBlock)]

    @torch.no_grad()
    def fold(self) -> PlainSR:
        """The deployed network with the same output; shares no memory with this one."""
        plain = PlainSR(self.channels, self.blocks, self.scale, self.in_planes, self.colours)
        plain.head.load_state_dict(self.head.state_dict())
        plain.tail.load_state_dict(self.tail.state_dict())
        for conv, block in zip(plain.layers(), self.layers(), strict=True):
            conv.weight.copy_(block.kernel())
            _bias(conv).copy_(block.bias)
        return plain.to(self.head.weight.device)

    @torch.no_grad()
    def unfold(self, plain: PlainSR) -> None:
        """Starts from a deployed network: its kernels go into the 3x3 branch, less what the others already give."""
        self.head.load_state_dict(plain.head.state_dict())
        self.tail.load_state_dict(plain.tail.state_dict())
        for conv, block in zip(plain.layers(), self.layers(), strict=True):
            block.full.add_(conv.weight - block.kernel())
            block.bias.copy_(_bias(conv))


def centred(picture: Tensor, in_planes: int, colours: int = 1) -> Tensor:
    """(T, colours to in_planes, h, w) -> (T, in_planes, h, w): MEAN off luma, or R, G, B; planes that are not given are
    zero."""
    if in_planes == colours:
        return picture - MEAN
    t, given, height, width = picture.shape
    missing = picture.new_zeros(t, in_planes - given, height, width)
    return torch.cat([picture[:, :colours] - MEAN, picture[:, colours:], missing], 1)


def icnr_(weight: Tensor, scale: int, gain: float = 0.1) -> None:
    """Fills a (colours * scale^2, C, 3, 3) tail in place so that the pixel shuffle starts as nearest-neighbour: all
    scale^2 phases share one kernel, hence no checkerboard at the start (Aitken et al. 2017). `gain` keeps the
    first residuals small."""
    with torch.no_grad():
        kernel = torch.empty_like(weight[:1])
        nn.init.normal_(kernel, std=gain / kernel[0].numel() ** 0.5)
        weight.copy_(kernel.expand(len(weight), -1, -1, -1))


def _bias(conv: nn.Conv2d) -> Tensor:
    if conv.bias is None:
        raise TypeError("this network's convolutions have biases")
    return conv.bias
