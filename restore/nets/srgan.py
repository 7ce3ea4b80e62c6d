"""SRResNet, which is SRGAN's generator, and SRGAN's discriminator: Ledig et al., "Photo-Realistic Single Image
Super-Resolution Using a Generative Adversarial Network", CVPR 2017 (section 2.1, figure 4).

Spectral normalisation: Miyato et al., ICLR 2018. A map of verdicts instead of one: Isola et al., CVPR 2017.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from restore.nets.blocks import STEPS, NormalisedBlock


class SRResNet(nn.Module):
    """k9n64 PReLU, `blocks` x (conv BN PReLU conv BN + skip), conv BN + long skip, (conv, shuffle, PReLU) per doubling, k9.

    `forward`: codes / 255 (T, planes, h, w) -> picture (T, planes, scale*h, scale*w). The paper's network gives
    -1..1 (3.2); the last line makes 0..1 of it. Zeros pad every layer. In training mode the batch is normalised by
    its own statistics; run it in eval mode.
    """

    def __init__(self, channels: int = 64, blocks: int = 16, scale: int = 2, planes: int = 1):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(planes, channels, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(*(NormalisedBlock(channels, nn.PReLU()) for _ in range(blocks)))
        self.join = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        )
        up: list[nn.Module] = []
        for step in STEPS[scale]:
            up += [
                nn.Conv2d(channels, step**2 * channels, 3, padding=1),
                nn.PixelShuffle(step),
                nn.PReLU(),
            ]
        self.up = nn.Sequential(*up)
        self.tail = nn.Conv2d(channels, planes, 9, padding=4)

    def forward(self, picture: Tensor) -> Tensor:
        x = self.head(picture)
        x = x + self.join(self.body(x))
        out: Tensor = (self.tail(self.up(x)) + 1) / 2
        return out


class Discriminator(nn.Module):
    """Tells real pictures from made ones: eight 3x3 layers of 64 to 512 channels, every second one of stride 2, LeakyReLU 0.2.

    `forward`: (B, planes, H, W), 0..1 -> logits, positive for real (the paper's sigmoid is left to the loss).
    `patch`: a verdict per place, (B, 1, ceil(H / 16), ceil(W / 16)), for pictures of any size; else the paper's dense
    layers, (B, 1), for pictures of `size` x `size` only (ValueError). `spectral`: every layer has spectral norm 1,
    in place of the paper's batch normalisation.
    """

    def __init__(
        self,
        planes: int = 1,
        channels: int = 64,
        *,
        patch: bool = True,
        spectral: bool = True,
        size: int = 96,
    ) -> None:
        super().__init__()
        self.size = None if patch else size

        def limited(layer: nn.Module) -> nn.Module:
            return spectral_norm(layer) if spectral else layer

        layers: list[nn.Module] = []
        before = planes
        for number in range(8):
            width = channels << (number // 2)
            conv = nn.Conv2d(before, width, 3, stride=1 + number % 2, padding=1)
            layers.append(limited(conv))
            if number > 0 and not spectral:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
            before = width
        self.features = nn.Sequential(*layers)
        if patch:
            self.verdict = nn.Sequential(limited(nn.Conv2d(before, 1, 3, padding=1)))
        else:
            side = -(-size // 16)
            self.verdict = nn.Sequential(
                nn.Flatten(),
                limited(nn.Linear(before * side**2, 16 * channels)),
                nn.LeakyReLU(0.2),
                limited(nn.Linear(16 * channels, 1)),
            )

    def forward(self, picture: Tensor) -> Tensor:
        if self.size is not None and tuple(picture.shape[-2:]) != (self.size, self.size):
            raise ValueError(
                f"discriminator: expected pictures of {self.size}x{self.size} (or patch=True), "
                f"got {picture.shape[-1]}x{picture.shape[-2]}"
            )
        out: Tensor = self.verdict(self.features(picture))
        return out
