"""What training makes small: the weighted sum of the terms a recipe names in [loss].

Every term is a mean over the batch's inner pixels, nominal luma. `error` is prediction - target, (B, 1, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restore.errors import ModelError, TrainError
from restore.nets.squeezenet import LEAST, SqueezeFeatures, feature_distance, load_squeezenet
from restore.train.adversary import Adversary
from restore.train.recipe import Optim, Recipe
from restore.train.terms import Loss, Term


@dataclass(frozen=True)
class Objective:
    """The terms of a run, with what they need."""

    terms: dict[str, Term]
    epsilon: float
    """Of the Charbonnier term."""
    backbone: SqueezeFeatures | None

    def __call__(
        self, error: Tensor, target: Tensor, done: float, adversary: Adversary | None
    ) -> Tensor:
        """The loss at schedule position `done` (0..1); a 0-dim tensor that gradients start from."""
        total = error.new_zeros(())
        for name, term in self.terms.items():
            if term.active(done):
                total = total + term.weight * self._value(name, error, target, adversary)
        return total

    def adversarial(self, done: float) -> bool:
        """Whether the adversary plays at this position."""
        return "adversarial" in self.terms and self.terms["adversarial"].active(done)

    def _value(
        self, name: str, error: Tensor, target: Tensor, adversary: Adversary | None
    ) -> Tensor:
        match name:
            case "l1":
                return error.abs().mean()
            case "charbonnier":
                return torch.sqrt(error**2 + self.epsilon**2).mean()
            case "mse":
                return (error**2).mean()
            case "fft":
                spectrum: Tensor = torch.fft.rfft2(error, norm="ortho")
                return spectrum.abs().mean()
            case "tv":
                return total_variation(target + error)
            case "perceptual" if self.backbone is not None:
                return feature_distance(self.backbone, target + error, target).mean()
            case "adversarial" if adversary is not None:
                return adversary.fool(target + error)
        raise ValueError(f"{name}: no such loss")


def objective(recipe: Recipe, device: torch.device) -> Objective:
    """The recipe's terms; without a [loss] table Charbonnier, then squared error. TrainError if the backbone is
    missing or no such file, or if patches are too small for it."""
    optim = recipe.optim
    terms = (recipe.loss or default_loss(optim)).terms()
    backbone = None
    if recipe.loss is not None and "perceptual" in terms and recipe.loss.backbone is not None:
        side = recipe.network.scale * (optim.crop - 2 * optim.margin)
        if side < LEAST:
            raise TrainError(
                f"[loss]: perceptual: expected patches of at least {LEAST} pixels inside the margin, got {side}; raise "
                "[optim] crop"
            )
        try:
            backbone = load_squeezenet(recipe.loss.backbone).to(device)
        except ModelError as error:
            raise TrainError(f"[loss]: backbone: {error}") from None
    return Objective(terms, optim.charbonnier, backbone)


def default_loss(optim: Optim) -> Loss:
    """Charbonnier, then squared error, which is what PSNR measures; 20 makes its gradient about as large as the
    Charbonnier loss's at the end of its part."""
    change = 1 - optim.mse_share
    return Loss(
        charbonnier=Term(weight=1.0, end=change) if change > 0 else None,
        mse=Term(weight=20.0, start=change) if change < 1 else None,
    )


def total_variation(picture: Tensor) -> Tensor:
    """Mean absolute step between neighbours, across and down (Rudin et al. 1992, anisotropic)."""
    across = (picture[..., :, 1:] - picture[..., :, :-1]).abs().mean()
    return across + (picture[..., 1:, :] - picture[..., :-1, :]).abs().mean()
