"""What goes wrong while training: it is named, and what was good stays."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from clean import RECIPE, pool, work

from restore.errors import TrainError
from restore.nets.files import load_model
from restore.train import codecs, loop
from restore.train.files import WriteError
from restore.train.loop import train
from restore.train.recipe import read_recipe
from restore.train.shards import make_shards, read_shards

if sys.platform != "win32":
    import resource

LIMITED = pytest.mark.skipif(sys.platform == "win32", reason="no limits on a file's size")


@contextmanager
def files_of(kilobytes: int) -> Iterator[None]:
    """No file may hold more: the system refuses the rest, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@LIMITED
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(root: Path, tmp_path: Path) -> None:
    folder = work(root, tmp_path / "w")
    train(root / "tiny.toml", tmp_path / "a", work_dir=folder)
    good = (folder / "checkpoint.pt").read_bytes()
    longer = tmp_path / "tiny.toml"
    longer.write_text(RECIPE.replace("iterations = 12", "iterations = 20"))
    with files_of(len(good) // 1024 - 1), pytest.raises(WriteError) as caught:
        train(longer, tmp_path / "b", work_dir=folder)
    assert str(caught.value) == (
        f"{folder}/checkpoint.pt: cannot be written: File too large; what was there before is kept: make room or choose "
        "another folder, and run the same command again"
    )
    assert (folder / "checkpoint.pt").read_bytes() == good
    assert not list(folder.glob("*.part"))
    assert not (tmp_path / "b").exists(), "no weights of half a run"
    assert train(longer, tmp_path / "b", work_dir=folder).iterations == 20


@LIMITED
def test_a_shard_that_does_not_fit_is_not_there(root: Path, tmp_path: Path) -> None:
    recipe, shards = read_recipe(root / "tiny.toml"), tmp_path / "shards"
    for kilobytes, name in ((20, r"clips/.*\.npy"), (100, r"val-000\.safetensors")):
        with (
            files_of(kilobytes),
            pytest.raises(WriteError, match=name + ": cannot be written: File too large"),
        ):
            make_shards(recipe, root, shards, workers=1)
        assert not [p for p in shards.rglob("*") if p.is_file() and p.suffix != ".npy"]
    # With room the same command makes the pairs that it would have made at once.
    make_shards(recipe, root, shards, workers=1)
    one, two = (p / "train-000.safetensors" for p in (root / "shards", shards))
    assert one.read_bytes() == two.read_bytes()


def test_a_full_disk_under_an_encoder_is_no_bad_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left out as one that failed, it would make another shard of the same name."""
    program = tmp_path / "ffmpeg"
    program.write_text(
        "#!/bin/sh\necho 'Error writing trailer: No space left on device' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(codecs.imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(program))
    path = pool_without_ffmpeg(tmp_path)
    with pytest.raises(WriteError, match=r"FFmpeg failed: .*No space left on device"):
        make_shards(read_recipe(path), tmp_path, tmp_path / "shards", workers=1)
    assert not [p for p in (tmp_path / "shards").glob("*") if p.is_file()]


def pool_without_ffmpeg(root: Path) -> Path:
    import cv2
    from clean import picture

    (root / "stills").mkdir()
    for name in ("one", "held"):
        cv2.imwrite(str(root / "stills" / f"{name}.png"), picture(128, 128, 1))
    path = root / "stills.toml"
    path.write_text(
        RECIPE.replace('clips = [{ path = "clips" }]\n', "").replace(', "clips/held*"', "")
        + "[degrade]\nclean_share = 0\nnear_clean_share = 0\n"
    )
    return path


def test_files_in_the_way_of_folders_are_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "w").write_text("not a folder")
    with pytest.raises(TrainError, match=r"--work .*/w: expected a folder, found a file"):
        train(root / "tiny.toml", tmp_path / "a", data=root, work_dir=tmp_path / "w")
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(TrainError, match=r"out: "):
        train(root / "tiny.toml", tmp_path / "out", work_dir=work(root, tmp_path / "v"))


@pytest.mark.parametrize(
    ("settings", "iteration"),
    [("checkpoint_seconds = 0", 9), ("checkpoint_seconds = 99\nvalidate_every = 12", 12),
     ("checkpoint_seconds = 99\nvalidate_every = 10000", 50)],
    ids=["at a checkpoint", "at a validation", "in between"],
)  # fmt: skip
def test_a_run_that_diverges_stops_and_keeps_what_was_good(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, iteration: int
) -> None:
    """One batch without numbers makes all weights so: wherever that is noticed, nothing bad is written."""
    folder = work(root, tmp_path / "w")
    train(root / "tiny.toml", tmp_path / "a", work_dir=folder)
    path = folder / "checkpoint.pt"
    head = torch.load(path, weights_only=True)
    torch.save(head | {"iteration": 8}, path)
    good, report = path.read_bytes(), (folder / "report.html").read_bytes()
    recipe = tmp_path / "tiny.toml"
    text = RECIPE.replace("iterations = 12", "iterations = 70").replace(
        "validate_every = 100\n", ""
    )
    if "validate_every" not in settings:
        settings += "\nvalidate_every = 100"
    recipe.write_text(text.replace("checkpoint_seconds = 0", settings))

    def poisoned(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = original(*arguments)
        return low, high * float("nan")

    original = loop.patches
    monkeypatch.setattr(loop, "patches", poisoned)
    what = "the loss became nan" if iteration == 50 else "weights became infinite"
    with pytest.raises(TrainError) as caught:
        train(recipe, tmp_path / "b", work_dir=folder)
    assert str(caught.value) == (
        f"{path}: {what} before iteration {iteration}; the last good checkpoint is kept: lower [optim] rate and run the "
        "same command again"
    )
    assert path.read_bytes() == good
    assert (folder / "report.html").read_bytes() == report
    assert not (tmp_path / "b").exists()
    monkeypatch.undo()
    assert train(recipe, tmp_path / "b", work_dir=folder).iterations == 70
    net, _ = load_model(tmp_path / "b" / "tiny.safetensors")
    assert all(bool(p.isfinite().all()) for p in net.parameters())


def test_weights_to_start_from_that_overflow_are_noticed_before_anything_is_kept(
    root: Path, tmp_path: Path
) -> None:
    """No patch of the code: the numbers themselves grow beyond all bounds."""
    train(root / "tiny.toml", tmp_path, work_dir=work(root, tmp_path / "w"))
    net, card = load_model(tmp_path / "tiny.safetensors")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(3e30)
    from restore.nets.files import save_model

    save_model(net, card.model_copy(update={"name": "huge"}), tmp_path)
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace('"tiny"', f'"second"\ninit = "{tmp_path}/huge.safetensors"'))
    with pytest.raises(TrainError, match="infinite before iteration 1; there is no checkpoint yet"):
        train(recipe, tmp_path / "b", work_dir=work(root, tmp_path / "v"))
    assert [p.name for p in (tmp_path / "v").iterdir()] == ["shards"]


def test_weights_to_start_from_that_are_missing_are_named(root: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace('"tiny"', '"tiny"\ninit = "film_x2_fasst"'))
    with pytest.raises(TrainError, match=r"\[network\]: init: .*did you mean 'film_x2_fast'"):
        train(recipe, tmp_path, work_dir=work(root, tmp_path / "w"))


def test_sources_that_cannot_be_read_end_the_run_where_they_are_many(tmp_path: Path) -> None:
    path = pool(tmp_path)
    for file in [*(tmp_path / "stills").iterdir(), *(tmp_path / "clips").iterdir()]:
        file.write_bytes(b"nothing that one could look at")
    with pytest.raises(TrainError, match=r"val-000: too many sequences failed; the last: .*held"):
        make_shards(read_recipe(path), tmp_path, tmp_path / "shards", workers=1)
    with pytest.raises(TrainError, match=r"no train-\*.safetensors shards; give --data"):
        read_shards(tmp_path / "shards", "train")


@pytest.mark.parametrize("quality", ["[0, 40]", "[5, 101]", "[40, 5]"])
def test_a_quality_that_no_jpeg_has_is_refused(quality: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(RECIPE + f"[degrade]\njpeg_share = 0.2\njpeg_quality = {quality}\n")
    with pytest.raises(TrainError, match=r"\[degrade\]: jpeg_quality: expected .*\[low, high\]"):
        read_recipe(path)
