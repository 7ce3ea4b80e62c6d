"""Networks that are to work behind other stages learn on what those leave, as `restore run` hands it to them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from clean import RECIPE, pool, work
from safetensors.torch import load_file, save_file

from restore import planes
from restore.errors import TrainError
from restore.motion import MotionOptions, MotionService
from restore.nets.architectures import ConditionName
from restore.nets.condition import Conditions
from restore.nets.neighbours import UNIT
from restore.stages.align import Align
from restore.train import front
from restore.train.batches import patches
from restore.train.front import add_fronts, behind, read_front, read_fronts, sidecar
from restore.train.loop import train
from restore.train.maps import read_maps
from restore.train.recipe import Optim, read_recipe
from restore.train.shards import make_shards, read_shards
from restore.train.validation import examined
from restore.windowing import clips_with_context, run_stage

CPU = torch.device("cpu")
NAMES: list[ConditionName] = ["quantiser", "change", "neighbours"]
PIPELINE = """
[[stage]]
kind = "align"
radius = 2

[[stage]]
kind = "upscale"
model = "film_x2"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("front")
    pipeline = root / "behind.toml"
    pipeline.write_text(PIPELINE)
    text = RECIPE.replace(
        "blocks = 1",
        f'blocks = 1\ncondition = ["quantiser", "change", "neighbours"]\nfront = "{pipeline}"',
    )
    make_shards(read_recipe(pool(root, text)), root, root / "shards", workers=1)
    add_fronts(root / "shards", read_front(str(pipeline), 5), NAMES)
    return root


def test_changes_are_those_of_the_stages_that_run(root: Path) -> None:
    index = root / "shards" / "val-000.json"
    maps = read_maps(index, 10)
    codes = load_file(index.with_suffix(".safetensors"))["lr"]
    fronts = read_fronts(index, 10)
    changes = fronts["change"].float()
    assert float(changes.abs().max()) > 0.005
    seen = 0
    for number in range(10):
        clip = front._clip(codes[number], maps, number)
        middle = clip.frames[2].index
        # A scene as the worker has it: no frame twice, the edges filled by the runner.
        own = [
            k for k, f in enumerate(clip.frames) if k == 0 or f.index != clip.frames[k - 1].index
        ]
        scene = [clip[k : k + 1] for k in own]
        motion = MotionService(MotionOptions(), CPU)
        for frame in scene:
            motion.add(frame.frames, frame.planes[0])
        flow = (replace(frame, motion=motion) for frame in scene)
        raw = planes.to_nominal(codes[number, 2:3, None], 8, full_range=False, chroma=False)
        packed = torch.cat([raw[0], changes[number][None] / UNIT, fronts["beside"][number].float()])
        learned = behind(packed, ["change", "neighbours"])
        aligned = run_stage(Align(), flow, clip.format, "here")
        for done in clips_with_context(aligned, 2, 2):
            for k in range(2, len(done) - 2):
                if done.frames[k].index == middle:
                    luma = done.planes[0][k]
                    wanted = clip.planes[0][2, 0] - luma[0]
                    torch.testing.assert_close(changes[number], wanted, atol=2e-4, rtol=1e-3)
                    # And what the network is told is what the runtime tells.
                    told = Conditions(["change", "neighbours"])(done)[k - 2]
                    torch.testing.assert_close(told[0] * UNIT, wanted)
                    ran = torch.cat([luma, told])
                    torch.testing.assert_close(learned, ran, atol=8e-3, rtol=3e-3)
                    seen += 1
        motion.close()
    assert seen == 10
    assert float(fronts["beside"].float().abs().amax((0, 2, 3)).min()) > 0.1


