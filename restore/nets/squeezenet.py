"""SqueezeNet 1.1 (Iandola et al. 2016) as a measure of likeness: features of a network that learnt to name what it sees.

The weights are the user's own file: safetensors with Caffe's layer names ('fire2/squeeze1x1.weight'), as converted
from the authors' release. Distances follow LPIPS (Zhang et al. 2018, section 3) without its learned weights:
features are normalised to unit length per place, and squared differences are averaged over places and layers.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from restore.errors import ModelError

MEAN = (104.0, 117.0, 123.0)
"""Of B, G, R in 0..255: what Caffe's networks subtract."""

FIRES = (64, 128, 128, 256, 256, 384, 384, 512, 512)
"""Channels behind conv1 and behind fire2 to fire9."""

TAPS = (0, 2, 4, 6, 8)
"""Where features are compared, as indices of FIRES: conv1, fire3, fire5, fire7, fire9."""

LEAST = 32
"""Smallest side that reaches the last layer."""


class SqueezeFeatures(nn.Module):
    """`forward`: nominal luma (B, 1, H, W) -> the features at TAPS, [(B, c, h, w)], each of unit length per place.
    H, W >= LEAST. Grey goes in as equal B, G, R."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, FIRES[0], 3, stride=2)
        self.fires = nn.ModuleList(_Fire(before, after) for before, after in pairwise(FIRES))
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, luma: Tensor) -> list[Tensor]:
        x = torch.relu(self.conv1(255 * luma.expand(-1, 3, -1, -1) - self.mean))
        found = [x]
        for number, fire in enumerate(self.fires):
            if number in (0, 2, 4):  # before fire2, fire4 and fire6
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = fire(x)
            found.append(x)
        return [_unit(found[tap]) for tap in TAPS]


class _Fire(nn.Module):
    """1x1 to a quarter or an eighth, then 1x1 and 3x3 side by side."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, after // 8, 1)
        self.expand1 = nn.Conv2d(after // 8, after // 2, 1)
        self.expand3 = nn.Conv2d(after // 8, after // 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1(x), self.expand3(x)], 1))


def feature_distance(net: SqueezeFeatures, a: Tensor, b: Tensor) -> Tensor:
    """How unlike two batches of nominal luma look, (B,), 0 for equal ones; gradients pass through `a`."""
    with torch.no_grad():
        wanted = net(b)
    parts = [((x - y) ** 2).sum(1).mean((1, 2)) for x, y in zip(net(a), wanted, strict=True)]
    return torch.stack(parts).mean(0)


def load_squeezenet(path: Path | str) -> SqueezeFeatures:
    """From a safetensors file with Caffe's names; the classifier (conv10) may be there and is not read. ModelError
    names the first layer that is missing or of another shape."""
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such backbone; expected SqueezeNet 1.1 weights") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file: {error}") from None
    net = SqueezeFeatures()
    layers: dict[str, str] = {"conv1": "conv1"}
    for number in range(len(FIRES) - 1):
        for ours, caffe in (
            ("squeeze", "squeeze1x1"),
            ("expand1", "expand1x1"),
            ("expand3", "expand3x3"),
        ):
            layers[f"fires.{number}.{ours}"] = f"fire{number + 2}/{caffe}"
    state = {}
    for key, value in net.state_dict().items():
        layer, kind = key.rsplit(".", 1)
        name = f"{layers[layer]}.{kind}"
        shape = tuple(tensors[name].shape) if name in tensors else "none"
        if shape != tuple(value.shape):
            raise ModelError(
                f"{path}: {name}: expected {tuple(value.shape)}, got {shape}; SqueezeNet 1.1 with Caffe's names is meant"
            )
        state[key] = tensors[name].float()
    net.load_state_dict(state)
    return net.eval().requires_grad_(requires_grad=False)


def _unit(features: Tensor) -> Tensor:
    # The small number is inside the root: a place where all is 0 must have a gradient.
    return features / torch.sqrt((features**2).sum(1, keepdim=True) + 1e-10)
