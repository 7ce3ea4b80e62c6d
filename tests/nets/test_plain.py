"""The deployed network and its training form are one function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restore import planes
from restore.nets.plain import PlainSR, RepPlainSR


def trained(channels: int = 8, blocks: int = 3, scale: int = 2) -> RepPlainSR:
    """Random weights with nothing left at its neutral start (biases and phases differ)."""
    torch.manual_seed(5)
    net = RepPlainSR(channels, blocks, scale)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def luma(height: int = 17, width: int = 23, frames: int = 2) -> Tensor:
    return torch.rand(frames, 1, height, width, generator=torch.Generator().manual_seed(3))


def test_branches_kernels_and_folded_form_agree() -> None:
    net, x = trained(), luma()
    with torch.no_grad():
        reference = net.branches(x)
        assert (net(x) - reference).abs().max() < 1e-4
        assert (net.fold()(x) - reference).abs().max() < 1e-4
        # Borders included: the branches pad differently on the way, not in the result.
        assert (net.fold()(x) - reference)[..., :2, :].abs().max() < 1e-4


def test_every_branch_counts() -> None:
    net, x = trained(), luma()
    with torch.no_grad():
        before = net.fold()(x)
        for name in ("full", "expand", "mix", "point", "bias"):
            parameter = getattr(net.layers()[0], name)
            kept = parameter.clone()
            parameter.mul_(1.5)
            assert (net.fold()(x) - before).abs().max() > 1e-4, name
            parameter.copy_(kept)


def test_gradients_are_those_of_the_branches() -> None:
    net, x = trained(), luma()
    net(x).square().mean().backward()
    composed = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    net.zero_grad()
    net.branches(x).square().mean().backward()
    slow = [p.grad for p in net.parameters() if p.grad is not None]
    assert len(composed) == len(list(net.parameters()))
    for a, b in zip(composed, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_unfold_starts_training_at_deployed_weights() -> None:
    plain = trained().fold()
    net = RepPlainSR(8, 3, 2)
    net.unfold(plain)
    with torch.no_grad():
        assert (net(luma()) - plain(luma())).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (5, 4), (16, 31)])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_any_size_goes_in_and_scale_times_comes_out(size: tuple[int, int], scale: int) -> None:
    with torch.no_grad():
        out = PlainSR(4, 1, scale)(luma(*size))
    assert out.shape == (2, 1, scale * size[0], scale * size[1])


def test_parameters_of_the_fast_network() -> None:
    assert sum(p.numel() for p in PlainSR().parameters()) == 75_460


def test_icnr_starts_without_a_checkerboard() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        out = PlainSR()(luma())
    # Nearest-neighbour: the four pixels of every 2x2 cell are equal, though the picture is not flat.
    assert out.std() > 1e-4
    assert torch.equal(out[..., 0::2, 0::2], out[..., 1::2, 1::2])
    assert torch.equal(out[..., 0::2, 0::2], out[..., 0::2, 1::2])


def test_a_half_precision_body_costs_little_when_the_skip_is_float32() -> None:
    """PERFORMANCE: the residual in bf16 and the skip in float32, not everything in bf16."""
    net, x = trained().fold(), luma(24, 24)
    with torch.no_grad():
        net.tail.weight.mul_(0.05 / net(x).std())  # residuals are a few percent of the range
        base = planes.resample(x, (48, 48))
        exact = base + net(x)
        outside = base + net.bfloat16()(x.bfloat16()).float()
        inside = (base.bfloat16() + net(x.bfloat16())).float()
    # 0.5 codes of 219: rounding may flip a code, no more.
    assert (outside - exact).abs().mean() < 0.25 / 219
    assert (outside - exact).abs().mean() < 0.5 * (inside - exact).abs().mean()