def test_the_picture_is_the_one_left_unless_the_change_is_unknown(root: Path) -> None:
    pairs = read_shards(root / "shards", "train", maps=True, front=True)
    optim = Optim(batch=64, crop=16, condition_absent=0.5)
    raw, truth = patches(pairs, optim, 0, 2, CPU)
    low, same = patches(pairs, optim, 0, 2, CPU, condition=NAMES)
    assert torch.equal(truth, same)
    torch.testing.assert_close(low[:, :1] + UNIT * low[:, 2:3], raw, atol=1e-6, rtol=0)
    unknown = low[:, 2].flatten(1).eq(0).all(1)
    assert low.shape[1] == 1 + 1 + 1 + 8
    assert torch.equal(low[unknown, 0], raw[unknown, 0])
    assert 0.2 < float(unknown.float().mean()) < 0.8
    shape = read_recipe(root / "tiny.toml").network
    given, _ = examined(pairs, 0, 0, shape)
    assert torch.equal(
        given[:, :1], examined(pairs, 0, 0, shape.model_copy(update={"condition": []}))[0]
    )


def test_it_is_trained_and_scored_with_and_without(root: Path, tmp_path: Path) -> None:
    said: list[str] = []
    card = train(
        root / "tiny.toml", tmp_path, progress=said.append, work_dir=work(root, tmp_path / "w")
    )
    assert not any("passed through" in line for line in said), "they are there already"
    gains = [card.scores[f"held-out {name}"] for name in ("mean", "alone", "blind")]
    assert len(set(gains)) == 3
    assert card.condition == NAMES


def test_other_settings_make_other_changes(root: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shutil.copytree(root / "shards", shards)
    before = sidecar(shards / "val-000.json").read_bytes()
    pipeline = tmp_path / "other.toml"
    pipeline.write_text(PIPELINE.replace("radius = 2", "radius = 1"))
    said: list[str] = []
    add_fronts(shards, read_front(str(pipeline), 5), NAMES, said.append)
    assert said[-1] == "val-000: passed through align"
    assert len(said) == 3
    assert sidecar(shards / "val-000.json").read_bytes() != before
    add_fronts(shards, read_front(str(root / "behind.toml"), 5), NAMES)
    assert sidecar(shards / "val-000.json").read_bytes() == before
    save_file({"change": torch.zeros(2, 32, 32)}, sidecar(shards / "val-000.json"))
    with pytest.raises(
        TrainError, match=r"val-000\.front\.safetensors: expected 10 samples, .* got 2"
    ):
        read_shards(shards, "val", maps=True, front=True)


def test_what_cannot_be_is_told(root: Path, tmp_path: Path) -> None:
    pipeline = tmp_path / "p.toml"
    pipeline.write_text(PIPELINE.replace("radius = 2", "radius = 4"))
    with pytest.raises(TrainError, match=r"look at 9 frames, got 5 .* set context = 9 in \[data\]"):
        read_front(str(pipeline), 5)
    with pytest.raises(TrainError, match=r"at least 9 frames .* set context = 9 in \[data\]"):
        add_fronts(root / "shards", read_front(str(pipeline), 9))
    with pytest.raises(TrainError, match=r"neighbours .* 5 frames, got 3 .* set context = 5"):
        read_front(str(root / "behind.toml"), 3, NAMES)
    with pytest.raises(TrainError, match=r"without weights of their own, got .*deblock"):
        read_front("film_deblock", 5)
    # Before anything is made.
    wrong = tmp_path / "typo.toml"
    wrong.write_text((root / "tiny.toml").read_text().replace("behind.toml", "behnid.toml"))
    with pytest.raises(TrainError, match="no such pipeline"):
        train(wrong, tmp_path / "out", data=root, work_dir=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(TrainError, match=r"\[network\]: front: .*nowhere.*no such pipeline"):
        read_front("nowhere", 5)
    with pytest.raises(TrainError, match="front: expected a pipeline with stages before upscale"):
        read_front("lanczos_x2", 5)
    text = (root / "tiny.toml").read_text()
    for wrong, why in (
        (text.replace('"change", ', ""), 'front and condition "change" together'),
        (
            text.replace("blocks = 1", 'blocks = 1\narchitecture = "recurrent"'),
            "architecture plain",
        ),
    ):
        recipe = tmp_path / "wrong.toml"
        recipe.write_text(wrong)
        with pytest.raises(TrainError, match=why):
            read_recipe(recipe)
