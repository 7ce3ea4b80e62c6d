"""Packed pairs: what they hold, that they can be trusted, that a source is on one side only."""

from __future__ import annotations

import itertools
import json
import resource
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clean import RECIPE, killed, pool

from restore import planes
from restore.errors import TrainError
from restore.train import shards
from restore.train.codecs import decode
from restore.train.recipe import read_recipe
from restore.train.shards import LATER_STEPS, check_same_recipe, make_shards, read_shards
from restore.train.sources import Library, find_sources


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with its shards made, in <root>/shards."""
    root = tmp_path_factory.mktemp("pool")
    make_shards(read_recipe(pool(root)), root, root / "shards", workers=1)
    return root


@pytest.mark.parametrize(
    ("text", "fingerprint"),
    [
        (RECIPE, "9856fa69e92fa6dc"),
        (RECIPE + "[degrade]\ndnr_strength = [2, 3]\n", "9856fa69e92fa6dc"),
        (
            Path(__file__).parents[2].joinpath("recipes/film_x2_fast.toml").read_text(),
            "44147270425d175f",
        ),
    ],
    ids=["defaults", "a step that is not used", "film_x2_fast"],
)
def test_shards_of_older_versions_stay_valid(text: str, fingerprint: str, tmp_path: Path) -> None:
    """Steps that came later leave the fingerprints of recipes without them alone; in use they change it."""
    path = tmp_path / "r.toml"
    path.write_text(text)
    recipe = read_recipe(path)
    (tmp_path / "val-000.json").write_text(json.dumps({"recipe": fingerprint}))
    check_same_recipe(recipe, tmp_path)
    for step in itertools.chain(*LATER_STEPS):
        degrade = recipe.degrade.model_copy(update={f"{step}_share": 0.5})
        with pytest.raises(TrainError, match=r"holds shards of another \[data\] or \[degrade\]"):
            check_same_recipe(recipe.model_copy(update={"degrade": degrade}), tmp_path)


def test_sources_are_split_by_name(made: Path) -> None:
    train, held = find_sources(read_recipe(made / "tiny.toml").data, made)
    assert [s.name for s in train] == ["clips/pan.avi", "stills/one.png", "stills/two.png"]
    assert [s.name for s in held] == ["clips/held.avi", "stills/held.png"]
    for kind, names in (("train", {s.name for s in train}), ("val", {s.name for s in held})):
        for part in read_shards(made / "shards", kind).samples:
            for sample in part:
                sequence = sample["sequence"]
                assert {sequence["source"], sequence.get("layer", sequence["source"])} <= names


def test_a_sample_is_its_frames_and_the_truth_of_the_middle_one(made: Path, tmp_path: Path) -> None:
    shards = read_shards(made / "shards", "val")
    assert len(shards) == 10
    assert shards.lr[0].shape == (10, 5, 32, 32)
    assert shards.hr[0].shape == (10, 64, 64)
    for low, high, sample in zip(shards.lr[0], shards.hr[0], shards.samples[0], strict=True):
        up = planes.resample(low[2:3, None].float(), (64, 64))[0, 0]
        error = {
            shift: (up.roll(shift, (0, 1)) - high.float())[8:-8, 8:-8].square().mean().item()
            for shift in ((0, 0), (0, 2), (2, 0), (0, -2), (-2, 0))
        }
        assert min(error, key=lambda s: error[s]) == (0, 0), sample


def test_the_encoded_file_of_a_sequence_is_kept(made: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    shards = read_shards(made / "shards", "val")
    stream = load_file(made / "shards" / "val-000.safetensors")["stream"].numpy()
    samples = shards.samples[0]
    index = [s["sequence"]["category"] for s in samples].index("rv20")
    sample = samples[index]
    sequence = sample["sequence"]
    assert sequence["steps"][0]["codec"] == "mpeg1video"
    assert all(step["bits_per_pixel"] > 0 and "-g" in step["argv"] for step in sequence["steps"])
    start, length = sequence["stream"]
    path = tmp_path / f"last.{sequence['container']}"
    path.write_bytes(stream[start : start + length].tobytes())
    low = shards.lr[0][index].numpy()
    # The frame size is the source's: 96 x 96 in high resolution.
    frames = decode(path, (48, 48))
    y, x, t = sample["y"], sample["x"], sample["frame"]
    np.testing.assert_array_equal(frames[t, y : y + 32, x : x + 32], low[2])


def test_shards_do_not_depend_on_interruptions(made: Path, tmp_path: Path) -> None:
    recipe = read_recipe(made / "tiny.toml")
    out = tmp_path / "shards"
    make_shards(recipe, made, out, workers=1)
    again = out / "train-001.safetensors"
    first = again.read_bytes()
    assert first == (made / "shards" / "train-001.safetensors").read_bytes()
    again.with_suffix(".json").unlink()  # as if it had been cut short
    said: list[str] = []
    make_shards(recipe, made, out, workers=1, progress=said.append)
    assert [line.split(":")[0] for line in said] == ["train-001"]
    assert again.read_bytes() == first


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"], ids=["clips", "shard"])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    made: Path, tmp_path: Path, suffix: str
) -> None:
    recipe, out = read_recipe(made / "tiny.toml"), tmp_path / "shards"
    if suffix == ".safetensors":
        shutil.copytree(made / "shards" / "clips", out / "clips")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(TrainError, match=r"cannot be written: .*: make room") as caught:
            make_shards(recipe, made, out, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"{suffix}: cannot" in str(caught.value)
    assert not list(out.rglob("*.part"))
    make_shards(recipe, made, out, workers=1)
    name = "train-001.safetensors"
    assert (out / name).read_bytes() == (made / "shards" / name).read_bytes()


def test_a_worker_that_is_killed_is_told(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_make_shard", killed)
    with pytest.raises(TrainError, match=r"ended from outside .* run the same command again"):
        make_shards(read_recipe(made / "tiny.toml"), made, tmp_path / "shards", workers=2)


def test_shards_of_another_recipe_are_not_mixed_in(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(RECIPE.replace("keep = 2", "keep = 3"))
    with pytest.raises(TrainError, match="holds shards of another"):
        make_shards(read_recipe(other), made, made / "shards", workers=1)


def test_a_damaged_shard_is_named(made: Path, tmp_path: Path) -> None:
    for name in ("train-000.json", "train-000.safetensors"):
        (tmp_path / name).write_bytes((made / "shards" / name).read_bytes())
    data = tmp_path / "train-000.safetensors"
    data.write_bytes(data.read_bytes()[:-10])
    with pytest.raises(TrainError, match=r"train-000\.json: damaged shard"):
        read_shards(tmp_path, "train")
    with pytest.raises(TrainError, match="no val-"):
        read_shards(tmp_path, "val")


def test_missing_folders_and_useless_patterns_are_named(tmp_path: Path) -> None:
    path = pool(tmp_path, RECIPE.replace('"stills/held*", "clips/held*"', '"nothing*"'))
    with pytest.raises(TrainError, match="hold_out matches no source"):
        find_sources(read_recipe(path).data, tmp_path)
    empty = tmp_path / "empty"
    with pytest.raises(TrainError) as caught:
        find_sources(read_recipe(path).data, empty)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        str(empty / "clips"),
        str(empty / "stills"),
    ]


def test_moving_stills_move_and_stay_sharp(made: Path, tmp_path: Path) -> None:
    recipe = read_recipe(made / "tiny.toml")
    stills = [s for s in find_sources(recipe.data, made)[0] if s.still]
    library = Library(recipe.data, tmp_path, 2)
    moved = 0
    for seed in range(8):
        frames, record = library.sequence(stills, np.random.default_rng(seed))
        assert frames.shape[0] == 5
        assert min(frames.shape[1:]) >= 64
        assert not frames.shape[1] % 32
        assert not frames.shape[2] % 32
        assert record["source"].startswith("stills/")
        moved += bool(np.abs(frames[0] - frames[-1]).mean() > 1)
    assert moved >= 4


def test_steady_stills_are_cut_out_untouched(made: Path, tmp_path: Path) -> None:
    recipe = read_recipe(made / "tiny.toml")
    stills = [s for s in find_sources(recipe.data, made)[0] if s.still]
    exact = {}
    for share in (0.0, 1.0):
        data = recipe.data.model_copy(update={"steady_share": share, "layer_share": 0.0})
        library = Library(data, tmp_path, 2)
        exact[share] = 0
        for seed in range(8):
            frames, record = library.sequence(stills, np.random.default_rng(seed))
            if record["shrink"] < 1:
                continue
            grey = cv2.imread(str(made / record["source"]), cv2.IMREAD_GRAYSCALE)
            still = 16 + grey.astype(np.float32) * np.float32(219 / 255)
            found = [cv2.matchTemplate(still, f, cv2.TM_SQDIFF).min() for f in frames]
            exact[share] += max(found) < 1e-3 * frames[0].size
    assert exact[1.0] >= 2
    assert exact[0.0] == 0


def test_the_index_is_plain_json(made: Path) -> None:
    index = json.loads((made / "shards" / "train-000.json").read_text())
    assert index["failed"] == []
    assert {"frame", "y", "x", "sequence"} == set(index["samples"][0])
    assert torch.tensor([s["y"] % 16 for s in index["samples"]]).eq(0).all(), "macroblock grid"


@pytest.mark.parametrize("scale", [1, 3])
def test_other_scales_have_their_own_truth(scale: int, tmp_path: Path) -> None:
    """At scale 1 truth and input are of one size, and a clip without codec is its own truth."""
    text = RECIPE.replace("blocks = 1", f"blocks = 1\nscale = {scale}")
    text += (
        "[degrade]\nblur_share = 0\nsharpen_share = 0\ngrain_share = 0\nkernels = { bicubic = 1 }\n"
    )
    root = tmp_path / "data"
    recipe = read_recipe(pool(root, text))
    make_shards(recipe, root, root / "shards", workers=1)
    held = read_shards(root / "shards", "val")
    assert held.lr[0].shape[2:] == (32, 32)
    assert held.hr[0].shape[1:] == (32 * scale, 32 * scale)
    for low, high, sample in zip(held.lr[0], held.hr[0], held.samples[0], strict=True):
        if scale == 1:
            equal = torch.equal(low[2], high)
            assert equal == (sample["sequence"]["category"] == "clean")
        big = planes.resample(low[2:3, None].float(), (32 * scale, 32 * scale))[0, 0]
        assert (big - high.float()).abs().mean() < 12


def test_jpegs_make_shards_and_tell_no_quantiser(tmp_path: Path) -> None:
    text = RECIPE.replace("blocks = 1", "blocks = 1\nscale = 1")
    shares = ("clean", "near_clean", "second", "other_single", "blur", "sharpen", "grain")
    text += "[degrade]\n" + "".join(f"{name}_share = 0\n" for name in shares)
    text += "kernels = { bicubic = 1 }\njpeg_share = 1\njpeg_quality = [5, 10]\n"
    recipe = read_recipe(pool(tmp_path, text))
    make_shards(recipe, tmp_path, tmp_path / "shards", workers=1)
    held = read_shards(tmp_path / "shards", "val", maps=True)
    assert {s["sequence"]["category"] for s in held.samples[0]} == {"jpeg"}
    assert all(s["sequence"]["stream"][1] > 0 for s in held.samples[0])
    middle = held.lr[0][:, 2]
    assert 0.5 < (middle.float() - held.hr[0].float()).abs().mean() < 12
    assert held.maps is not None
    assert not held.maps[0].steps.any()
    assert not held.maps[0].types.any()
