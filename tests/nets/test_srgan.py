"""SRGAN's discriminator: the paper's, and the patch form with spectral norm that training uses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restore.nets.srgan import Discriminator


def test_parameters_of_the_paper_s_own() -> None:
    net = Discriminator(3, patch=False, spectral=False, size=96)
    # Figure 4: eight layers with BN from the second on, 512 * 6 * 6 -> 1024 -> 1.
    assert sum(p.numel() for p in net.parameters()) == 4_689_088 + 18_875_392 + 1_025
    with torch.no_grad():
        assert net.eval()(torch.rand(1, 3, 96, 96)).shape == (1, 1)


def test_another_size_is_refused_with_a_way_out() -> None:
    net = Discriminator(1, 4, patch=False, size=32)
    with pytest.raises(
        ValueError, match=r"expected pictures of 32x32 \(or patch=True\), got 40x32"
    ):
        net(torch.rand(1, 1, 32, 40))


@pytest.mark.parametrize(
    ("size", "places"), [((96, 96), (6, 6)), ((33, 16), (3, 1)), ((1, 1), (1, 1))]
)
@pytest.mark.parametrize("spectral", [True, False])
def test_a_verdict_per_place(
    size: tuple[int, int], places: tuple[int, int], spectral: bool
) -> None:
    net = Discriminator(1, 4, spectral=spectral).eval()
    with torch.no_grad():
        assert net(torch.rand(2, 1, *size)).shape == (2, 1, *places)


def test_spectral_norm_holds_in_every_layer() -> None:
    torch.manual_seed(0)
    net = Discriminator(1, 4)
    for _ in range(60):  # one power iteration each
        net(torch.rand(1, 1, 16, 16))
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) == 9
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert abs(float(norm) - 1) < 0.02
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())


@pytest.mark.parametrize("patch", [True, False])
@pytest.mark.parametrize("spectral", [True, False])
def test_gradients_reach_the_picture_and_every_layer(patch: bool, spectral: bool) -> None:
    torch.manual_seed(0)
    net = Discriminator(1, 4, patch=patch, spectral=spectral, size=32)
    picture = torch.rand(2, 1, 32, 32, requires_grad=True)
    nn.functional.softplus(-net(picture)).mean().backward()
    grads = [picture.grad, *(p.grad for p in net.parameters())]
    assert all(g is not None and float(g.abs().sum()) > 0 for g in grads)
