"""Convolutions by Winograd in whole numbers: each kind of layer against sums that are exact, networks against the reference."""

from __future__ import annotations

import ctypes
import importlib.util
import math
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restore.nets import winograd
from restore.nets.calibration import drawn_pictures
from restore.nets.candidates import candidates
from restore.nets.edsr import EDSR
from restore.nets.engine import Network
from restore.nets.files import as_network, load_model
from restore.nets.int8 import MOST_ACTIVATION, WORST_LOSS, loss, measured_ranges
from restore.nets.plain import MEAN, PlainSR
from restore.nets.winograd_engine import WinogradEngine

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(bool(winograd.why_not()), reason=winograd.why_not())

# One sample; less than a tile; whole tiles; a row of tiles longer than what is worked on together.
SIZES = [(1, 1), (3, 6), (8, 12), (5, 97), (13, 130)]


def at(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)  # holds on to the array


def convolution(inputs: int, outputs: int, spread: float = 0.1) -> nn.Conv2d:
    torch.manual_seed(inputs + outputs)
    conv = nn.Conv2d(inputs, outputs, 3, padding=1).requires_grad_(False)
    nn.init.normal_(conv.weight, std=spread)
    # Outputs of very different sizes, one without weights.
    conv.weight *= torch.logspace(-2, 1, outputs).view(-1, 1, 1, 1)
    conv.weight[0] = 0
    return conv


def activations(height: int, width: int, channels: int, high: int = 256) -> Tensor:
    """(height, width, channels) bytes."""
    generator = torch.Generator().manual_seed(height * width)
    return torch.randint(0, high, (height, width, channels), generator=generator).to(torch.uint8)


def in_a_border(inside: Tensor) -> np.ndarray:
    height, width, channels = inside.shape
    whole = np.zeros(winograd.padded_shape(height, width, channels), np.uint8)
    whole[1 : height + 1, 1 : width + 1] = inside.numpy()
    return whole


def exactly(conv: nn.Conv2d, given: Tensor, step_in: float, step_out: float) -> Tensor:
    """(outputs, h, w) float64, in steps of the output."""
    x = given.permute(2, 0, 1)[None].double() * step_in
    assert conv.bias is not None
    return F.conv2d(x, conv.weight.double(), conv.bias.double(), padding=1)[0] / step_out


def scratch(channels: int) -> np.ndarray:
    return np.empty(winograd.library().winograd_scratch(channels), np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (32, 32), (48, 16), (64, 64)])
def test_a_layer_of_the_body(size: tuple[int, int], inputs: int, outputs: int) -> None:
    conv, given = convolution(inputs, outputs), activations(*size, inputs)
    step_in = 0.01
    wanted = exactly(conv, given, step_in, 1.0)
    step_out = float(wanted.abs().max()) / 400  # some are cut off, above and below
    layer = winograd.layer(conv, step_in, step_out)
    out = in_a_border(torch.zeros(*size, outputs, dtype=torch.uint8))
    winograd.library().winograd_body(
        *(at(in_a_border(given)), at(out), *size, inputs, outputs),
        *(at(layer.weights), at(layer.steps), at(layer.bias), at(scratch(inputs))),
    )
    height, width = size
    found = torch.from_numpy(out[1 : height + 1, 1 : width + 1]).permute(2, 0, 1).double()
    off = (found - (wanted / step_out).clamp(0, 255)).abs()
    # Rounding alone has a root mean square of 0.29 and at most 0.5; weights of 13 bits add little to it.
    assert float(off.max()) < 1
    assert float(off.square().mean().sqrt()) < 0.3
    outside = out.copy()
    outside[1 : height + 1, 1 : width + 1] = 0
    assert not outside.any()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scale", "colours"), [(1, 1), (2, 1), (3, 1), (4, 1), (2, 3), (1, 3)])
