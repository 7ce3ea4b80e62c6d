"""Deblocking takes away what a quantiser left behind, as much as it says, and nothing where it says nothing."""

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from restore import deblocking
from restore.deblocking import block_edges, deblock
from restore.errors import ModelError
from restore.metrics.fidelity import psnr, psnr_b
from restore.nets.backends import BackEnds
from restore.nets.condition import Conditions
from restore.nets.files import ModelCard, load_model, save_model
from restore.nets.plain import PlainSR
from restore.planes import gaussian_blur
from restore.stages.deblock import Deblock
from restore.video import BlockGrid, Chroma, FrameBatch, QuantMap, SceneFacts
from tests.conftest import Make


def picture(height: int = 96, width: int = 128) -> Tensor:
    """Soft shapes and a hard edge, 8-bit codes."""
    generator = torch.Generator().manual_seed(2)
    big = gaussian_blur(torch.rand(1, 1, height, width, generator=generator), 6.0)
    big = (big - big.mean()) * 1200 + 120
    big[..., width // 2 :] += 30
    return big.clamp(16, 235)


def coded(codes: Tensor, step: float) -> Tensor:
    """What an 8x8 transform codec makes of it: every coefficient but the mean rounded to `step`."""
    n = torch.arange(8.0)
    dct = torch.cos(math.pi / 8 * (n + 0.5) * n[:, None]) * math.sqrt(2 / 8)
    dct[0] /= math.sqrt(2)
    blocks = codes.unfold(2, 8, 8).unfold(3, 8, 8)
    c = dct @ blocks @ dct.T
    rounded = (c / step).round() * step
    rounded[..., 0, 0] = (c[..., 0, 0] / 8).round() * 8
    back = dct.T @ rounded @ dct
    return back.permute(0, 1, 2, 4, 3, 5).reshape(codes.shape)


def steps(step: float) -> Tensor:
    return torch.full((1, 1, 1, 1), step)


@pytest.mark.parametrize("step", [6.0, 12.0, 24.0])
def test_gains_on_a_coded_picture(step: float) -> None:
    clean = picture()
    damaged = coded(clean, step)
    done = deblock(damaged, steps(step))
    assert psnr(done, clean) > psnr(damaged, clean) + 0.2
    assert psnr_b(done, clean) > psnr_b(damaged, clean) + 0.2


def test_strength_and_step_decide_how_much_changes() -> None:
    damaged = coded(picture(), 12.0)
    change = [float((deblock(damaged, steps(12.0), s) - damaged).abs().mean()) for s in (0.5, 1, 2)]
    assert change[0] < change[1] < change[2]
    change = [float((deblock(damaged, steps(q)) - damaged).abs().mean()) for q in (3.0, 12.0)]
    assert change[0] < 0.6 * change[1]


@pytest.mark.parametrize("size", [(32, 48), (17, 23), (5, 3), (1, 1)])
def test_no_step_no_change(size: tuple[int, int]) -> None:
    codes = picture(96, 128)[..., : size[0], : size[1]]
    assert torch.equal(deblock(codes, torch.zeros(1, 1, *size)), codes)
    torch.testing.assert_close(deblock(codes, steps(1e-3)), codes, atol=1e-3, rtol=0)


def test_only_where_there_is_a_step() -> None:
    damaged = coded(picture(), 12.0)
    step = torch.full_like(damaged, 12.0)
    step[..., 64:] = 0
    done = deblock(damaged, step)
    assert torch.equal(done[..., 64:], damaged[..., 64:])
    assert not torch.equal(done[..., :60], damaged[..., :60])


@pytest.mark.parametrize("size", [(32, 48), (17, 23), (1, 1)])
def test_one_number_or_a_map(size: tuple[int, int]) -> None:
    codes = coded(picture(), 12.0)[..., : size[0], : size[1]]
    mapped = deblock(codes, torch.full((1, 1, *size), 12.0))
    torch.testing.assert_close(deblock(codes, steps(12.0)), mapped, atol=1e-3, rtol=0)


def test_against_the_definition() -> None:
    """Block by block, as the module's first lines say it."""
    codes, step, strength = coded(picture(24, 32), 12.0)[..., :21, :27], 12.0, 0.7
    low = gaussian_blur(codes, deblocking.LOW_PASS)
    high = torch.nn.functional.pad(codes - low, (2, 3, 2, 3), "replicate")[0, 0]
    n = torch.arange(4.0)
    dct = torch.cos(math.pi / 4 * (n + 0.5) * n[:, None]) * math.sqrt(2 / 4)
    dct[0] /= math.sqrt(2)
    edges = max(-0.1, min(0.6, float(block_edges(codes)) / step))
    common = sum(
        x * (w[0] + w[1] * x)
        for x, w in ((math.log(step / 10), deblocking._STEP), (edges, deblocking._EDGES))
    )
    total, count = torch.zeros_like(high), torch.zeros_like(high)
    for y in range(0, high.shape[0] - 3, 2):
        for x in range(0, high.shape[1] - 3, 2):
            c = dct @ high[y : y + 4, x : x + 4] @ dct.T
            power = c.square()
            a = math.log(float(power.sum() - power[0, 0]) / 15 / step**2 + 1e-3)
            change = common + a * (deblocking._ACTIVITY[0] + deblocking._ACTIVITY[1] * a)
            limit = torch.tensor(deblocking._THRESHOLD).exp() * strength * step * math.exp(change)
            limit[0, 0] = 0
            kept = c * power / (power + limit.square()).clamp_min(1e-9)
            total[y : y + 4, x : x + 4] += dct.T @ kept @ dct
            count[y : y + 4, x : x + 4] += 1
    wanted = low[0, 0] + (total / count)[2:-3, 2:-3]
    torch.testing.assert_close(
        deblock(codes, steps(step), strength)[0, 0], wanted, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("value", [0.0, 1 / 224, -0.37])
def test_chroma_without_colour_stays(
    value: float, make_video: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, and for nothing: the transform sees the luma alone."""
    seen: list[Tensor] = []

    def watched(codes: Tensor, *rest: Any) -> Tensor:
        seen.append(codes)
        return deblock(codes, *rest)

    monkeypatch.setattr("restore.stages.deblock.deblock", watched)
    video = make_video(32, 32, Chroma.C420)
    flat = torch.full_like(video.planes[1], value)
    video = replace(
        video,
        planes=(video.planes[0], flat, flat),
        quant=(QuantMap(torch.full((2, 2), 20.0)),) * len(video),
    )
    luma, *chroma = Deblock(strength=1).process(video)
    assert not torch.equal(luma, video.planes[0])
    assert all(torch.equal(p, flat) for p in chroma)
    assert [tuple(codes.shape) for codes in seen] == [(1, 1, 32, 32)] * len(video)


@pytest.mark.parametrize("slope", [0.0, 0.5, -1.3])
def test_no_pattern_of_its_own(slope: float) -> None:
    """Constants and ramps come out as they went in: no checkerboard (SCIENCE E15)."""
    y, x = torch.arange(40.0).view(-1, 1), torch.arange(48.0)
    ramp = (100 + slope * x + 0.5 * slope * y).view(1, 1, 40, 48)
    done = deblock(ramp, steps(16.0))[..., 8:-8, 8:-8]
    high = done[..., 2:] - 2 * done[..., 1:-1] + done[..., :-2]
    assert float(high.abs().max()) < 0.02 * max(1.0, abs(slope))


def test_block_edges() -> None:
    flat = torch.full((1, 1, 64, 64), 100.0)
    tiles = torch.kron((torch.arange(8).view(8, 1) + torch.arange(8)) % 2, torch.ones(8, 8))
    # 5 at each edge; the samples beside an edge have it for their neighbour, and count -2.5 of 7 that have none.
    assert float(block_edges(flat + 5 * tiles)) == pytest.approx(5 + 2 * 2.5 / 7, abs=0.1)
    assert float(block_edges(flat)) == 0
    assert float(block_edges((flat + 5 * tiles).roll((3, 3), (2, 3)))) <= 0
    assert float(block_edges(flat[..., :15, :])) == 0


def run(video: FrameBatch, **settings: float) -> FrameBatch:
    planes = Deblock(**settings).process(video)
    return replace(video, planes=planes)


def test_without_quantiser_and_grid_nothing_happens(make_video: Make) -> None:
    video = make_video(quant=False, facts=False)
    for before, after in zip(video.planes, run(video).planes, strict=True):
        torch.testing.assert_close(after, before, atol=1e-6, rtol=0)
    video = make_video()
    assert Deblock(strength=0).process(video) is video.planes


def test_the_quantiser_comes_before_the_grid(make_video: Make) -> None:
    with_both, quant_alone = make_video(), make_video(facts=False)
    assert torch.equal(run(with_both).planes[0], run(quant_alone).planes[0])
    grid_alone = make_video(quant=False)
    assert not torch.equal(run(grid_alone).planes[0], grid_alone.planes[0])


def test_a_frame_without_quantiser_does_not_ask_its_neighbours(make_video: Make) -> None:
    video = make_video(facts=False)
    video = replace(video, quant=(*video.quant[:5], None, *video.quant[6:]))
    done = run(video).planes[0]
    torch.testing.assert_close(done[5], video.planes[0][5], atol=1e-6, rtol=0)
    assert not torch.equal(done[4], video.planes[0][4])


def test_a_visible_grid_asks_for_more(make_video: Make) -> None:
    video = make_video(quant=False)
    changes = []
    for strength in (0.1, 0.5, 1.0):
        facts = {s: SceneFacts(BlockGrid((8.0, 8.0), (0.0, 0.0), strength)) for s in range(3)}
        done = run(replace(video, facts=facts))
        changes.append(float((done.planes[0] - video.planes[0]).abs().mean()))
    assert changes[0] < changes[1] < changes[2]


def test_chroma_is_deblocked_with_the_quantiser_of_its_place(make_video: Make) -> None:
    video = make_video(64, 64, Chroma.C420)
    noise = [0.01 * torch.randn_like(p) for p in video.planes]
    soft = tuple(gaussian_blur(p, 3.0) + n for p, n in zip(video.planes, noise, strict=True))
    video = replace(video, planes=soft)
    grid = torch.tensor([[1e-3, 8.0]]).repeat_interleave(2, 1).expand(4, 4)
    done = run(replace(video, quant=tuple(QuantMap(grid.clone()) for _ in range(12))))
    for before, after in zip(video.planes, done.planes, strict=True):
        half = before.shape[-1] // 2
        change = (after - before).abs()
        assert float(change[..., : half - 4].max()) < 1e-4
        assert float(change[..., half:].mean()) > 1e-3


def network(folder: Path, **about: object) -> str:
    """A small network with a residual of some codes."""
    torch.manual_seed(0)
    net = PlainSR(8, 1, 2 if about.get("scale") == 2 else 1)
    with torch.no_grad():
        net.tail.weight.mul_(3)
    values: dict[str, object] = {
        "name": "tiny", "architecture": "plain", "channels": 8, "blocks": 1, "scale": 1, "plane": "Y",
        "parameters": 1, "sha256": "0" * 64, "data": "none", "recipe": "none", "command": "none", "iterations": 0,
        "licence": "Apache-2.0", "weak_at": "all",
    }  # fmt: skip
    save_model(net, ModelCard.model_validate(values | about), folder)
    return str(folder / "tiny.safetensors")


@pytest.mark.parametrize("strength", [0.0, 0.35])
def test_a_network_takes_the_luma_and_leaves_the_chroma(
    strength: float, tmp_path: Path, make_video: Make
) -> None:
    model = network(tmp_path)
    video = make_video()
    stage = Deblock(model=model, strength=strength)
    assert stage.output_format(video.format) == video.format
    assert [p.name for p in stage.assets()] == ["tiny.safetensors", "tiny.toml"]
    stage.load(video.format, BackEnds(torch.device("cpu"), 1))
    with torch.inference_mode():
        done = stage.process(video)
        residual = load_model(model)[0](video.planes[0])
    assert float(residual.abs().max()) > 1 / 219
    assert float((done[0] - video.planes[0] - residual).abs().max()) < 0.5 / 219
    plain = Deblock(strength=strength).process(video)
    assert all(torch.equal(a, b) for a, b in zip(done[1:], plain[1:], strict=True))


def told(folder: Path) -> str:
    """As `network`, told the quantiser."""
    torch.manual_seed(0)
    net = PlainSR(8, 1, 1, in_planes=2)
    with torch.no_grad():
        net.tail.weight.mul_(3)
    card = ModelCard.model_validate(
        tomllib.loads((Path(network(folder)).with_suffix(".toml")).read_text())
    )
    save_model(net, card.model_copy(update={"name": "told", "condition": ["quantiser"]}), folder)
    return str(folder / "told.safetensors")


@pytest.mark.parametrize(
    ("step", "share"), [(1.0, 0.53125), (4.0, 0.625), (16.0, 1.0), (60.0, 1.0)]
)
def test_a_network_told_the_quantiser_is_held_back_by_it(
    step: float, share: float, tmp_path: Path, make_video: Make
) -> None:
    model = told(tmp_path)
    video = make_video(facts=False)
    given = video.quant[0].steps
    video = replace(video, quant=tuple(QuantMap(torch.full_like(given, step)) for _ in video.quant))
    stage = Deblock(model=model)
    stage.load(video.format, BackEnds(torch.device("cpu"), 1, asked="torch-fp32"))
    with torch.inference_mode():
        done = stage.process(video)[0]
        fed = torch.cat([video.planes[0], Conditions(["quantiser"])(video)], 1)
        residual = load_model(model)[0](fed)
    assert float(residual.abs().max()) > 1 / 219
    assert float((done - video.planes[0] - share * residual).abs().max()) < 0.01 / 219


def test_frames_without_quantiser_are_left_to_the_transform(
    tmp_path: Path, make_video: Make
) -> None:
    stage = Deblock(model=told(tmp_path))
    video = make_video()
    stage.load(video.format, BackEnds(torch.device("cpu"), 1))
    gap = replace(video, quant=(*video.quant[:5], None, *video.quant[6:]))
    usual = Deblock().process(gap)[0]
    with torch.inference_mode():
        done, whole = stage.process(gap)[0], stage.process(video)[0]
        none = stage.process(make_video(quant=False))[0]
    assert torch.equal(done[5], usual[5])
    assert not torch.equal(whole[5], usual[5])
    for index in (0, 4, 6):
        torch.testing.assert_close(done[index], whole[index])
    assert torch.equal(none, Deblock().process(make_video(quant=False))[0])


def test_a_network_that_enlarges_is_refused(tmp_path: Path, make_video: Make) -> None:
    stage = Deblock(model=network(tmp_path, scale=2))
    with pytest.raises(ModelError, match=r"scale 1, got '.*tiny.*', which enlarges 2 times; that"):
        stage.output_format(make_video().format)
    with pytest.raises(ModelError, match="no such model"):
        Deblock(model="film_debloc").output_format(make_video().format)
