"""The recurrent network: what it is told, what it leaves, and that it starts as the network it grew from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restore.nets.grow import with_memory
from restore.nets.plain import PlainSR
from restore.nets.recurrent import CHANNELS, LIMIT, Memory, Passage, RecurrentSR, given, taken
from restore.warping import warp


def plain(conditions: int = 0, scale: int = 2) -> PlainSR:
    torch.manual_seed(5)
    net = PlainSR(8, 2, scale, 1 + conditions)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def noise(*shape: int, seed: int = 3) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def before(height: int = 11, width: int = 14) -> Memory:
    return Memory(
        noise(2, 1, height, width, seed=4), noise(2, CHANNELS, height, width, seed=5) - 0.5
    )


def still(trust: float, height: int = 11, width: int = 14) -> Passage:
    return Passage(torch.zeros(2, 2, height, width), torch.full((2, 1, height, width), trust))


@pytest.mark.parametrize("conditions", [0, 2])
@pytest.mark.parametrize("scale", [1, 2, 3])
@torch.no_grad()
def test_with_memory_it_computes_what_the_plain_one_does(scale: int, conditions: int) -> None:
    net, luma = plain(conditions, scale), noise(2, 1, 11, 14)
    condition = noise(2, conditions, 11, 14, seed=7) if conditions else None
    wanted = net(luma if condition is None else torch.cat([luma, condition], 1))
    told = with_memory(net)
    for past in (None, before()):
        out = told(given(luma, condition, past, still(1.0), warp, warp))
        residual, left = taken(out, luma, scale)
        torch.testing.assert_close(residual, wanted)
        assert torch.equal(left.luma, luma)
        assert left.planes.shape == (2, CHANNELS, 11, 14)
        assert left.planes.std() > 0


def test_what_it_remembers_can_be_learned() -> None:
    """Weights of zero that gradients reach: the second frame's of the first one's memory, and back through it."""
    net, luma = with_memory(plain()), noise(2, 1, 11, 14)
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        _, left = taken(net(given(luma, None, None, None, warp, warp)), luma, 2)
        second = given(luma.flip(-1), None, left, still(1.0), lambda p, _: p, lambda p, _: p)
        residual, _ = taken(net(second), luma, 2)
        residual.square().mean().backward()
        optimiser.step()
    assert net.head.weight.grad is not None and net.tail.weight.grad is not None
    assert bool((net.head.weight.grad[:, 1:].flatten(1).norm(dim=0) > 0).all())
    assert bool((net.tail.weight.grad[4:].flatten(1).norm(dim=1) > 0).all())


def test_nothing_comes_through_where_the_motion_is_not_believed() -> None:
    luma = noise(2, 1, 11, 14)
    nothing = given(luma, None, None, None, warp, warp)
    assert torch.equal(given(luma, None, before(), still(0.0), warp, warp), nothing)
    half = still(0.0)
    half.trust[..., 7:] = 1
    told = given(luma, None, before(), half, warp, warp)
    assert torch.equal(told[..., :7], nothing[..., :7])
    assert bool((told[..., 7:] != nothing[..., 7:]).flatten(2).any(-1)[:, 1:].all())


def test_the_past_is_moved_to_where_it_is_now() -> None:
    """A picture that moved by two samples to the right: no surprise, and memory moved along."""
    wide = noise(2, 1, 11, 16)
    past = Memory(wide[..., 2:], torch.cat([wide[..., 2:]] * CHANNELS, 1))
    passage = still(1.0)
    passage.flow[:, 0] = -2
    told = given(wide[..., :14], None, past, passage, warp, warp)
    inner = (..., slice(3, -1))
    torch.testing.assert_close(told[:, 1:2][inner], torch.zeros(2, 1, 11, 10), atol=1e-5, rtol=0)
    moved = told[:, 3:4][inner]
    torch.testing.assert_close(moved, wide[..., :14][inner], atol=1e-5, rtol=0)


@torch.no_grad()
def test_memory_stays_bounded_over_a_long_film() -> None:
    net = RecurrentSR(8, 1, 2)
    for parameter in net.parameters():
        parameter.mul_(5)
    luma, memory = noise(2, 1, 11, 14), None
    for _ in range(60):
        _, memory = taken(net(given(luma, None, memory, still(1.0), warp, warp)), luma, 2)
    assert memory is not None
    assert bool(torch.isfinite(memory.planes).all())
    assert float(memory.planes.abs().max()) <= LIMIT
