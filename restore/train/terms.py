"""[loss]: the terms of a recipe, by name, weight and time."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from restore.options import Options
from restore.train.fields import Share


class Term(Options):
    """One loss: a number (its weight), or { weight, start, end }."""

    weight: Annotated[float, Field(ge=0)]
    start: Share = 0.0
    """Position in the schedule, 0 to 1, from which the term counts,"""
    end: Share = 1.0
    """and to which."""

    @model_validator(mode="after")
    def _some_time(self) -> Term:
        if self.start >= self.end:
            raise ValueError("start < end")
        return self

    def active(self, done: float) -> bool:
        """Whether the term counts at position `done`."""
        return self.start <= done and (done < self.end or self.end == 1)


def _term(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"weight": value} if is_number else value


Weighted = Annotated[Term | None, BeforeValidator(_term)]


class Loss(Options):
    """[loss]: what training makes small, by name and weight. Without this table: Charbonnier, then, for the last
    `mse_share` of the schedule, squared error."""

    l1: Weighted = None
    """Mean absolute error."""
    charbonnier: Weighted = None
    """sqrt(error^2 + epsilon^2): L1, rounded at 0; epsilon is [optim] charbonnier."""
    mse: Weighted = None
    """Mean squared error: what PSNR measures. Its gradient is small: weights of about 20 are to Charbonnier's 1."""
    fft: Weighted = None
    """Mean absolute difference of the patch's Fourier coefficients."""
    tv: Weighted = None
    """Total variation of the output: calms it."""
    perceptual: Weighted = None
    """Distance of SqueezeNet 1.1's features; needs `backbone`."""
    adversarial: Weighted = None
    """A patch discriminator with spectral norm learns beside the network; the output is to pass for real."""
    backbone: str | None = None
    """Path of the features' weights, a safetensors file with Caffe's layer names."""
    discriminator_channels: Annotated[int, Field(ge=4, le=256)] = 64
    discriminator_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    """Learning rate of the discriminator, constant."""

    @model_validator(mode="after")
    def _complete(self) -> Loss:
        if not any(term.weight > 0 for term in self.terms().values()):
            raise ValueError("at least one loss with a weight above 0")
        if self.perceptual is not None and self.backbone is None:
            raise ValueError("a backbone for the perceptual loss (SqueezeNet 1.1, safetensors)")
        return self

    def terms(self) -> dict[str, Term]:
        """The losses that count, by name, in a fixed order."""
        names = ("l1", "charbonnier", "mse", "fft", "tv", "perceptual", "adversarial")
        found = {name: getattr(self, name) for name in names}
        return {name: term for name, term in found.items() if term is not None and term.weight > 0}
