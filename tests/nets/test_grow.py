"""A grown network computes what the one it grew from does, and can become more than that."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restore.errors import ModelError
from restore.nets.architectures import ConditionName
from restore.nets.grow import grow
from restore.nets.plain import PlainSR, RepPlainSR

CONDITION: list[ConditionName] = ["quantiser", "picture_type"]


def trained(in_planes: int = 1) -> PlainSR:
    """8 x 2 with random weights."""
    torch.manual_seed(5)
    net = RepPlainSR(8, 2, 2, in_planes)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.fold()


def planes(count: int) -> Tensor:
    return torch.rand(2, count, 17, 12, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("channels", "blocks"), [(8, 2), (16, 2), (24, 2), (13, 2), (8, 4), (8, 5), (16, 4)]
)
@torch.no_grad()
def test_wider_and_deeper_computes_the_same(channels: int, blocks: int) -> None:
    small, x = trained(), planes(1)
    big = grow(small, channels, blocks)
    assert (big.channels, big.blocks) == (channels, blocks)
    torch.testing.assert_close(big(x), small(x), atol=2e-5, rtol=0)
    # In the training form, too.
    training = RepPlainSR(channels, blocks, 2)
    training.unfold(big)
    torch.testing.assert_close(training(x), small(x), atol=5e-5, rtol=0)


@torch.no_grad()
def test_new_conditions_change_nothing_and_old_ones_keep_their_meaning() -> None:
    small, x = trained(), planes(3)
    torch.testing.assert_close(grow(small, 8, 2, [], CONDITION)(x), small(x[:, :1]))
    knows_type = trained(2)
    grown = grow(knows_type, 16, 3, ["picture_type"], CONDITION)
    torch.testing.assert_close(grown(x), knows_type(x[:, [0, 2]]), atol=2e-5, rtol=0)
    assert (grown(x) - grown(x[:, :1])).abs().max() > 1e-3


def test_copies_of_a_channel_learn_different_things() -> None:
    big = grow(trained(), 16, 2)
    big(planes(1)).square().mean().backward()
    for layer in (big.head, *big.layers()):
        gradient = layer.weight.grad
        assert gradient is not None
        one, other = gradient[:8].flatten(1), gradient[8:].flatten(1)
        likeness = torch.cosine_similarity(one, other, dim=1)
        assert likeness[one.norm(dim=1) > 0].mean() < 0.97


def test_what_would_have_to_shrink_is_named() -> None:
    with pytest.raises(ModelError) as caught:
        grow(trained(2), 4, 1, ["quantiser"], ["picture_type"])
    assert str(caught.value).splitlines() == [
        "channels: expected at most 4, got 8",
        "blocks: expected at most 1, got 2",
        "condition: expected quantiser among them, as it has",
    ]
