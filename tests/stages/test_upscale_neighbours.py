"""Enlarging with a network that looks at the frames beside: two on each side, none across a cut, whatever the batches."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restore.errors import ModelError
from restore.nets.architectures import enlarge
from restore.nets.backends import BackEnds
from restore.nets.condition import Conditions
from restore.nets.files import ModelCard, load_model, save_model
from restore.nets.plain import PlainSR
from restore.planes import resample
from restore.stage import Window
from restore.stages.deblock import Deblock
from restore.stages.upscale import Upscale
from restore.video import Chroma, FrameBatch
from restore.windowing import run_stage
from tests.conftest import Make, with_motion

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that believes what it is told, saved with its card."""
    torch.manual_seed(0)
    net = PlainSR(16, 1, 2, 10)
    with torch.no_grad():
        net.tail.weight.mul_(4)
    card = ModelCard(
        name="tiny", architecture="plain", channels=16, blocks=1, scale=2, plane="Y", parameters=1, sha256="0" * 64,
        condition=["quantiser", "neighbours"], data="", recipe="", command="", iterations=0, licence="", weak_at="",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models")
    save_model(net, card, folder)
    return folder / "tiny.safetensors"


def apply(model: Path, video: FrameBatch, size: int = 4, backend: str = "torch-fp32") -> FrameBatch:
    stage = Upscale(model=str(model))
    stage.load(video.format, BackEnds(CPU, 1, asked=backend))
    batches = (video[i : i + size] for i in range(0, len(video), size))
    return FrameBatch.cat(list(run_stage(stage, batches, stage.output_format(video.format))))


def luma(model: Path, video: FrameBatch, size: int = 4) -> Tensor:
    return apply(model, video, size).planes[0]


def test_what_it_declares(model: Path) -> None:
    assert Upscale(model=str(model)).window == Window(2, 2)
    assert Upscale(model=str(model)).run_in == 0
    assert Upscale(model=str(model)).reads_quantisers
    assert Upscale(model=str(model)).needs == {"grid"}
    assert Upscale(model="film_x2_fast").window == Window()
    assert not Upscale(model="film_x2_fast").needs


@pytest.mark.parametrize("batch", [1, 2, 5, 12])
def test_batches_do_not_matter(model: Path, batch: int, make_video: Make) -> None:
    video = make_video()
    for one, other in zip(
        apply(model, video, batch).planes, apply(model, video, 3).planes, strict=True
    ):
        assert torch.equal(one, other)


def test_two_frames_on_each_side_count_and_none_behind_a_cut(model: Path, make_video: Make) -> None:
    video = make_video()
    before = luma(model, video)
    for changed, touched in ((0, {0, 1, 2}), (4, {2, 3, 4}), (5, {5}), (8, {6, 7, 8, 9, 10})):
        planes = [p.clone() for p in video.planes]
        planes[0][changed] = planes[0][changed].flip(-1)
        after = luma(model, with_motion(replace(video, planes=tuple(planes))))
        differ = {t for t in range(12) if not torch.equal(before[t], after[t])}
        assert differ == touched


def test_a_scene_of_one_frame_is_made_alone(model: Path, make_video: Make) -> None:
    video = make_video()
    assert torch.equal(luma(model, video)[5], luma(model, replace(video, motion=None))[5])
    assert not torch.equal(luma(model, video)[2], luma(model, replace(video, motion=None))[2])


def test_without_motion_it_is_the_network_of_one_frame(model: Path, make_video: Make) -> None:
    video = replace(make_video(), motion=None)
    net, card = load_model(model)
    told = torch.cat([Conditions(["quantiser"])(video), torch.zeros(12, 8, 23, 37)], 1)
    wanted = enlarge(net, card.architecture, 2, video.planes[0], told)
    torch.testing.assert_close(luma(model, video), wanted, atol=1e-5, rtol=0)


def test_chroma_stays_with_its_frame(model: Path, make_video: Make) -> None:
    video = make_video(38, 24, Chroma.C420)
    lanczos = Upscale()
    lanczos.load(video.format, BackEnds(CPU, 1))
    wanted = FrameBatch.cat(list(run_stage(lanczos, [video], lanczos.output_format(video.format))))
    for plane, other in zip(apply(model, video).planes[1:], wanted.planes[1:], strict=True):
        assert torch.equal(plane, other)


def test_back_ends_agree(model: Path, make_video: Make) -> None:
    pytest.importorskip("openvino")
    video = make_video()
    done = apply(model, video, backend="openvino-fp32").planes[0]
    assert (done - resample(video.planes[0], (46, 74))).abs().max() > 2 / 219
    torch.testing.assert_close(done, luma(model, video), atol=0.02 / 219, rtol=0)


def test_deblock_refuses_it(model: Path, tmp_path: Path, make_video: Make) -> None:
    card = load_model(model)[1].model_copy(update={"name": "one", "channels": 8, "scale": 1})
    save_model(PlainSR(8, 1, 1, 10), card, tmp_path)
    with pytest.raises(ModelError, match="which looks at their neighbours; that is for the stage"):
        Deblock(model=str(tmp_path / "one.safetensors")).output_format(make_video().format)
