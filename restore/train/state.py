"""All that changes while training, and the checkpoint that holds it."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restore.errors import TrainError
from restore.nets.plain import PlainSR
from restore.train.adversary import Adversary
from restore.train.files import write_whole
from restore.train.networks import build
from restore.train.optimiser import make
from restore.train.recipe import Network, Recipe
from restore.train.symmetry import TOLERANCE, Symmetry
from restore.train.validation import Scores


@dataclass(frozen=True)
class Look:
    """One validation, as the report shows it."""

    iteration: int
    seconds: float
    loss: float
    """Mean over the iterations since the look before."""
    scores: Scores


@dataclass
class State:
    """What a checkpoint holds."""

    net: nn.Module
    average: nn.Module
    """Exponential moving average of `net`: what is validated and shipped."""
    optimiser: torch.optim.Optimizer
    loss_sum: Tensor
    """Of the iterations since the last look; 0-dim float64."""
    adversary: Adversary | None = None
    symmetry: Symmetry | None = None
    """The ties of `net`'s weights; None: they are free."""
    iteration: int = 0
    seconds: float = 0.0
    """Spent in steps so far, over all runs."""
    looks: list[Look] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    """Weights of the average at the best look; {} before the first one, and where the recipe has no patience."""

    def best_look(self) -> Look:
        """The one with the highest mean gain; of equals the first."""
        return max(self.looks, key=lambda look: look.scores.mean)

    def stalled(self, patience: int) -> bool:
        """Whether the last `patience` looks brought nothing better; 0: never."""
        if not patience or not self.looks:
            return False
        return len(self.looks) - 1 - self.looks.index(self.best_look()) >= patience


def start(recipe: Recipe, device: torch.device) -> State:
    """Fresh weights (or the recipe's `init`), an EMA equal to them, and an optimiser."""
    torch.manual_seed(recipe.optim.seed)
    net = build(recipe.network).to(device)
    symmetry = _tie(net, recipe.network) if recipe.network.symmetric else None
    average = build(recipe.network, init=False).to(device)
    average.load_state_dict(net.state_dict())
    average.requires_grad_(requires_grad=False)
    optimiser = make(recipe.optim.optimiser, net, recipe.optim.rate)
    loss, adversary = recipe.loss, None
    if loss is not None and "adversarial" in loss.terms():
        adversary = Adversary(loss.discriminator_channels, loss.discriminator_rate, device)
    total = torch.zeros((), dtype=torch.float64, device=device)
    return State(net, average, optimiser, total, adversary, symmetry)


def _tie(net: nn.Module, shape: Network) -> Symmetry:
    """The ties of a fresh network, which gets them, or of one that has them. TrainError if it has others."""
    if not isinstance(net, PlainSR):
        raise TrainError(
            '[network]: symmetric: expected architecture = "plain" with branches = false'
        )
    symmetry = Symmetry(net)
    if shape.init is None:
        symmetry.impose()
    elif (loose := symmetry.loose()) > TOLERANCE:
        raise TrainError(
            f"[network]: init: {shape.init} is not symmetric (its weights are off by {loose:.1g} of their size); leave "
            "symmetric or init out"
        )
    return symmetry


def check_finite(path: Path, state: State, loss: float = 0.0) -> None:
    """TrainError where the weights, or the loss given, are not finite; `path` is the checkpoint that stays."""
    nets = [state.net] if state.adversary is None else [state.net, state.adversary.net]
    found = f"the loss became {loss}"
    if math.isfinite(loss):
        if all(bool(p.isfinite().all()) for net in nets for p in net.parameters()):
            return
        found = "weights became infinite"
    kept = "the last good checkpoint is kept" if path.exists() else "there is no checkpoint yet"
    raise TrainError(
        f"{path}: {found} before iteration {state.iteration}; {kept}: lower [optim] rate and run the same command again"
    )


def save_checkpoint(path: Path, state: State, recipe: Recipe) -> None:
    """Whole or not at all; refuses to replace a good checkpoint by weights that are not finite."""
    check_finite(path, state)
    content: dict[str, Any] = {
        "network": _shape(recipe),
        "net": state.net.state_dict(), "average": state.average.state_dict(), "optimiser": state.optimiser.state_dict(),
        "iteration": state.iteration, "seconds": state.seconds,
        "loss_sum": state.loss_sum, "looks": [asdict(look) for look in state.looks], "best": state.best,
    }  # fmt: skip
    if state.adversary is not None:
        content["adversary"] = state.adversary.state_dict()
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path, state: State, recipe: Recipe) -> None:
    """Into `state`; TrainError if it is damaged or of another network. Checkpoints from before looks, best weights and
    adversaries are read, too."""
    device = next(state.net.parameters()).device
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and runtime errors alike
        raise TrainError(
            f"{path}: damaged checkpoint ({error}); delete it to start again"
        ) from None
    if {"condition": []} | content["network"] != _shape(recipe):
        raise TrainError(
            f"{path}: expected a checkpoint of {_shape(recipe)}, got {content['network']}; "
            "choose another work folder or start without resume"
        )
    state.net.load_state_dict(content["net"])
    state.average.load_state_dict(content["average"])
    try:
        state.optimiser.load_state_dict(content["optimiser"])
    except (ValueError, KeyError):
        raise TrainError(
            f"{path}: the checkpoint is of another optimiser than {recipe.optim.optimiser!r}; go on with that one, choose "
            "another work folder or start without resume"
        ) from None
    state.iteration, state.seconds = content["iteration"], content["seconds"]
    state.loss_sum = content.get("loss_sum", state.loss_sum)
    state.looks = [
        Look(**look | {"scores": Scores(**look["scores"])}) for look in content.get("looks", [])
    ]
    state.best = content.get("best", {})
    if state.adversary is not None and "adversary" in content:
        state.adversary.load_state_dict(content["adversary"])


def _shape(recipe: Recipe) -> dict[str, Any]:
    shape = recipe.network.model_dump(
        include={"architecture", "channels", "blocks", "scale", "condition"}
    )
    if recipe.network.plane == "RGB":
        shape["plane"] = "RGB"
    for key, default in (("branches", True), ("symmetric", False)):
        if (value := getattr(recipe.network, key)) != default:
            shape[key] = value
    return shape
