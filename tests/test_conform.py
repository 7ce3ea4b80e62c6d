from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from restore.color import Siting
from restore.conform import conform
from restore.video import Chroma, Planes, VideoFormat


def ramp(fmt: VideoFormat) -> Planes:
    """Chroma codes that grow by one a luma sample to the right, two downwards, where each sample lies."""
    assert fmt.chroma is not None
    assert fmt.color.siting is not None
    height, width = fmt.plane_shapes()[1]
    down, across = (1 << shift for shift in fmt.chroma.value)
    y = torch.arange(height) * down + fmt.color.siting.value[0] * (down - 1)
    x = torch.arange(width) * across + fmt.color.siting.value[1] * (across - 1)
    codes = (8 * (2 * y[:, None] + x[None, :])).float()[None, None]
    return torch.zeros(1, 1, fmt.height, fmt.width), codes, codes


@pytest.mark.parametrize("siting", [Siting.LEFT, Siting.CENTER, Siting.TOP_LEFT])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Chroma.C420, Chroma.C444),
        (Chroma.C411, Chroma.C422),
        (Chroma.C410, Chroma.C420),
        (Chroma.C440, Chroma.C444),
        (Chroma.C444, Chroma.C420),
    ],
)
def test_every_sample_stays_where_it_lies(before: Chroma, after: Chroma, siting: Siting) -> None:
    base = VideoFormat(64, 48, before, 12, time_base=1)  # type: ignore[arg-type]
    source = replace(base, color=replace(base.color, siting=siting))
    target = replace(source, chroma=after)
    converted, expected = conform(ramp(source), source, target)[1], ramp(target)[1]
    inside = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    error = (converted[inside] - expected[inside]).abs().max()
    # A wrong siting moves it by half a luma sample, 4 codes and more; Lanczos ripples by less.
    assert float(error) <= 2


@pytest.mark.parametrize("siting", [Siting.LEFT, Siting.CENTER, Siting.TOP_LEFT])
def test_square_samples_lie_where_they_are_shown(siting: Siting) -> None:
    """The ramp of the source, looked at from the places of the wider picture's samples."""
    base = VideoFormat(64, 48, Chroma.C420, 12, time_base=1, sample_aspect=Fraction(3, 2))  # type: ignore[arg-type]
    source = replace(base, color=replace(base.color, siting=siting))
    target = source.squared()
    assert (target.width, target.height, target.sample_aspect) == (96, 48, 1)
    converted = conform(ramp(source), source, target)[1]
    places = torch.arange(48) * 2 + siting.value[1]  # luma samples of the target
    shown = (places + 0.5) * 64 / 96 - 0.5
    rows = torch.arange(24) * 2 + siting.value[0]
    expected = 8 * (2 * rows[:, None] + shown[None, :])
    error = (converted[0, 0] - expected)[6:-6, 6:-6].abs().max()
    # Lanczos ripples by half a code; a chroma plane with aligned edges would be off by 1.3.
    assert float(error) < 0.9
