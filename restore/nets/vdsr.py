"""VDSR: Kim, Lee, Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016.

Twenty 3x3 layers on the picture enlarged by bicubic, which learn what it lacks (section 3.1). One set of weights
serves every scale (4.3). Published with 665 K parameters: 664,704, without biases.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from restore.errors import ModelError


class VDSR(nn.Module):
    """1 -> channels, `blocks` x (channels -> channels), channels -> 1; ReLU after all but the last; He's weights (5.2).

    `forward`: enlarged luma codes / 255 (T, 1, H, W) -> residual of the same shape, to be added to its input.
    Zeros pad every layer (3.1). Receptive field: 41 x 41 with 18 blocks.
    """

    def __init__(self, channels: int = 64, blocks: int = 18) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.body = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(blocks)
        )
        self.tail = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, picture: Tensor) -> Tensor:
        x = torch.relu(self.head(picture))
        for conv in self.body:
            x = torch.relu(conv(x))
        out: Tensor = self.tail(x)
        return out


def load_vdsr(path: str | Path) -> VDSR:
    """The network with the weights of a NumPy archive as published PyTorch ports name them (`input`,
    `residual_layer.N.conv`, `output`, each `.weight`), in eval mode on the CPU. Nothing in the file is run.

    ModelError if it cannot be read or holds anything else. `files.save_model` makes a model of this program of it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            found = {name: torch.from_numpy(archive[name].astype(np.float32)) for name in archive}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (BadZipFile, ValueError, AttributeError, EOFError) as error:
        raise ModelError(f"{path}: not a NumPy archive (.npz) of numbers: {error}") from None
    blocks = sum(name.startswith("residual_layer.") for name in found)
    channels = len(found["input.weight"]) if "input.weight" in found else 64
    net = VDSR(channels, blocks)
    names = {"input.weight": "head.weight", "output.weight": "tail.weight"} | {
        f"residual_layer.{i}.conv.weight": f"body.{i}.weight" for i in range(blocks)
    }
    own = net.state_dict()
    wrong = [
        f"{path}: {name}: expected {tuple(own[names[name]].shape) if name in names else 'no such array'}, "
        f"got {tuple(found[name].shape) if name in found else 'none'}"
        for name in sorted(names.keys() | found.keys())
        if name not in names or name not in found or found[name].shape != own[names[name]].shape
    ]
    if wrong:
        raise ModelError("\n".join([*wrong[:4], "expected the weights of VDSR"]))
    net.load_state_dict({names[name]: tensor for name, tensor in found.items()})
    return net.eval().requires_grad_(requires_grad=False)
