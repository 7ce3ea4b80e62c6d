"""Enlarging: luma is Lanczos plus the network's residual, chroma stays over its luma, nothing draws patterns."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from restore.color import Matrix, Siting
from restore.errors import ModelError
from restore.nets.architectures import ARCHITECTURES, ArchitectureName, build, enlarge
from restore.nets.backends import BackEnds
from restore.nets.files import ModelCard, load_model, model_names, save_model
from restore.nets.grow import with_memory
from restore.nets.luma import card_of
from restore.nets.plain import PlainSR
from restore.planes import resample
from restore.stages.upscale import Upscale
from restore.video import Chroma, FrameBatch, Planes
from tests.conftest import Make

CPU = torch.device("cpu")
CODE = 1 / 219
ROUNDED = 0.5
"""Largest difference from float32, in codes, of what runs a network by itself: in bf16 or whole numbers on some machines."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with a residual of some codes, saved with its card."""
    torch.manual_seed(0)
    net = PlainSR(32, 2, 2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    card = ModelCard(
        name="tiny",
        architecture="plain",
        channels=32,
        blocks=2,
        scale=2,
        plane="Y",
        parameters=1,
        sha256="0" * 64,
        data="none",
        recipe="none",
        command="none",
        iterations=0,
        licence="Apache-2.0",
        weak_at="everything",
    )
    folder = tmp_path_factory.mktemp("models")
    save_model(net, card, folder)
    return folder / "tiny.safetensors"


def run(stage: Upscale, video: FrameBatch, asked: str = "auto") -> Planes:
    stage.load(video.format, BackEnds(CPU, 1, asked=asked))
    with torch.inference_mode():
        return stage.process(video)


def agrees(stage: Upscale, video: FrameBatch, wanted: Tensor, rounded: float = ROUNDED) -> bool:
    """Within `rounded` codes by itself, and exactly where float32 is asked for."""
    found = {asked: run(stage, video, asked)[0] for asked in ("auto", "torch-fp32")}
    off = {asked: float((y - wanted).abs().max()) / CODE for asked, y in found.items()}
    return off["auto"] < rounded and off["torch-fp32"] < 0.01


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(37, 23), (9, 7), (1, 1)])
def test_lanczos(size: tuple[int, int], factor: int, make_video: Make) -> None:
    video = make_video(*size)
    stage = Upscale(factor=factor)
    done = run(stage, video)
    assert (
        video.with_planes(done, stage.output_format(video.format)).format.width == factor * size[0]
    )
    assert torch.equal(done[0], resample(video.planes[0], (factor * size[1], factor * size[0])))


@pytest.mark.parametrize("size", [(37, 23), (8, 8), (1, 1)])
def test_a_network_adds_its_residual(size: tuple[int, int], model: Path, make_video: Make) -> None:
    video = make_video(*size)
    done = run(Upscale(model=str(model)), video)
    net, _ = load_model(model)
    with torch.inference_mode():
        residual = net(video.planes[0])
    wanted = resample(video.planes[0], (2 * size[1], 2 * size[0])) + residual
    assert float(residual.abs().max()) > 2 * CODE
    assert agrees(Upscale(model=str(model)), video, wanted)
    plain = run(Upscale(), video)
    assert all(torch.equal(a, b) for a, b in zip(done[1:], plain[1:], strict=True))


def test_assets_are_what_decides_the_picture(model: Path) -> None:
    card = model.with_suffix(".toml")
    assert Upscale(model=str(model)).assets() == (model, card)
    assert Upscale().assets() == ()


def saved(net: nn.Module, folder: Path, **about: object) -> str:
    values: dict[str, object] = {
        "name": "tiny", "channels": 8, "blocks": 1, "scale": 2, "plane": "Y", "parameters": 1, "sha256": "0" * 64,
        "data": "none", "recipe": "none", "command": "none", "iterations": 0, "licence": "Apache-2.0", "weak_at": "all",
    }  # fmt: skip
    save_model(net, ModelCard.model_validate(values | about), folder)
    return str(folder / "tiny.safetensors")


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(  # those with a memory: test_upscale_recurrent.py
    "name", [name for name, kind in ARCHITECTURES.items() if not kind.recurrent]
)
def test_any_architecture(
    name: ArchitectureName, scale: int, tmp_path: Path, make_video: Make
) -> None:
    torch.manual_seed(1)
    net = build(name, 8, 1, scale).eval()
    model = saved(net, tmp_path, architecture=name, scale=scale)
    video = make_video(18, 11)
    done = run(Upscale(model=model, factor=scale), video)
    with torch.inference_mode():
        wanted = enlarge(net, name, scale, video.planes[0])
    plain = run(Upscale(factor=scale), video)
    # Untrained, 20 layers make residuals of 140 codes, of which bf16 is a hundredth off.
    largest = float((wanted - plain[0]).abs().max()) / CODE
    rounded = max(ROUNDED, 0.01 * largest) if ARCHITECTURES[name].residual else 0.01
    assert agrees(Upscale(model=model, factor=scale), video, wanted, rounded)
    assert all(torch.equal(a, b) for a, b in zip(done[1:], plain[1:], strict=True))


