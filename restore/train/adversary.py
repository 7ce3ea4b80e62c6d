"""The adversary of an adversarial loss: a discriminator that learns, beside the network, to tell its patches from real ones.

Hinge losses (Lim and Ye 2017; Miyato et al. 2018) over a map of verdicts; spectral normalisation keeps it from running away.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from restore.nets.srgan import Discriminator
from restore.train.processes import ALONE, Processes


class Adversary:
    """Discriminator and its optimiser; both are part of a checkpoint."""

    def __init__(self, channels: int, rate: float, device: torch.device) -> None:
        self.net = Discriminator(channels=channels).to(device)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), rate, betas=(0.9, 0.99), weight_decay=0
        )

    def fool(self, made: Tensor) -> Tensor:
        """How well `made` (B, 1, H, W) is found out: small where it passes for real. Gradients reach `made` alone."""
        self.net.requires_grad_(requires_grad=False)
        verdict: Tensor = -self.net(made).mean()
        self.net.requires_grad_(requires_grad=True)
        return verdict

    def learn(self, made: Tensor, real: Tensor, clip: float, group: Processes = ALONE) -> Tensor:
        """One update from pictures of both kinds; the loss, detached."""
        verdicts = self.net(torch.cat([made.detach(), real]))
        as_made, as_real = verdicts.chunk(2)
        loss = (torch.relu(1 + as_made).mean() + torch.relu(1 - as_real).mean()) / 2
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        group.average(self.net)
        nn.utils.clip_grad_norm_(self.net.parameters(), clip)
        self.optimiser.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
