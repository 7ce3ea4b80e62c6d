"""Weights and cards: what is written comes back; what is damaged is refused, with its address."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restore import resources
from restore.errors import ModelError, RestoreError
from restore.nets.files import ModelCard, load_model, model_names, read_card, save_model
from restore.nets.plain import PlainSR


def card(name: str = "tiny", **changes: object) -> ModelCard:
    values: dict[str, object] = {
        "name": name, "architecture": "plain", "channels": 4, "blocks": 2, "scale": 2, "plane": "Y",
        "parameters": 1, "sha256": "0" * 64, "data": "noise \"quoted\" \\ äöü", "recipe": "recipes/tiny.toml",
        "command": "restore train recipes/tiny.toml", "iterations": 7, "licence": "Apache-2.0",
        "weak_at": "everything", "scores": {"VCD 1150k, mean": 0.5, "clean": -0.25},
    }  # fmt: skip
    return ModelCard.model_validate(values | changes)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    save_model(PlainSR(4, 2, 2), card(), tmp_path)
    return tmp_path / "tiny.safetensors"


def test_weights_and_card_come_back(tmp_path: Path) -> None:
    net = PlainSR(4, 2, 2)
    written = save_model(net, card(), tmp_path)
    loaded, read = load_model(tmp_path / "tiny.safetensors")
    assert read == written
    assert read.parameters == sum(p.numel() for p in net.parameters())
    assert read.data == 'noise "quoted" \\ äöü'
    assert read.scores == {"VCD 1150k, mean": 0.5, "clean": -0.25}
    x = torch.rand(1, 1, 6, 6)
    with torch.no_grad():
        assert torch.equal(loaded(x), net(x))
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.safetensors", "tiny.toml"]


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ModelError) as caught:
        load_model(saved)
    assert str(caught.value).startswith(f"{saved}: expected sha256 ")
    assert "fetch both again" in str(caught.value)


def test_a_changed_byte_is_refused(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-1] ^= 1
    saved.write_bytes(data)
    with pytest.raises(ModelError, match="expected sha256"):
        load_model(saved)


def test_a_card_of_another_shape_is_refused(saved: Path) -> None:
    path = saved.with_suffix(".toml")
    path.write_text(path.read_text().replace("channels = 4", "channels = 6"))
    with pytest.raises(ModelError) as caught:
        load_model(saved)
    text = str(caught.value)
    assert "body.0.weight: expected (6, 6, 3, 3), got (4, 4, 3, 3)" in text
    assert text.endswith("its card says: plain 6 x 2, x2")


def test_all_faults_of_a_card_at_once(saved: Path) -> None:
    path = saved.with_suffix(".toml")
    path.write_text(path.read_text().replace("blocks = 2", "block = 2"))
    with pytest.raises(ModelError) as caught:
        read_card(path)
    text = str(caught.value)
    assert f"{path}: blocks: required, but not given" in text
    assert f"{path}: block: unknown key; did you mean 'blocks'?" in text


@pytest.mark.parametrize("suffix", [".safetensors", ".toml"])
def test_a_missing_file_is_named(saved: Path, suffix: str) -> None:
    saved.with_suffix(suffix).unlink()
    with pytest.raises(ModelError, match=rf"tiny\{suffix}: no "):
        load_model(saved)


def test_a_misspelt_name_gets_a_hint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.nets.files.models_dir", lambda: saved.parent)
    assert load_model("tiny")[1].name == "tiny"
    with pytest.raises(ModelError) as caught:
        load_model("tyny")
    assert str(caught.value) == "model 'tyny': no such model; did you mean 'tiny'?"


def test_every_shipped_model_loads() -> None:
    for name in model_names():
        net, read = load_model(name)
        assert read.name == name
        assert read.licence == "Apache-2.0"
        with torch.no_grad():
            out = net(torch.rand(1, 1, 16, 20))
        assert out.shape == (1, 1, 16 * read.scale, 20 * read.scale)
        assert out.abs().max() < 1, "a residual is a part of the range"


def test_a_wheel_s_own_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "restore"
    stranger = tmp_path / "site-packages" / "models"
    own = package / "_data" / "models"
    own.mkdir(parents=True)
    stranger.mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.models_dir() == own
    own.rmdir()
    assert resources.models_dir() == stranger  # a checkout: beside the package
    stranger.rmdir()
    with pytest.raises(RestoreError, match="models: expected a folder"):
        resources.models_dir()
