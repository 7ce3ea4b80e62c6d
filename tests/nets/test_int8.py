"""Networks in whole numbers: weights, ranges, and what they cost."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.nets import int8
from restore.nets.calibration import drawn_pictures
from restore.nets.edsr import EDSR
from restore.nets.engine import Network
from restore.nets.files import as_network, load_model
from restore.nets.int8 import (
    MOST_ACTIVATION,
    MOST_WEIGHT,
    WORST_LOSS,
    loss,
    measured_ranges,
    whole_weights,
)
from restore.nets.openvino_engine import OpenVinoEngine
from restore.nets.plain import MEAN, PlainSR
from restore.nets.trial import LIMIT_CODES


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    net = PlainSR(16, 2, 2, in_planes=2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return Network(net.eval().requires_grad_(False), "tiny", "0" * 64, planes=2)


def test_weights_are_within_half_a_step_per_channel() -> None:
    weight = torch.randn(5, 3, 3, 3) * torch.tensor([1e-3, 0.1, 1, 50, 0]).view(-1, 1, 1, 1)
    whole, steps = whole_weights(weight)
    assert whole.dtype == torch.int8
    assert whole.abs().amax((1, 2, 3)).tolist() == [MOST_WEIGHT] * 4 + [0]
    assert bool(((whole * steps - weight).abs() <= steps / 2 + 1e-6 * weight.abs()).all())


def in_whole_numbers(net: PlainSR, given: Tensor) -> Tensor:
    """The reference: each step spelt out, sums exact."""
    mean = torch.tensor([MEAN] + [0.0] * (net.in_planes - 1)).view(1, -1, 1, 1)
    x = torch.relu(net.head(given - mean)).double()
    for conv, top in zip(net.layers(), measured_ranges(net), strict=False):
        whole, steps = whole_weights(conv.weight)
        counted = (x * (MOST_ACTIVATION / top)).round().clamp(0, MOST_ACTIVATION)
        sums = F.conv2d(counted, whole.double(), padding=1)
        assert conv.bias is not None
        scaled = sums * steps.double().view(1, -1, 1, 1) * top / MOST_ACTIVATION
        x = torch.relu(scaled + conv.bias.double().view(1, -1, 1, 1))
    return F.pixel_shuffle(net.tail(x.float()), net.scale)


@torch.inference_mode()
def test_openvino_counts_as_the_reference_does(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    net = int8.plain(network)
    given = drawn_pictures(2, 1, seed=3)[:3, :, :33, :47]
    wanted, exact = in_whole_numbers(net, given), net(given)
    # Head and tail are in bf16 where the CPU has it, and what that adds is what bf16 may.
    usual = OpenVinoEngine(network, 2, "int8")(given)
    assert float((usual - wanted).square().mean().sqrt()) * 255 < LIMIT_CODES["bf16"] / 4
    monkeypatch.setenv("RESTORE_CPU", "vnni")
    found = OpenVinoEngine(network, 2, "int8")(given)
    rounding = float((wanted - exact).square().mean().sqrt())
    assert rounding > 0
    # Where a value lies between two codes the last bit decides; that is rare.
    assert float((found - wanted).square().mean().sqrt()) < 0.1 * rounding


def test_ranges_depend_on_nothing_but_the_network(network: Network) -> None:
    """They are kept nowhere, so nobody can exchange them; whatever the threads of the process, they are the same."""
    net, before = int8.plain(network), torch.get_num_threads()
    wanted = measured_ranges(net)
    assert len(wanted) == 3
    try:
        for threads in (2, 4):
            torch.set_num_threads(threads)
            assert measured_ranges(net) == wanted
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_layer_that_nothing_reaches() -> None:
    net = PlainSR(4, 2, 2).requires_grad_(False)
    assert net.head.bias is not None
    net.head.weight.zero_()
    net.head.bias.fill_(-1)
    assert measured_ranges(net)[0] == 1.0


def test_only_plain_networks() -> None:
    with pytest.raises(TypeError, match="expected a plain network, got EDSR"):
        int8.plain(Network(EDSR(4, 1, 1), "edsr", ""))


def test_the_loss_is_that_of_noise_on_the_error_that_remains(network: Network) -> None:
    net = network.net

    def noisy(given: Tensor) -> Tensor:
        out: Tensor = net(given)
        noise = torch.randn(out.shape, generator=torch.Generator().manual_seed(0))
        return out + 0.1 * out.square().mean().sqrt() * noise

    for gain in (1.0, 4.0):
        strong = Network(net, "", "", planes=2, gain=gain)
        # 1 % of the residual's energy, which is (10^(gain/10) - 1) times that of the error.
        wanted = 10 * math.log10(1 + 0.01 * (10 ** (gain / 10) - 1))
        assert loss(strong, noisy) == pytest.approx(wanted, rel=0.05)
    assert loss(network, net) == 0


@pytest.mark.parametrize("name", ["film_x2_fast", "film_x2", "film_x2_multi"])
def test_shipped_networks_lose_little(name: str) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    network = as_network(*load_model(name))
    assert 0.0001 < loss(network, OpenVinoEngine(network, 2, "int8")) < WORST_LOSS


def test_the_gain_is_the_best_there_is_and_no_psnr() -> None:
    net, card = load_model("film_deblock")
    scores = {"held-out mpeg1": 0.7, "held-out rv20": 1.5, "undamaged input, PSNR left": 59.3}
    assert as_network(net, card.model_copy(update={"scores": scores})).gain == 1.5
    del scores["held-out mpeg1"], scores["held-out rv20"]
    for unknown in (scores, {}):
        assert as_network(net, card.model_copy(update={"scores": unknown})).gain == 2.0
    assert as_network(net, card).gain < 3


def test_drawn_pictures_span_what_film_holds() -> None:
    pictures = drawn_pictures(5, 3)
    assert torch.equal(pictures, drawn_pictures(5, 3))
    assert not torch.equal(pictures, drawn_pictures(5, 3, seed=1))
    luma = pictures[:, 0]
    assert luma.isfinite().all()
    assert float(luma.min()) < 0
    assert float(luma.max()) > 1
    # Both directions have edges of nearly full contrast, and all tones are there.
    for axis in (1, 2):
        assert float(luma.diff(dim=axis).abs().max()) > 0.8
    assert bool((torch.histc(luma, 10, 0, 1) > luma.numel() / 200).all())
    assert pictures[:, 3].amax((1, 2)).tolist() == pytest.approx([0, 0, 0.125, 0.375, 0.75, 1.5])
    assert set(pictures[:, 4].unique().tolist()) >= {-1.0, 0.0, 0.5, 1.0}