class Brighter(nn.Module):
    """Stands for an R, G, B network: more red, green and blue, by different amounts."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tensor([0.1, 0.2, 0.4]).view(1, 3, 1, 1)


@pytest.mark.parametrize("chroma", [None, Chroma.C420, Chroma.C444])
def test_a_network_for_colours_gives_its_luma(
    chroma: Chroma | None, tmp_path: Path, make_video: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = build("edsr", 8, 1, 1, "RGB")
    model = saved(net, tmp_path, architecture="edsr", scale=1, plane="RGB")
    monkeypatch.setattr(BackEnds, "engine", lambda *_: Brighter())
    video = make_video(18, 11, chroma)
    done = run(Upscale(model=model, factor=1), video)
    # BT.601: whatever the picture's colours are, its luma rises by the weighted sum.
    rise = 0.299 * 0.1 + 0.587 * 0.2 + 0.114 * 0.4
    torch.testing.assert_close(done[0], video.planes[0] + rise, atol=1e-5, rtol=0)
    assert [p.shape for p in done] == [p.shape for p in video.planes]


def test_a_network_for_colours_needs_a_matrix(tmp_path: Path, make_video: Make) -> None:
    model = saved(build("edsr", 8, 1, 2, "RGB"), tmp_path, architecture="edsr", plane="RGB")
    fmt = make_video().format
    Upscale(model=model).output_format(fmt)
    odd = replace(fmt, color=replace(fmt.color, matrix=Matrix.YCGCO))
    with pytest.raises(ModelError, match=r"works on R, G, B, and YCGCO has none; take a model for"):
        Upscale(model=model).output_format(odd)


def test_a_conditioned_network_sees_the_quantiser(tmp_path: Path, make_video: Make) -> None:
    torch.manual_seed(1)
    net = build("plain", 8, 1, 2, condition=["quantiser"])
    model = saved(net, tmp_path, architecture="plain", condition=["quantiser"])
    stage = Upscale(model=model)
    assert stage.reads_quantisers
    assert not Upscale().reads_quantisers
    with_map, without = make_video(32, 32), make_video(32, 32, quant=False)
    seen, unseen = run(stage, with_map)[0], run(stage, without)[0]
    assert float((seen - unseen).abs().max()) > CODE / 10
    with torch.inference_mode():
        neutral = enlarge(net, "plain", 2, without.planes[0])
    assert agrees(stage, without, neutral)
    assert float((unseen - neutral).abs().max()) < ROUNDED * CODE


def test_a_factor_the_network_has_not(model: Path, make_video: Make) -> None:
    with pytest.raises(ModelError, match=r"factor: expected 2, the scale of '.*tiny.*', got 3"):
        Upscale(model=str(model), factor=3).output_format(make_video().format)


def test_a_model_that_is_not_there(make_video: Make) -> None:
    with pytest.raises(ModelError, match="no such model"):
        Upscale(model="film_x3_fastt").output_format(make_video().format)


@pytest.mark.parametrize("chroma", [Chroma.C420, Chroma.C422, Chroma.C444, Chroma.C411])
@pytest.mark.parametrize("siting", [Siting.LEFT, Siting.CENTER])
@pytest.mark.parametrize("size", [(64, 48), (63, 47)])
def test_chroma_stays_over_its_luma(
    size: tuple[int, int], siting: Siting, chroma: Chroma, make_video: Make
) -> None:
    """One ramp of the scene, seen by luma and chroma where each lies: still one ramp when enlarged."""
    video = make_video(*size, chroma)
    fmt = replace(video.format, color=replace(video.format.color, siting=siting))
    step = 1 << chroma.value[1]
    place = siting.value[1] * (step - 1)
    shapes = fmt.plane_shapes()
    luma = torch.arange(float(shapes[0][1])) / 100
    blue = (torch.arange(float(shapes[1][1])) * step + place) / 100
    planes = tuple(
        ramp.expand(12, 1, *shape) for ramp, shape in zip((luma, blue, -blue), shapes, strict=True)
    )
    done = run(Upscale(), replace(video, planes=planes, format=fmt))
    across = done[0][0, 0, 0]
    at = torch.arange(done[1].shape[-1]) * step + place
    inside = (at > 24) & (at < len(across) - 25)
    low, high = across[at.floor().long()[inside]], across[at.ceil().long()[inside]]
    assert int(inside.sum()) > 8
    for plane, sign in zip(done[1:], (1, -1), strict=True):
        found = sign * plane[0, 0, 0][inside]
        torch.testing.assert_close(found, (low + high) / 2, atol=1e-3, rtol=0)


def pattern(plane: Tensor) -> float:
    """Strongest alternation from sample to sample, in codes: rows, columns and checkerboard (SCIENCE E15)."""
    inner = plane[..., 8:-8, 8:-8].double() / CODE
    signs = 1 - 2.0 * (torch.arange(inner.shape[-1]) % 2)
    down = 1 - 2.0 * (torch.arange(inner.shape[-2]) % 2)
    smooth = inner - torch.nn.functional.avg_pool2d(inner, 3, 1, 1, count_include_pad=False)
    smooth = smooth[..., 1:-1, 1:-1]
    signs, down = signs[1:-1], down[1:-1].view(-1, 1)
    return max(float((smooth * s).mean().abs()) for s in (signs, down, signs * down))


@pytest.mark.parametrize("slope", [0.0, 0.01])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["lanczos", *model_names()])
def test_no_checkerboard(name: str, level: float, slope: float, make_video: Make) -> None:
    """Shipped networks too: a twentieth of a code on constants, a tenth on ramps (Lanczos has 0.06)."""
    video = make_video(64, 64, None)
    y, x = torch.arange(64.0).view(-1, 1) - 32, torch.arange(64.0) - 32
    ramp = (level + slope * (x + 0.5 * y)).expand(12, 1, 64, 64)
    factor = 2 if name == "lanczos" else card_of(name).scale
    done = run(Upscale(model=name, factor=factor), replace(video, planes=(ramp,))[:5])
    assert pattern(done[0]) < (0.1 if slope else 0.05)


def test_the_measure_of_patterns_sees_one() -> None:
    y, x = torch.arange(64).view(-1, 1), torch.arange(64)
    board = ((x + y) % 2).float().mul(0.4 * CODE).view(1, 1, 64, 64)
    assert pattern(board) > 0.15
    assert pattern(torch.full((1, 1, 64, 64), 0.3)) < 1e-6


@pytest.mark.parametrize("views", [2, 4, 8])
def test_views_are_averaged(model: Path, views: int, make_video: Make) -> None:
    """With all symmetries of the square a turned picture gives the turned result; with some of them, those."""
    video = make_video(24, 24, None)
    one = run(Upscale(model=str(model)), video)[0]
    done = run(Upscale(model=str(model), views=views), video)[0]
    assert CODE / 4 < float((done - one).abs().max()) < 20 * CODE

    def turned(sides: list[int], across: bool) -> Tensor:
        luma = video.planes[0].flip(sides)
        luma = luma.mT.contiguous() if across else luma
        found = run(Upscale(model=str(model), views=views), replace(video, planes=(luma,)))[0]
        return (found.mT if across else found).flip(sides)

    symmetric = {(-1, -2): 2, (-1,): 4, (-2,): 4}
    for sides, least in symmetric.items():
        same = float((turned(list(sides), False) - done).abs().max()) < 0.05 * CODE
        assert same == (views >= least)
    assert (float((turned([-1], True) - done).abs().max()) < 0.05 * CODE) == (views == 8)


def test_views_see_the_conditions_turned_with_them(tmp_path: Path, make_video: Make) -> None:
    torch.manual_seed(3)
    card = ModelCard(
        name="told", architecture="plain", channels=8, blocks=1, scale=2, plane="Y", parameters=1, sha256="0" * 64,
        condition=["quantiser"], data="", recipe="", command="", iterations=0, licence="", weak_at="",
    )  # fmt: skip
    net = PlainSR(8, 1, 2, 2)
    with torch.no_grad():
        net.head.weight[:, 1] *= 5
        net.tail.weight.mul_(10)
    save_model(net, card, tmp_path)
    path = str(tmp_path / "told.safetensors")
    video = make_video(48, 32, None)
    done = run(Upscale(model=path, views=8), video)[0]
    quant = tuple(None if q is None else replace(q, steps=q.steps.flip(-1)) for q in video.quant)
    mirrored = replace(video, planes=(video.planes[0].flip(-1),), quant=quant)
    torch.testing.assert_close(
        run(Upscale(model=path, views=8), mirrored)[0].flip(-1), done, atol=0.05 * CODE, rtol=0
    )


def test_views_are_not_for_networks_that_remember(tmp_path: Path, make_video: Make) -> None:
    torch.manual_seed(3)
    card = ModelCard(
        name="r", architecture="recurrent", channels=8, blocks=1, scale=2, plane="Y", parameters=1, sha256="0" * 64,
        data="", recipe="", command="", iterations=0, licence="", weak_at="",
    )  # fmt: skip
    save_model(with_memory(PlainSR(8, 1, 2)), card, tmp_path)
    stage = Upscale(model=str(tmp_path / "r.safetensors"), views=2)
    with pytest.raises(ModelError, match=r"views: expected 1 with .* which remembers, got 2"):
        stage.output_format(make_video().format)
