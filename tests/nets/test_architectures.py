"""Every architecture: as large as published, any size in, the right size out, one way to run them all."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from restore.errors import ModelError
from restore.nets.architectures import (
    ARCHITECTURES,
    ArchitectureName,
    PlaneName,
    build,
    deployed,
    enlarge,
)
from restore.nets.backends import BackEnds
from restore.nets.engine import Network, native_bf16
from restore.nets.files import ModelCard, load_model, save_model
from restore.nets.srcnn import SRCNN
from restore.nets.transform import TransformNet
from restore.planes import resample

NAMES = [name for name, kind in ARCHITECTURES.items() if not kind.recurrent]
"""Of networks that make a picture of a picture; tests/nets/test_recurrent.py is for the others."""
CASES = [
    (name, plane, scale)
    for name in NAMES
    for plane in ARCHITECTURES[name].colours
    for scale in ARCHITECTURES[name].scales
]


def small(name: ArchitectureName, scale: int = 2, plane: PlaneName = "Y") -> nn.Module:
    """A narrow one with nothing left at its neutral start, statistics included."""
    torch.manual_seed(4)
    kind = ARCHITECTURES[name]
    net = build(name, 8, 2 if kind.any_blocks else kind.blocks, scale, plane)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * (torch.rand_like(tensor) - 0.5))
    return net.eval()


def size_of(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_every_name_is_known_to_cards() -> None:
    assert set(get_args(ArchitectureName)) == set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("name", "plane", "scale", "parameters"),
    [
        ("plain", "Y", 2, 75_460),
        # Published without biases, of which there are 64 + 32 + 1 (SRCNN, table 1 and section 4.3.2).
        ("srcnn_915", "Y", 2, 8_032 + 97),
        ("srcnn_955", "Y", 2, 57_184 + 97),
        # 665 K; 64 * 9 + 18 * 64 * 64 * 9 + 64 * 9.
        ("vdsr", "Y", 2, 664_704),
        # 1370 K, 1555 K and 1518 K; the authors' code has these.
        ("edsr", "RGB", 2, 1_369_859),
        ("edsr", "RGB", 3, 1_554_499),
        ("edsr", "RGB", 4, 1_517_571),
        # Added up from figure 4, a PReLU having one number: 15617 + 16 * 74113 + 37056 + 2 * 147713 + 15555.
        ("srresnet", "RGB", 4, 1_549_462),
        # From table 1: 1792 + 10 * 2 * 36928 + 3 * 36928 + 1731.
        ("enhancenet", "RGB", 4, 852_867),
        # From the supplement's table 2: 15744 + 4 * 2 * 37056 + 2 * 37056 + 15555.
        ("transform", "RGB", 4, 401_859),
    ],
)
def test_parameters_as_published(
    name: ArchitectureName, plane: PlaneName, scale: int, parameters: int
) -> None:
    kind = ARCHITECTURES[name]
    assert size_of(build(name, kind.channels, kind.blocks, scale, plane)) == parameters


@pytest.mark.parametrize(("name", "plane", "scale"), CASES)
@pytest.mark.parametrize("size", [(1, 1), (7, 10)])
@torch.inference_mode()
def test_any_size_goes_in_and_scale_times_comes_out(
    name: ArchitectureName, plane: PlaneName, scale: int, size: tuple[int, int]
) -> None:
    picture = torch.rand(2, 3 if plane == "RGB" else 1, *size)
    done = enlarge(small(name, scale, plane), name, scale, picture)
    assert done.shape == (*picture.shape[:2], scale * size[0], scale * size[1])
    assert bool(done.isfinite().all())
    again = enlarge(small(name, scale, plane), name, scale, picture[1:])
    torch.testing.assert_close(done[1:], again, atol=1e-5, rtol=0)  # frames do not mix


@pytest.mark.parametrize("name", NAMES)
def test_units_and_bases(name: ArchitectureName) -> None:
    """What goes in and what becomes of what comes out, by a run that is known."""
    kind = ARCHITECTURES[name]
    black, white = (0.0, 1.0) if kind.units == "nominal" else (16 / 255, 235 / 255)
    picture = torch.zeros(1, 1, 4, 5)
    picture[..., 2, 3] = 1
    base = resample(picture, (8, 10), kernel="lanczos3" if name == "plain" else "bicubic")
    fed: list[Tensor] = []

    def run(x: Tensor) -> Tensor:
        fed.append(x)
        return torch.full((1, 1, 8, 10), white - black if kind.residual else white)

    done = enlarge(run, name, 2, picture)
    torch.testing.assert_close(done, base + 1 if kind.residual else torch.ones_like(base))
    seen = base if kind.feed == "enlarged" else picture
    torch.testing.assert_close(fed[0], black + seen * (white - black))


@pytest.mark.parametrize("name", [n for n in NAMES if "RGB" in ARCHITECTURES[n].colours])
def test_colours_are_not_rescaled(name: ArchitectureName) -> None:
    picture = torch.rand(1, 3, 4, 5)
    fed: list[Tensor] = []

    def run(x: Tensor) -> Tensor:
        fed.append(x)
        return torch.zeros_like(x)

    done = enlarge(run, name, 1, picture)
    assert torch.equal(fed[0], picture)
    assert torch.equal(done, picture if ARCHITECTURES[name].residual else torch.zeros_like(picture))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name: ArchitectureName) -> None:
    torch.manual_seed(2)
    kind = ARCHITECTURES[name]
    net = build(name, 8, 2 if kind.any_blocks else kind.blocks, 2, training=True)
    enlarge(net, name, 2, torch.rand(2, 1, 9, 9)).square().mean().backward()
    grads = [p.grad for p in net.parameters()]
    assert all(g is not None and bool(g.isfinite().all()) for g in grads)
    plain = deployed(net).eval()
    x = torch.rand(1, 1, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(
            enlarge(plain, name, 2, x), enlarge(net.eval(), name, 2, x), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vdsr", 8, 2, 2, "RGB"), "architecture vdsr: plane: expected Y, got RGB"),
        (("transform", 8, 2, 3), "architecture transform: scale: expected one of 1, 2, 4, got 3"),
        (("srcnn_915", 8, 2, 2), "architecture srcnn_915: blocks: expected 1, got 2"),
        (
            ("recurrent", 8, 2, 2, "Y", ["neighbours"]),
            "architecture recurrent: condition: expected no neighbours, as it has a memory, got neighbours",
        ),
        (
            ("edsr", 8, 2, 2, "Y", ["quantiser"]),
            "architecture edsr: condition: expected none, got quantiser",
        ),
    ],
)
def test_what_an_architecture_cannot_be(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(*arguments)  # type: ignore[arg-type]
    assert str(caught.value) == message


def card(name: ArchitectureName, **changes: object) -> ModelCard:
    kind = ARCHITECTURES[name]
    values: dict[str, object] = {
        "name": "tiny", "architecture": name, "channels": 8, "blocks": 2 if kind.any_blocks else kind.blocks,
        "scale": 2, "plane": "Y", "parameters": 1, "sha256": "0" * 64, "data": "none", "recipe": "none",
        "command": "none", "iterations": 0, "licence": "Apache-2.0", "weak_at": "everything",
    }  # fmt: skip
    return ModelCard.model_validate(values | changes)


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_weights_come_back(name: ArchitectureName, tmp_path: Path) -> None:
    net = small(name)
    written = save_model(net, card(name), tmp_path)
    assert written.parameters == size_of(net)
    loaded, read = load_model(tmp_path / "tiny.safetensors")
    assert read == written
    x = torch.rand(1, 1, 9, 12)
    assert torch.equal(enlarge(loaded, name, 2, x), enlarge(net, name, 2, x))


def test_a_card_that_no_network_fits(tmp_path: Path) -> None:
    save_model(small("edsr"), card("edsr", condition=["quantiser"]), tmp_path)
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path / "tiny.safetensors")
    assert str(caught.value) == (
        f"{tmp_path / 'tiny.toml'}: architecture edsr: condition: expected none, got quantiser"
    )


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_the_engine_runs_it(name: ArchitectureName) -> None:
    residual = ARCHITECTURES[name].residual
    device = torch.device("cpu")
    picture = torch.rand(3, 1, 9, 12)
    network = Network(small(name), name, "", residual)
    chosen = BackEnds(device, 1)
    engine = chosen.engine(network, 9, 12)
    found = enlarge(engine, name, 2, picture)
    wanted = enlarge(small(name), name, 2, picture)
    # A picture is made in float32 everywhere; a residual, here of up to 540 codes, as fast as it goes within the trial's limit.
    (choice,) = chosen.choices.values()
    exact = choice.name.endswith("fp32")
    assert exact or residual
    assert float((found - wanted).abs().max()) * 219 < (0.01 if exact else 1.0)
    asked = BackEnds(device, 1, asked="torch-fp32").engine(network, 9, 12)
    assert float((enlarge(asked, name, 2, picture) - wanted).abs().max()) * 219 < 0.01


@torch.inference_mode()
@pytest.mark.skipif(not native_bf16(), reason="the CPU has no bf16")
def test_what_bf16_spoils_is_not_run_in_it() -> None:
    """20 layers with a residual of 540 codes: bf16 is 6 off, and by the same picture on every machine that has it."""
    network = Network(small("vdsr"), "vdsr", "")
    chosen = BackEnds(torch.device("cpu"), 1)
    chosen.engine(network, 9, 12)
    (choice,) = chosen.choices.values()
    assert choice.name == "torch-fp32"
    assert "torch-bf16 is 1.5 codes off" in choice.why


def test_the_document_lists_them_all() -> None:
    text = (Path(__file__).parents[2] / "docs" / "networks.md").read_text("utf-8")
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]
    shown = {row[0].strip("`"): row[2:] for row in rows if len(row) == 8 and row[0][:1] == "`"}
    assert list(shown) == list(ARCHITECTURES)
    for name, (size, feed, out, colours, scales, parameters) in shown.items():
        kind = ARCHITECTURES[name]  # type: ignore[index]
        net = build(name, kind.channels, kind.blocks, 2)  # type: ignore[arg-type]
        assert size == f"{kind.channels} x {kind.blocks}"
        assert (feed == "enlarged") == (kind.feed == "enlarged")
        assert out.startswith("residual") == kind.residual
        assert ("Lanczos" in out) == (kind.kernel == "lanczos3")
        assert tuple(colours.split(", ")) == kind.colours
        assert scales == ("1 to 4" if kind.scales == (1, 2, 3, 4) else "1, 2, 4")
        assert parameters == f"{size_of(net):,}"


def test_srcnn_repeats_the_border() -> None:
    torch.manual_seed(1)
    net = SRCNN(1, 8)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.2)
        flat = net(torch.full((1, 1, 9, 9), 0.6))
    torch.testing.assert_close(flat, flat[..., 4:5, 4:5].expand_as(flat))


def test_enhancenet_starts_without_a_checkerboard() -> None:
    """A flat picture stays flat away from the border, whatever the weights: no phase of the enlarging is special."""
    with torch.no_grad():
        out = small("enhancenet", 4)(torch.full((1, 1, 24, 24), 0.5))[..., 44:52, 44:52]
    assert float(out.max() - out.min()) < 1e-5


def test_the_transform_network_stays_within_the_codes() -> None:
    net = TransformNet(8, 1, 2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(20)
        out = net(torch.rand(1, 1, 16, 16))
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert float(out.max() - out.min()) > 0.9


def test_edsr_subtracts_the_mean_and_gives_it_back() -> None:
    """With all weights zero what remains is the mean: of luma, that of the R, G, B mean's code."""
    for planes, mean in ((1, [0.4379]), (3, [0.4488, 0.4371, 0.4040])):
        net = build("edsr", 4, 1, 2, "RGB" if planes == 3 else "Y")
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.zero_()
            out = net(torch.rand(1, planes, 3, 3))
        torch.testing.assert_close(out[0, :, 0, 0], torch.tensor(mean))
    r, g, b = (255 * v for v in (0.4488, 0.4371, 0.4040))
    luma = 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255
    assert abs(luma / 255 - 0.4379) < 5e-5
