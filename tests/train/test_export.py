"""Old files made from clean ones: real files, aligned with their truth, described, repeatable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clean import RECIPE, moving

from restore.errors import TrainError
from restore.train.codecs import Step, decode, encode, read_clip
from restore.train.degrade import psnr
from restore.train.export import degrade_files
from restore.train.recipe import Recipe, read_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "r.toml"
    path.write_text(RECIPE)
    return read_recipe(path)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clips" / "pan.mkv"
    path.parent.mkdir()
    encode(moving(6, 104, 136), Step("ffv1"), path)
    return path


@pytest.mark.parametrize("category", ["clean", "mpeg1", "rv20"])
def test_the_files_are_real_and_aligned(
    clip: Path, recipe: Recipe, tmp_path: Path, category: str
) -> None:
    out = tmp_path / "old"
    (record,) = degrade_files(clip, out, recipe, category=category)  # type: ignore[arg-type]
    assert json.loads((out / "pan.json").read_text()) == record
    assert sorted(p.name for p in out.iterdir()) == sorted(
        ["pan.json", "pan.truth.mkv", record["degraded"]]
    )
    suffix = {"clean": ".mkv", "mpeg1": ".mpg", "rv20": ".rm"}[category]
    assert record["degraded"] == f"pan{suffix}"
    truth = decode(out / "pan.truth.mkv", (96, 128))
    old = decode(out / record["degraded"], (48, 64))
    assert len(truth) == len(old) == record["frames"] == 6
    assert record["bytes"] == (out / record["degraded"]).stat().st_size
    assert record["bits_per_pixel"] == pytest.approx(record["bytes"] * 8 / old.size, abs=1e-5)
    # The truth is the middle of the clip, and the old file shows the same place at the same time.
    if record["levels"] == [1.0, 1.0, 0.0]:
        assert np.array_equal(truth, read_clip(clip, 1)[:, 4:100, 4:132])
    small = truth.reshape(6, 48, 2, 64, 2).mean((2, 4))
    there = psnr(old, np.rint(small).astype(np.uint8))
    assert there > psnr(np.roll(old, 1, 2), np.rint(small).astype(np.uint8))
    assert there > psnr(old[:-1], np.rint(small[1:]).astype(np.uint8))
    assert 15 < record["lanczos_psnr"] < record["input_psnr"] or category == "clean"


def test_a_seed_means_its_bytes(clip: Path, recipe: Recipe, tmp_path: Path) -> None:
    (one,) = degrade_files(clip, tmp_path / "a", recipe, seed=3)
    (two,) = degrade_files(clip, tmp_path / "b", recipe, seed=3)
    assert one == two
    for name in (one["degraded"], one["truth"]):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (other,) = degrade_files(clip, tmp_path / "c", recipe, seed=4)
    assert other["steps"] != one["steps"]


def test_a_folder_gives_one_of_each(clip: Path, recipe: Recipe, tmp_path: Path) -> None:
    encode(moving(4, 72, 72), Step("ffv1"), clip.with_name("other.mkv"))
    records = degrade_files(clip.parent, tmp_path / "old", recipe, frames=3, shrink=0.95)
    assert [r["source"] for r in records] == ["other.mkv", "pan.mkv"]
    assert [r["frames"] for r in records] == [3, 3]


def test_what_cannot_be_done_is_said(clip: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "old"
    degrade_files(clip, out, recipe, category="clean")
    with pytest.raises(TrainError, match=r"old/pan.json: is already there; .* --overwrite"):
        degrade_files(clip, out, recipe)
    degrade_files(clip, out, recipe, category="clean", overwrite=True)
    with pytest.raises(TrainError, match=r"nowhere: expected a video or a folder of videos"):
        degrade_files(tmp_path / "nowhere", out, recipe)
    (tmp_path / "noise.mkv").write_bytes(b"no video" * 100)
    with pytest.raises(
        TrainError, match=r"noise.mkv: looking for video: FFmpeg failed: .*Invalid data"
    ):
        degrade_files(tmp_path / "noise.mkv", out, recipe)
    with pytest.raises(TrainError, match=r"pan.mkv: expected at least 64x64 pixels, got 68x52"):
        degrade_files(clip, tmp_path / "small", recipe, shrink=0.5)


def test_a_full_disk_leaves_nothing_half_done(
    clip: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TrainError, match=r"cannot be written: No space left on device.*make room"):
        degrade_files(clip, tmp_path / "old", recipe)
    assert list((tmp_path / "old").iterdir()) == []
