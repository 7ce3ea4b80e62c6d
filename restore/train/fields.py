"""Kinds of numbers that recipes are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


def ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("low <= high in [low, high]")
    return pair


def positive(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] <= 0:
        raise ValueError("[low, high] above 0")
    return pair


def quality(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < 1 or pair[1] > 100:
        raise ValueError("both within 1 to 100 in [low, high]")
    return pair


Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], Field(strict=False), AfterValidator(ordered)]
"""[low, high], both ends possible."""


def at_most_half(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < -0.5 or pair[1] > 0.5:
        raise ValueError("[low, high] within -0.5 to 0.5")
    return pair
