"""Sequences for recurrent networks: what is packed, how patches turn, and that a network learns from them and resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from clean import RECIPE, moving, picture, pool, work

from restore import planes
from restore.errors import TrainError
from restore.nets.files import ModelCard, load_model, save_model
from restore.nets.plain import PlainSR
from restore.nets.recurrent import RecurrentSR
from restore.train import loop
from restore.train.loop import train
from restore.train.losses import objective
from restore.train.networks import build, predict, ship
from restore.train.passage import find_passages
from restore.train.recipe import Network, Optim, read_recipe
from restore.train.sequences import frame_weights, sequence, sequence_patches, turned
from restore.train.shards import make_shards, read_shards
from restore.train.state import start
from restore.train.validation import validate
from restore.warping import warp

CPU = torch.device("cpu")
RECURRENT = (
    RECIPE.replace("frames = 5", 'frames = 6\ncontext = 3\ntruth = "all"')
    .replace("channels = 4", 'channels = 4\narchitecture = "recurrent"\nbranches = false')
    .replace("blocks = 1", 'blocks = 1\ncondition = ["quantiser"]')
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sequences")
    make_shards(read_recipe(pool(root, RECURRENT)), root, root / "shards", workers=1)
    return root


def test_a_sample_is_its_frames_the_truth_of_each_and_the_motion(root: Path) -> None:
    shards = read_shards(root / "shards", "val", maps=True)
    (low, high, passages) = shards.lr[0], shards.hr[0], shards.passages[0]
    assert (low.shape, high.shape) == ((10, 3, 32, 32), (10, 3, 64, 64))
    assert (passages.flow.shape, passages.trust.shape) == ((10, 2, 2, 32, 32), (10, 2, 32, 32))
    followed, standing = [], []
    for index, sample in enumerate(shards.samples[0]):
        assert 1 <= sample["frame"] <= 4
        up = planes.resample(low[index, :, None].float(), (64, 64))[:, 0]
        for t in range(3):
            errors = [
                (up[t] - high[index, k].float())[8:-8, 8:-8].square().mean().item()
                for k in range(3)
            ]
            assert errors[t] <= 1.05 * min(errors), sample
        frames = sequence(shards, 0, index, ["quantiser"])
        moved = warp(frames[:-1, :1], frames[1:, 2:4])
        known = frames[1:, 4:]
        followed.append(((moved - frames[1:, :1]) * known).square().mean().item())
        standing.append(((frames[:-1, :1] - frames[1:, :1]) * known).square().mean().item())
        assert float(known.mean()) > 0.5
        assert not bool(frames[0, 2:].any())
    assert sum(followed) < 0.3 * sum(standing)


def test_no_way_leads_across_a_cut() -> None:
    frames = np.stack([*moving(4, 48, 48, 1), *(255 - moving(4, 48, 48, 2))])
    (made,) = find_passages(frames, [{"frame": 4, "y": 0, "x": 0}], 48, 7)
    known = made["trust"].reshape(6, -1).mean(1) / 255
    assert known[2] == 0  # to the first frame of the second scene
    assert min(known[:2].min(), known[3:].min()) > 0.5


@pytest.mark.parametrize("turn", range(8))
def test_motion_turns_with_the_picture(turn: int) -> None:
    image = torch.from_numpy(picture(24, 24, 3)).float()[None, None]
    flow = torch.zeros(1, 2, 24, 24)
    flow[:, 0], flow[:, 1] = 2.0, -1.0
    wanted = turned(warp(image, flow), turn)
    got = warp(turned(image, turn), turned(flow, turn, 0))
    torch.testing.assert_close(got[..., 3:-3, 3:-3], wanted[..., 3:-3, 3:-3])


def test_patches_are_a_function_of_the_iteration_and_trust_ends_at_their_edge(root: Path) -> None:
    shards = read_shards(root / "shards", "train", maps=True)
    optim = Optim(batch=2, crop=16, candidates=2, condition_absent=0)
    low, high = sequence_patches(shards, optim, 5, 2, CPU, condition=["quantiser"])
    again, _ = sequence_patches(shards, optim, 5, 2, CPU, condition=["quantiser"])
    other, _ = sequence_patches(shards, optim, 6, 2, CPU, condition=["quantiser"])
    assert (low.shape, high.shape) == ((2, 3, 5, 16, 16), (2, 3, 1, 32, 32))
    assert torch.equal(low, again) and not torch.equal(low, other)
    flow = shards.passages[0].flow.clone()
    shards.passages[0].flow.copy_(torch.zeros_like(flow))
    shards.passages[0].flow[:, :, 0] = 3
    known = shards.passages[0].planes(0, 1, (slice(8, 24), slice(8, 24)))[2]
    assert not bool(known[:, 13:].any()) and bool(known[:, :13].any())
    shards.passages[0].flow.copy_(flow)


def test_later_frames_count_more() -> None:
    weights = frame_weights(5)
    assert weights == sorted(weights) and weights[-1] == pytest.approx(3 * weights[0])
    assert sum(weights) == pytest.approx(5)


@torch.no_grad()
def test_a_cut_clears_what_was_before(root: Path) -> None:
    """The frame behind a cut is made as if it were the first; without the cut it is not."""
    shape = Network(name="tiny", architecture="recurrent", channels=4, blocks=1)
    torch.manual_seed(1)
    net = build(shape)
    low = sequence(read_shards(root / "shards", "val", maps=True), 0, 0, [])[None]
    whole = predict(net, shape, low, torch.float32)[1]
    first = predict(
        net, shape, low[:, 2:] * torch.tensor([1, 0, 0, 0]).view(1, 1, 4, 1, 1), torch.float32
    )[1]
    assert not torch.equal(whole[:, 2], first[:, 0])
    cut = low.clone()
    cut[:, 2, 1:] = 0
    assert torch.equal(predict(net, shape, cut, torch.float32)[1][:, 2], first[:, 0])


def test_an_interrupted_run_gives_the_same_weights(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = root / "tiny.toml"
    card = train(recipe, tmp_path / "a", work_dir=work(root, tmp_path / "whole"))
    assert (card.architecture, card.condition) == ("recurrent", ["quantiser"])
    assert {"held-out first frame", "held-out blind"} <= set(card.scores)
    assert "<figure>" in (tmp_path / "whole" / "report.html").read_text()
    original, steps = loop.sequence_patches, 0

    def failing(*arguments: object) -> object:
        nonlocal steps
        steps += 1
        if steps == 7:
            raise KeyboardInterrupt
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "sequence_patches", failing)
    broken = work(root, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "b", work_dir=broken)
    said: list[str] = []
    train(recipe, tmp_path / "b", work_dir=broken, progress=said.append)
    assert said[1].startswith("resumed at iteration 6")
    one, two = ((tmp_path / name / "tiny.safetensors").read_bytes() for name in "ab")
    assert one == two
    assert isinstance(load_model(tmp_path / "a" / "tiny.safetensors")[0], RecurrentSR)


def test_it_starts_from_a_single_frame_network(root: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    small = PlainSR(4, 1, 2)
    about = ModelCard(
        name="small", architecture="plain", channels=4, blocks=1, scale=2, plane="Y", parameters=1, sha256="0" * 64,
        data="", recipe="", command="", iterations=0, licence="", weak_at="",
    )  # fmt: skip
    save_model(small, about, tmp_path)
    text = RECURRENT.replace('"tiny"', f'"tiny"\ninit = "{tmp_path}/small.safetensors"')
    (tmp_path / "r.toml").write_text(text)
    shape = read_recipe(tmp_path / "r.toml").network
    low = sequence(read_shards(root / "shards", "val", maps=True), 0, 0, ["quantiser"])[None]
    with torch.no_grad():
        residual = predict(build(shape), shape, low, torch.float32)[1]
        torch.testing.assert_close(residual[0], small(low[0, :, :1]))
    with pytest.raises(TrainError, match="small: channels: expected at most 2, got 4"):
        build(shape.model_copy(update={"channels": 2}))


def test_training_uses_the_frames_before(root: Path, tmp_path: Path) -> None:
    """On a film that is nearly lossless every second frame, a little training is enough for the rest to gain."""
    shards = read_shards(root / "shards", "train", maps=True)
    shape = Network(name="tiny", architecture="recurrent", channels=8, blocks=1, scale=2)
    recipe = read_recipe(root / "tiny.toml")
    recipe = recipe.model_copy(
        update={
            "network": shape,
            "optim": Optim(batch=4, crop=24, iterations=60, rate=5e-3, warm_up=0),
        }
    )
    state, losses = start(recipe, CPU), objective(recipe, CPU)
    noise = torch.Generator().manual_seed(1)
    for k in range(60):
        low, high = sequence_patches(shards, recipe.optim, k, 2, CPU)
        low[:, :, :1] += 0.08 * torch.randn(low[:, :, :1].shape, generator=noise)
        loop.step(state, low, high, recipe, losses, k / 60)
    low, high = sequence_patches(shards, recipe.optim, 999, 2, CPU)
    low[:, :, :1] += 0.08 * torch.randn(low[:, :, :1].shape, generator=noise)
    with torch.no_grad():
        base, residual = predict(ship(state.net), shape, low, torch.float32)
        cleared = low.clone()
        cleared[:, :, -1] = 0
        _, alone = predict(ship(state.net), shape, cleared, torch.float32)
    told, single = (
        float((base + r - high)[:, -1, ..., 8:-8, 8:-8].square().mean()) for r in (residual, alone)
    )
    assert told < 0.97 * single


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('truth = "all"', "", r'\[data\]: truth: expected "all" for architecture recurrent'),
        ('"recurrent"', '"plain"', r'\[data\]: truth: expected "middle" for architecture plain'),
        ("context = 3", "context = 1", "a context from 3"),
    ],
)
def test_what_does_not_go_together_is_told(
    root: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "r.toml").write_text(RECURRENT.replace(old, new))
    with pytest.raises(TrainError, match=message):
        read_recipe(tmp_path / "r.toml")


def test_scores_tell_what_the_memory_is_worth(root: Path) -> None:
    held = read_shards(root / "shards", "val", maps=True)
    shape = Network(name="tiny", architecture="recurrent", channels=4, blocks=1)
    net = build(shape)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    scores = validate(net, held, shape, CPU)
    assert scores.gains["held-out mean"] == pytest.approx(0, abs=1e-3)
    assert scores.gains["held-out first frame"] == pytest.approx(0, abs=1e-3)
