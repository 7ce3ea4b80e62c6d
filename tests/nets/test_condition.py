"""What the bitstream says reaches the network, and a network that asks for it works without."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from restore.nets.condition import Conditions
from restore.nets.engine import Network, TorchEngine
from restore.nets.openvino_engine import OpenVinoEngine
from restore.nets.plain import PlainSR, RepPlainSR
from restore.video import QuantMap
from tests.conftest import Make

CPU = torch.device("cpu")


def conditioned(in_planes: int = 3) -> PlainSR:
    torch.manual_seed(3)
    net = RepPlainSR(8, 2, 2, in_planes)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return net.fold().eval()


@torch.no_grad()
def test_unknown_is_the_network_without_those_planes() -> None:
    net, x = conditioned(), torch.rand(2, 1, 9, 7)
    unconditioned = PlainSR(8, 2, 2)
    weights = net.state_dict()
    weights["head.weight"] = weights["head.weight"][:, :1]
    unconditioned.load_state_dict(weights)
    known = torch.cat([x, torch.zeros(2, 2, 9, 7)], 1)
    torch.testing.assert_close(net(x), unconditioned(x))
    torch.testing.assert_close(net(x), net(known))
    known[:, 1] = 0.5
    assert (net(known) - net(x)).abs().max() > 1e-3


@torch.no_grad()
def test_the_training_form_takes_them_too() -> None:
    torch.manual_seed(3)
    net = RepPlainSR(8, 2, 2, 3)
    for given in (1, 2, 3):
        x = torch.rand(1, given, 9, 7)
        torch.testing.assert_close(net(x), net.fold()(x), atol=1e-4, rtol=0)
        torch.testing.assert_close(net(x), net.branches(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["torch", "openvino"])
@pytest.mark.parametrize("given", [1, 3])
@torch.inference_mode()
def test_back_ends_agree(kind: str, given: int) -> None:
    net, x = conditioned(), torch.rand(2, given, 12, 10)
    wanted = net(x)
    if kind == "openvino":
        pytest.importorskip("openvino", reason="the openvino extra is not installed")
        found = OpenVinoEngine(Network(net, "tiny", "", planes=3), 1)(x)
    else:
        found = TorchEngine(Network(net, "tiny", ""), CPU, 1)(x)
    assert float((found - wanted).abs().max()) * 219 < 0.5


def test_values_of_the_planes(make_video: Make) -> None:
    video = make_video(32, 32, quant=False)[0:4]
    steps = torch.tensor([[8.0, 16.0], [32.0, 500.0]])
    types = ("I", "P", "B", "?")
    video = replace(
        video,
        frames=tuple(replace(f, picture_type=t) for f, t in zip(video.frames, types, strict=True)),
        quant=(QuantMap(steps), None, QuantMap(steps), None),
    )
    planes = Conditions(["picture_type", "quantiser"])(video)
    assert planes.shape == (4, 2, 32, 32)
    assert planes[:, 0, 5, 5].tolist() == [1.0, 0.5, -1.0, 0.0]
    cells = planes[0, 1, [0, 15, 16, 31]][:, [15, 16]]
    assert cells.tolist() == [[0.25, 0.5], [0.25, 0.5], [1.0, 2.0], [1.0, 2.0]]
    assert float(planes[[1, 3], 1].abs().max()) == 0
    assert torch.equal(planes[0, 1], planes[2, 1])


def test_a_file_that_says_nothing_is_all_zero(make_video: Make) -> None:
    planes = Conditions(["quantiser", "picture_type"])(make_video(quant=False))
    assert float(planes.abs().max()) == 0
