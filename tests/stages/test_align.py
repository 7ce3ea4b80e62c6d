"""Alignment averages what agrees, in proportion to the quantiser, and leaves the rest alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from restore.neighbours import positions, preference, tolerance
from restore.planes import gaussian_blur_reference
from restore.stages import align
from restore.stages.align import Align
from restore.video import BlockGrid, Chroma, FrameBatch, FrameInfo, QuantMap, SceneFacts
from restore.warping import refine_reference, warp_refined_reference
from restore.windowing import run_stage
from tests.conftest import Make, with_motion

CODE = 1 / 219


def run(stage: Align, video: FrameBatch, batch: int = 5) -> FrameBatch:
    pieces = (video[i : i + batch] for i in range(0, len(video), batch))
    return FrameBatch.cat(list(run_stage(stage, pieces, video.format)))


def drifting(make_video: Make, chroma: Chroma | None = None) -> tuple[FrameBatch, Tensor]:
    """One scene of 12 frames, a soft picture that moves by (0.5, 1) samples a frame, with noise of 2 codes coded
    with steps of 10, but for a quarter of the blocks, as codecs leave some alone; and the luma without noise."""
    video = make_video(64, 48, chroma, facts=False)
    generator = torch.Generator().manual_seed(4)
    big = torch.rand(1, 1, 160, 180, generator=generator)
    big = (gaussian_blur_reference(big, 2.0) - 0.5) * 3 + 0.5
    clean = torch.cat(
        [big[..., 20 + i : 116 + i : 2, 20 + 2 * i : 148 + 2 * i : 2] for i in range(12)]
    )
    noise = torch.randn(clean.shape, generator=generator)
    for down in (0, 16, 32):
        for across in (0, 16, 32, 48):
            noise[..., down : down + 8, across : across + 8] = 0
    noisy = clean + 2 * CODE * noise
    frames = tuple(replace(f, scene=0) for f in video.frames)
    quant = tuple(QuantMap(torch.full((3, 4), 10.0)) for _ in frames)
    video = replace(video, planes=(noisy, *video.planes[1:]), frames=frames, quant=quant)
    return with_motion(video), clean


def error(video: FrameBatch, clean: Tensor) -> float:
    return float((video.planes[0] - clean).square().mean().sqrt()) / CODE


@pytest.mark.parametrize(("radius", "left"), [(1, 0.75), (2, 0.7), (3, 0.7)])
def test_noise_is_averaged_out(radius: int, left: float, make_video: Make) -> None:
    video, clean = drifting(make_video)
    before, after = error(video, clean), error(run(Align(radius=radius), video), clean)
    assert after < left * before


def test_a_finer_quantiser_allows_less(make_video: Make) -> None:
    video, clean = drifting(make_video)
    kept = []
    for step in (2.0, 6.0, 20.0):
        quant = tuple(QuantMap(torch.full((3, 4), step)) for _ in range(12))
        kept.append(error(run(Align(), replace(video, quant=quant)), clean))
    assert kept[0] > kept[1] > kept[2]


def test_the_quantiser_is_a_local_one(make_video: Make) -> None:
    video, _ = drifting(make_video)
    steps = torch.full((3, 4), 1.0)
    steps[:, 2:] = 20.0
    done = run(Align(), replace(video, quant=tuple(QuantMap(steps) for _ in range(12))))
    change = (done.planes[0] - video.planes[0]).abs().mean((0, 1, 2))
    assert float(change[:28].mean()) < 0.3 * float(change[36:].mean())


def test_without_quantiser_and_grid_a_clean_picture_stays(make_video: Make) -> None:
    video, clean = drifting(make_video)
    video = with_motion(replace(video, planes=(clean,), quant=()))
    assert error(run(Align(), video), clean) < 0.2


def test_a_grid_in_the_picture_stands_for_the_quantiser(make_video: Make) -> None:
    video, clean = drifting(make_video)
    unknown = error(run(Align(), replace(video, quant=())), clean)
    facts = {0: SceneFacts(BlockGrid((8.0, 8.0), (0.0, 0.0), 1.0))}
    seen = error(run(Align(), replace(video, quant=(), facts=facts)), clean)
    assert seen < 0.9 * unknown


def test_frames_that_disagree_are_left_out(make_video: Make) -> None:
    """No ghosts: every second frame shows something else, and leaves no trace."""
    video, clean = drifting(make_video)
    planes = clean.clone()
    planes[1::2] = 1 - planes[1::2]
    video = with_motion(replace(video, planes=(planes,)))
    assert error(run(Align(radius=1), video), planes) < 0.5


def test_one_frame_has_no_neighbours(make_video: Make) -> None:
    video = make_video()
    done = run(Align(), video)
    assert torch.equal(done.planes[0][5], video.planes[0][5])  # the scene of one frame


def test_repeats_of_the_edge_count_nothing() -> None:
    assert positions([0, 0, 0, 1, 2], 2, 2) == [3, 4]
    assert positions([3, 4, 5, 5, 5], 2, 2) == [1, 0]
    assert positions([7, 7, 7, 7, 7], 2, 2) == []
    assert positions([1, 2, 3, 4, 5], 2, 2) == [1, 0, 3, 4]


def test_nothing_to_do(make_video: Make) -> None:
    video, _ = drifting(make_video)
    for stage in (Align(strength=0), Align(radius=0)):
        assert torch.equal(run(stage, video).planes[0], video.planes[0])
    assert torch.equal(run(Align(), replace(video, motion=None)).planes[0], video.planes[0])


def test_chroma_only_when_asked_for(make_video: Make) -> None:
    video, _ = drifting(make_video, Chroma.C420)
    plain, full = run(Align(), video), run(Align(chroma=True), video)
    assert torch.equal(plain.planes[0], full.planes[0])
    assert torch.equal(plain.planes[1], video.planes[1])
    assert not torch.equal(full.planes[1], video.planes[1])
    flat = replace(
        video, planes=(video.planes[0], *(torch.zeros_like(p) for p in video.planes[1:]))
    )
    assert bool((run(Align(chroma=True), with_motion(flat)).planes[1] == 0).all())


def test_tolerance_and_preference() -> None:
    uniform = tolerance(QuantMap(torch.full((2, 2), 10.0)), (32, 32), 32)
    assert uniform.shape == ()
    assert float(uniform) / CODE == pytest.approx(0.9 * 10**0.73)
    mixed = tolerance(QuantMap(torch.tensor([[10.0, 20.0]])), (16, 32), 16)
    assert mixed.shape == (1, 1, 16, 32)
    coarse, fine = QuantMap(torch.tensor([[12.0]])), QuantMap(torch.tensor([[8.0]]))
    assert preference(coarse, fine) == pytest.approx(1.5)
    assert preference(fine, coarse) == pytest.approx(1 / 1.5)
    assert preference(coarse, None) == 1


def test_the_finer_coded_neighbour_counts_for_more(make_video: Make) -> None:
    """Before and after a flat frame, frames one code darker and brighter: it moves towards the better one."""
    video = make_video(32, 32, None, facts=False)[:3]
    levels = torch.tensor([-CODE, 0.0, CODE]).view(3, 1, 1, 1)
    flat = replace(video, planes=(0.5 + levels.expand(3, 1, 32, 32),))
    for steps, sign in (((6, 12, 12), -1), ((12, 12, 6), 1)):
        quant = tuple(QuantMap(torch.full((2, 2), float(q))) for q in steps)
        done = Align(radius=1).process(with_motion(replace(flat, quant=quant)))[0]
        assert sign * float(done.mean() - 0.5) > 0.2 * CODE


def test_refined_frames_are_given_back(make_video: Make) -> None:
    video, _ = drifting(make_video)
    stage = Align(radius=2, chroma=True)
    for start in range(8):
        stage.process(video[start : start + 5])
        assert len(stage._around._fine) <= 5
        assert len(stage._chroma) <= 2 * 5
    stage.reset()
    assert not stage._around._fine
    assert not stage._chroma


def test_agrees_with_the_reference(make_video: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV on the CPU against PyTorch: within a quarter of a code, a twentieth on average."""
    video, _ = drifting(make_video)
    fast = run(Align(), video).planes[0]
    monkeypatch.setattr(align, "refine", refine_reference)
    monkeypatch.setattr(align, "warp_refined", warp_refined_reference)
    monkeypatch.setattr("restore.motion.gaussian_blur", gaussian_blur_reference)
    difference = (run(Align(), video).planes[0] - fast).abs() / CODE
    assert float(difference.max()) < 0.25
    assert float(difference.mean()) < 0.05


def test_frame_numbers_need_not_start_at_zero(make_video: Make) -> None:
    video, _ = drifting(make_video)
    later = tuple(FrameInfo(f.index + 1000, f.pts, f.duration) for f in video.frames)
    moved = with_motion(replace(video, frames=later))
    assert torch.equal(run(Align(), moved).planes[0], run(Align(), video).planes[0])
