"""Enlarging with a recurrent network: what was before counts, but nothing from behind a cut, and no cut of the work shows."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restore.errors import ModelError
from restore.index import Index, Segment
from restore.nets.backends import BackEnds
from restore.nets.files import ModelCard, load_model, save_model
from restore.nets.grow import with_memory
from restore.nets.plain import PlainSR
from restore.nets.recurrent import RUN_IN
from restore.pipeline import PipelineSpec, read_pipeline
from restore.planes import resample
from restore.run.feed import Feed
from restore.stage import Window
from restore.stages.deblock import Deblock
from restore.stages.upscale import Upscale
from restore.video import FrameBatch, FrameInfo, VideoFormat
from restore.windowing import run_stage
from restore.worker import Worker
from tests.conftest import COLOR, Make, with_motion

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that looks at its memory, saved with its card."""
    torch.manual_seed(0)
    net = with_memory(PlainSR(16, 1, 2, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        net.head.weight[:, 4:] *= 3  # memory, which now fades by half with each frame
    card = ModelCard(
        name="tiny", architecture="recurrent", channels=16, blocks=1, scale=2, plane="Y", parameters=1, sha256="0" * 64,
        condition=["quantiser"], data="", recipe="", command="", iterations=0, licence="", weak_at="",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models")
    save_model(net, card, folder)
    return folder / "tiny.safetensors"


def apply(model: Path, video: FrameBatch, size: int = 4, backend: str = "torch-fp32") -> Tensor:
    stage = Upscale(model=str(model))
    stage.load(video.format, BackEnds(CPU, 1, asked=backend))
    batches = (video[i : i + size] for i in range(0, len(video), size))
    done = run_stage(stage, batches, stage.output_format(video.format))
    return FrameBatch.cat(list(done)).planes[0]


def test_what_it_declares(model: Path) -> None:
    assert (Upscale(model=str(model)).window, Upscale(model=str(model)).run_in) == (
        Window(1),
        RUN_IN,
    )
    assert Upscale(model=str(model)).reads_quantisers
    assert (Upscale().window, Upscale().run_in) == (Window(), 0)


@pytest.mark.parametrize("batch", [1, 2, 5, 12])
def test_batches_do_not_matter(model: Path, batch: int, make_video: Make) -> None:
    video = make_video()
    assert torch.equal(apply(model, video, batch), apply(model, video, 3))


def test_a_frame_counts_for_all_behind_it_but_not_across_a_cut(
    model: Path, make_video: Make
) -> None:
    video = make_video()
    before = apply(model, video)
    luma, *chroma = (p.clone() for p in video.planes)
    luma[1] = luma[1].flip(-1)
    changed = with_motion(replace(video, planes=(luma, *chroma)))
    same = [torch.equal(a, b) for a, b in zip(before, apply(model, changed), strict=True)]
    assert same == [True, False, False, False, False, *[True] * 7]  # the first scene has 5 frames


def test_the_first_frame_of_a_scene_is_made_as_if_it_were_alone(
    model: Path, make_video: Make
) -> None:
    video = make_video()
    done = apply(model, video)
    for first in (0, 5, 6):
        assert torch.equal(done[first], apply(model, video[first : first + 1])[0])
    assert not torch.equal(done[7], apply(model, video[7:8])[0])
    still = replace(video, motion=None)  # without motion, all of them
    assert torch.equal(apply(model, still)[7], apply(model, video[7:8])[0])


@pytest.mark.parametrize("backend", ["torch-fp32", "openvino-fp32"])
def test_back_ends_agree(model: Path, backend: str, make_video: Make) -> None:
    if backend.startswith("openvino"):
        pytest.importorskip("openvino")
    video = make_video()
    done = apply(model, video, backend=backend)
    base = resample(video.planes[0], (46, 74))
    assert (done - base).abs().max() > 2 / 219
    torch.testing.assert_close(done, apply(model, video), atol=0.02 / 219, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (9, 7), (50, 34)])
def test_any_size(model: Path, size: tuple[int, int], make_video: Make) -> None:
    done = apply(model, make_video(*size))
    assert done.shape[-2:] == (2 * size[1], 2 * size[0])
    assert bool(done.isfinite().all())


def film(count: int) -> FrameBatch:
    """One scene in 8-bit codes: a texture that drifts, with noise."""
    generator = torch.Generator().manual_seed(3)
    wide = torch.rand(1, 40, 48 + count, generator=generator) * 200 + 20
    noise = 6 * torch.randn(count, 1, 40, 48, generator=generator)
    luma = torch.stack([wide[..., t : t + 48] for t in range(count)]) + noise
    fmt = VideoFormat(48, 40, None, 8, Fraction(1, 25), COLOR)
    frames = tuple(FrameInfo(t, t, 1) for t in range(count))
    return FrameBatch((luma.round().clamp(0, 255).to(torch.uint8),), frames, fmt)


def pipeline(model: Path, folder: Path, before: str = "") -> PipelineSpec:
    path = folder / "p.toml"
    path.write_text(f'{before}\n[[stage]]\nkind = "upscale"\nmodel = "{model}"\n')
    return read_pipeline(path)


@pytest.mark.parametrize("before", ["", '[[stage]]\nkind = "align"'], ids=["alone", "behind align"])
def test_segments_that_are_made_again_are_the_same(
    model: Path, tmp_path: Path, before: str
) -> None:
    """Each segment starts from nothing, a run-in before its first frame, whoever made those before it."""
    spec, video = pipeline(model, tmp_path, before), film(40)
    past, future = spec.halo()
    assert past == RUN_IN + 1 + (2 if before else 0)
    index = Index(video.format.time_base)
    index.note(video.frames)
    index.complete = True
    index.segments = [Segment(0, 0, 15), Segment(1, 15, 30), Segment(2, 30, 40)]
    last = spec.formats(video.format)[-1]

    def made(wanted: set[int], size: int) -> dict[int, Tensor]:
        worker = Worker(spec, video.format, last, BackEnds(CPU, 1, asked="torch-fp32"))
        feed = Feed((video[i : i + size] for i in range(0, 40, size)), index, (past, future))
        found = {}
        for segment in index.segments:
            if segment.number not in wanted:
                feed.skip(segment)
                continue
            for batch in worker(feed.frames_of(segment)):
                for frame, plane in zip(batch.frames, batch.planes[0], strict=True):
                    if segment.first <= frame.index < segment.stop:
                        found[frame.index] = plane
        return found

    whole = made({0, 1, 2}, 4)
    assert sorted(whole) == list(range(40))
    for again in (made({2}, 4), made({1, 2}, 7)):
        assert all(torch.equal(plane, whole[n]) for n, plane in again.items())
        assert again


def test_the_run_in_is_long_enough_that_a_cut_segment_does_not_show(
    model: Path, tmp_path: Path
) -> None:
    """Behind the run-in, what the memory began with is gone to within rounding."""
    spec, video = pipeline(model, tmp_path), film(RUN_IN + 8)
    worker = Worker(spec, video.format, spec.formats(video.format)[-1], BackEnds(CPU, 1))
    whole = FrameBatch.cat(list(worker([video]))).planes[0].int()
    late = FrameBatch.cat(list(worker([video[4:]]))).planes[0].int()
    differ = [int((a - b).abs().max()) for a, b in zip(whole[4:], late, strict=True)]
    assert differ[0] > 2
    assert max(differ[RUN_IN:]) <= 1


def test_a_still_picture_settles(model: Path) -> None:
    """Nothing builds up: 40 frames of one picture with no noise end in one picture."""
    video = film(1)
    still = FrameBatch(
        (video.planes[0].expand(40, -1, -1, -1).contiguous(),),
        tuple(FrameInfo(t, t, 1) for t in range(40)),
        video.format,
    )
    nominal = with_motion(replace(still, planes=(still.planes[0].float() / 219,)))
    done = apply(model, nominal)
    steps = [float((b - a).abs().max()) for a, b in pairwise(done)]
    assert steps[0] > 10 * max(steps[-5:])


def test_deblock_refuses_it(model: Path, tmp_path: Path, make_video: Make) -> None:
    card = load_model(model)[1]
    with pytest.raises(ModelError, match="expected a network of scale 1"):
        Deblock(model=str(model)).output_format(make_video().format)
    torch.manual_seed(1)
    one = with_memory(PlainSR(8, 1, 1, 2))
    save_model(one, card.model_copy(update={"name": "one", "channels": 8, "scale": 1}), tmp_path)
    path = str(tmp_path / "one.safetensors")
    with pytest.raises(ModelError, match="which remembers; that is for the stage upscale"):
        Deblock(model=path).output_format(make_video().format)
    stage, video = Upscale(model=path, factor=1), make_video()
    stage.load(video.format, BackEnds(CPU, 1))
    (done, *_) = next(run_stage(stage, [video], stage.output_format(video.format))).planes
    assert done.shape == (5, 1, 23, 37)
