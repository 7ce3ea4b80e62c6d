"""Every stage in restore/stages must pass these; a new file is picked up by its name."""

import inspect
from dataclasses import replace

import pytest
import torch

from restore.nets.backends import BackEnds
from restore.options import meaning
from restore.stage import find_stage, stage_names
from restore.video import Chroma, FrameBatch
from restore.windowing import run_stage
from tests.conftest import Make, with_motion

KINDS = stage_names()
SIZES = [(37, 23), (16, 16), (9, 7), (1, 1), (50, 34)]
CHROMA = [None, *Chroma]
CPU = torch.device("cpu")


def apply(kind: str, video: FrameBatch, size: int = 4) -> FrameBatch:
    stage = find_stage(kind)()
    stage.load(video.format, BackEnds(CPU, 1))
    batches = (video[i : i + size] for i in range(0, len(video), size))
    return FrameBatch.cat(list(run_stage(stage, batches, stage.output_format(video.format), kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_and_every_field_documented(kind: str) -> None:
    cls = find_stage(kind)
    cls()
    assert cls.__module__ == f"restore.stages.{kind}"
    assert inspect.getmodule(cls).__doc__
    assert not cls.model_fields.keys() - meaning(cls).keys()


@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_does_something(kind: str, make_video: Make) -> None:
    video = make_video()
    # What `preserve_color` corrects is a drift from the source; give every stage one.
    source = tuple(p.clone() for p in video.planes)
    drifted = tuple(p + 0.1 for p in video.planes)
    video = replace(video, planes=drifted, source=source, source_format=video.format)
    done = apply(kind, with_motion(video))
    same = [
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(done.planes, drifted, strict=True)
    ]
    assert not all(same)


@pytest.mark.parametrize("chroma", CHROMA, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_any_size_and_chroma(
    kind: str, size: tuple[int, int], chroma: Chroma | None, make_video: Make
) -> None:
    video = make_video(*size, chroma)
    done = apply(kind, video)
    assert done.frames == video.frames
    assert len(done.planes) == len(video.planes)
    for plane in done.planes:
        assert plane.dtype == torch.float32
        assert bool(torch.isfinite(plane).all())


@pytest.mark.parametrize("batch", [1, 2, 3, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_do_not_matter(kind: str, batch: int, make_video: Make) -> None:
    video = make_video()
    for a, b in zip(apply(kind, video, 5).planes, apply(kind, video, batch).planes, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=0)


@pytest.mark.parametrize("missing", ["quant", "facts", "motion"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_batch_may_lack(kind: str, missing: str, make_video: Make) -> None:
    done = apply(kind, make_video(**{missing: False}))
    assert len(done) == 12


@pytest.mark.parametrize("scene", [slice(0, 5), slice(5, 6), slice(6, 12)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_crosses_a_cut(kind: str, scene: slice, make_video: Make) -> None:
    """Changing one scene changes no pixel of another."""
    video = make_video()
    before = apply(kind, video)
    planes = tuple(p.clone() for p in video.planes)
    for p in planes:
        p[scene] = p[scene].flip(-1) * 0.9 + 0.02
    after = apply(kind, with_motion(replace(video, planes=planes)))
    others = [i for i in range(12) if not scene.start <= i < scene.stop]
    for a, b in zip(before.planes, after.planes, strict=True):
        assert torch.equal(a[others], b[others])
        assert not torch.equal(a[scene], b[scene])


@pytest.mark.parametrize("kind", KINDS)
def test_input_is_not_written_to(kind: str, make_video: Make) -> None:
    video = make_video()
    kept = [p.clone() for p in video.planes]
    apply(kind, video)
    assert all(torch.equal(a, b) for a, b in zip(kept, video.planes, strict=True))


@pytest.mark.parametrize("level", [0.0, 0.37, 1.0, 1.05])
@pytest.mark.parametrize("kind", KINDS)
def test_flat_stays_flat_and_grey_stays_neutral(kind: str, level: float, make_video: Make) -> None:
    """No checkerboard, no edge effects; chroma that is 0 stays 0, exactly."""
    video = make_video()
    luma, *chroma = video.planes
    flat = (torch.full_like(luma, level), *(torch.zeros_like(c) for c in chroma))
    # What was measured of other frames is not true of these.
    facts = {scene: replace(fact, curves={}) for scene, fact in video.facts.items()}
    done = apply(kind, with_motion(replace(video, planes=flat, facts=facts)))
    torch.testing.assert_close(
        done.planes[0], torch.full_like(done.planes[0], level), atol=1e-4, rtol=0
    )
    assert all(bool((c == 0).all()) for c in done.planes[1:])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", KINDS)
def test_cuda_agrees_with_the_cpu(kind: str, make_video: Make) -> None:
    video = make_video()
    moved = replace(video, planes=tuple(p.cuda() for p in video.planes))
    for a, b in zip(apply(kind, video).planes, apply(kind, moved).planes, strict=True):
        torch.testing.assert_close(a, b.cpu(), atol=0.5 / 219, rtol=0)