def test_the_last_layer(size: tuple[int, int], scale: int, colours: int) -> None:
    conv, given = convolution(32, colours * scale**2), activations(*size, 32)
    layer = winograd.layer(conv, 0.01, 1.0)
    height, width = size
    out = np.full((colours, height * scale, width * scale), np.nan, np.float32)
    winograd.library().winograd_tail(
        *(at(in_a_border(given)), at(out), *size, 32, layer.outputs, scale),
        *(at(layer.weights), at(layer.steps), at(layer.bias), at(scratch(32))),
    )
    wanted = F.pixel_shuffle(exactly(conv, given, 0.01, 1.0), scale)
    off = (torch.from_numpy(out) - wanted).abs()
    assert float(off.max()) < 1e-3 * float(wanted.abs().max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("planes", [1, 2, 5])
def test_the_first_layer(size: tuple[int, int], planes: int) -> None:
    conv = convolution(planes, 32)
    given = torch.rand(planes, *size, generator=torch.Generator().manual_seed(1))
    mean = np.linspace(0.45, 0, planes, dtype=np.float32)
    centred = given.double() - torch.from_numpy(mean).view(-1, 1, 1)
    assert conv.bias is not None
    wanted = F.conv2d(centred[None], conv.weight.double(), conv.bias.double(), padding=1)[0]
    step = float(wanted.max()) / 200
    weights, bias = winograd.head(conv, step)
    height, width = size
    out = in_a_border(torch.zeros(*size, 32, dtype=torch.uint8))
    padded = np.full((planes, height + 2, width + 2), np.nan, np.float32)
    winograd.library().winograd_head(
        *(at(given.numpy()), at(mean), planes, *size, 32),
        *(at(weights), at(bias), at(padded), at(out)),
    )
    found = torch.from_numpy(out[1 : height + 1, 1 : width + 1]).permute(2, 0, 1)
    assert float((found - (wanted / step).clamp(0, 255)).abs().max()) < 0.51
    assert int(out.astype(int).sum()) == int(found.long().sum())  # nothing beside the picture


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_stay_inside_32_bits(sign: int) -> None:
    """The worst that a layer can be given: at each point of the transform, the inputs that make its sum largest."""
    channels = 64
    conv = convolution(channels, 16)
    conv.weight[:] = sign * conv.weight.abs() + 0.05 * sign
    layer = winograd.layer(conv, 1.0, 1.0)
    turned = np.einsum("ia,jb->ijab", winograd._B, winograd._B).reshape(36, 36)
    for point in range(36):
        # Positive weights times the largest positive transform.
        inside = torch.from_numpy(255 * (turned[point] > 0)).view(6, 6, 1).to(torch.uint8)
        given = inside.expand(6, 6, channels).contiguous()
        out = np.empty((16, 6, 6), np.float32)
        winograd.library().winograd_tail(
            *(at(in_a_border(given)), at(out), 6, 6, channels, 16, 1),
            *(at(layer.weights), at(layer.steps), at(layer.bias), at(scratch(channels))),
        )
        wanted = exactly(conv, given, 1.0, 1.0)
        assert float((torch.from_numpy(out) - wanted).abs().max()) < 1e-3 * wanted.abs().max()
    most = 255 * turned.clip(min=0).sum(1)
    sums = np.abs(layer.weights.astype(np.int64)).sum((2, 4))[0] * most[:, None]
    assert sums.max() < 2**31
    assert sums[:, 1:].max() > 2**30  # and none of the bits is wasted


def in_whole_numbers(net: PlainSR, given: Tensor) -> Tensor:
    """The reference: activations counted, the rest in float64."""
    mean = torch.tensor([MEAN] * net.colours + [0.0] * (net.in_planes - net.colours))
    x = torch.relu(net.head(given - mean.view(1, -1, 1, 1))).double()
    tops = measured_ranges(net)

    def counted(values: Tensor, top: float) -> Tensor:
        return (values * (MOST_ACTIVATION / top)).round().clamp(0, MOST_ACTIVATION) * (
            top / MOST_ACTIVATION
        )

    for conv, top in zip(net.layers(), tops, strict=False):
        assert conv.bias is not None
        sums = F.conv2d(counted(x, top), conv.weight.double(), conv.bias.double(), padding=1)
        x = torch.relu(sums)
    assert net.tail.bias is not None
    last = counted(x, tops[-1])
    out = F.conv2d(last, net.tail.weight.double(), net.tail.bias.double(), padding=1)
    return F.pixel_shuffle(out, net.scale)


def random_network(colours: int = 1, planes: int = 2) -> Network:
    torch.manual_seed(0)
    net = PlainSR(32, 3, 2, in_planes=planes, colours=colours)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return Network(net.eval().requires_grad_(False), "tiny", "0" * 64, planes=planes)


@torch.inference_mode()
@pytest.mark.parametrize(("colours", "planes"), [(1, 2), (3, 3), (3, 4)])
def test_a_network_counts_as_the_reference_does(colours: int, planes: int) -> None:
    network = random_network(colours, planes)
    net = network.net
    assert isinstance(net, PlainSR)
    given = drawn_pictures(planes, colours, seed=3)[:3, :, :33, :47]
    found, exact = WinogradEngine(network, 2)(given), net(given)
    wanted = in_whole_numbers(net, given)
    rounding = float((wanted - exact).square().mean().sqrt())
    assert rounding > 0
    # Weights of 13 bits, after a transform that makes errors larger, add half of what counting costs.
    assert float((found - wanted).square().mean().sqrt()) < 0.6 * rounding
    assert float((found - exact).square().mean().sqrt()) < 1.2 * rounding


def test_the_result_depends_on_nothing_else() -> None:
    """Threads, the other frames of a batch, what was run before, sizes in turn, planes that are not given."""
    network = random_network()
    given = drawn_pictures(2, 1, seed=3)[:, :, :30, :45]
    engine = WinogradEngine(network, 3)
    wanted = engine(given)
    assert torch.equal(engine(given[2:3]), wanted[2:3])
    small = engine(given[:, :, :17, :18])
    assert torch.equal(engine(given), wanted)
    assert torch.equal(WinogradEngine(network, 1)(given), wanted)
    assert torch.equal(WinogradEngine(network, 1)(given[:, :, :17, :18].contiguous()), small)
    silent = given * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert torch.equal(engine(given[:, :1]), engine(silent))


@pytest.mark.parametrize("name", ["film_x2_fast", "film_x2", "film_x2_multi", "clean_x2"])
def test_shipped_networks_lose_little(name: str) -> None:
    network = as_network(*load_model(name))
    assert 0.0001 < loss(network, WinogradEngine(network, 2)) < WORST_LOSS / 3


def test_what_it_cannot_run() -> None:
    with pytest.raises(TypeError, match="expected a plain network, got EDSR"):
        WinogradEngine(Network(EDSR(4, 1, 1), "edsr", ""), 1)
    narrow = Network(PlainSR(24, 1, 2).eval(), "narrow", "")
    with pytest.raises(RuntimeError, match="expected channels in multiples of 16, got 24"):
        WinogradEngine(narrow, 1)
    assert "winograd-int16" in names(random_network())
    assert "winograd-int16" not in names(narrow)
    whole = Network(random_network().net, "", "", residual=False, planes=2)
    assert "winograd-int16" not in names(whole)


def names(network: Network) -> list[str]:
    return [b.name for b in candidates(network, CPU)]


@pytest.mark.parametrize("trouble", ["missing", "damaged", "other source", "old CPU"])
def test_without_a_library_that_fits_there_is_no_such_back_end(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "lib.so"
    words = {
        "missing": "not built; install restore where there is a C compiler",
        "damaged": "does not load",
        "other source": "another source",
        "old CPU": "no AVX2",
    }[trouble]
    if trouble == "damaged":
        library.write_bytes(b"not a library")
    elif trouble != "missing":
        library = winograd.LIBRARY
    if trouble == "other source":
        monkeypatch.setattr(winograd, "source_hash", lambda: "0" * 16)
    if trouble == "old CPU":
        said = SimpleNamespace(restype=None)
        mark = winograd.source_hash().encode()

        class Source:
            restype = None

            def __call__(self) -> bytes:
                return mark

        old = SimpleNamespace(
            winograd_source=Source(), winograd_scratch=said, winograd_runs_here=lambda: 0
        )
        monkeypatch.setattr(winograd.ctypes, "CDLL", lambda _: old)
    monkeypatch.setattr(winograd, "LIBRARY", library)
    winograd._library.cache_clear()
    try:
        assert words in winograd.why_not()
        with pytest.raises(RuntimeError, match=words):
            WinogradEngine(random_network(), 1)
        assert "winograd-int16" not in names(random_network())
    finally:
        winograd._library.cache_clear()


@pytest.fixture
def build() -> ModuleType:
    pytest.importorskip("hatchling", reason="the build back end is not installed")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_build_marks_the_library_with_its_source(build: ModuleType, tmp_path: Path) -> None:
    source, library = tmp_path / "winograd.c", tmp_path / "lib.so"
    source.write_bytes(winograd.SOURCE.read_bytes() + b"\n/* changed */\n")
    assert build.compiled(source, library) == ""
    found = ctypes.CDLL(str(library))
    found.winograd_source.restype = ctypes.c_char_p
    assert len(found.winograd_source()) == 16
    assert found.winograd_source().decode() != winograd.source_hash()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lib.so", "winograd.c"]


def test_a_build_that_fails_says_why_and_leaves_nothing(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, library = tmp_path / "winograd.c", tmp_path / "lib.so"
    source.write_text("this is not C\n")
    assert "error" in build.compiled(source, library) or "winograd.c" in build.compiled(
        source, library
    )
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    assert build.compiled(source, library) == "no C compiler; install gcc or clang, or set CC"
    monkeypatch.setattr(build.platform, "machine", lambda: "aarch64")
    assert "not for aarch64" in build.compiled(source, library)
    assert [p.name for p in tmp_path.iterdir()] == ["winograd.c"]


def test_the_transform_is_exact_in_16_bits() -> None:
    turned = np.einsum("ia,jb->ijab", winograd._B, winograd._B).reshape(36, 36)
    most = 255 * max(turned.clip(min=0).sum(1).max(), -turned.clip(max=0).sum(1).min())
    assert math.ceil(most) < 2**15
