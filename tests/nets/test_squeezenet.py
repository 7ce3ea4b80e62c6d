"""SqueezeNet's features: the real weights measure likeness; a wrong file is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import load_file, save_file

from restore import planes
from restore.errors import ModelError
from restore.nets.squeezenet import FIRES, TAPS, feature_distance, load_squeezenet

Real = Callable[[str], Path]


@pytest.fixture
def weights(real: Real) -> Path:
    return real("weights/squeezenet1_1_imagenet_bsd.safetensors")


def test_features_have_their_shapes_and_unit_length(weights: Path) -> None:
    features = load_squeezenet(weights)(torch.rand(2, 1, 64, 48))
    assert [f.shape[1] for f in features] == [FIRES[tap] for tap in TAPS]
    assert [tuple(f.shape[2:]) for f in features] == [(31, 23), (15, 11), (7, 5), (3, 2), (3, 2)]
    for part in features:
        assert (part.norm(dim=1) - 1).abs().max() < 1e-3


def test_more_blur_is_further_away(weights: Path, real: Real) -> None:
    image = min(real("images/Set5").glob("*.png"))
    grey = torch.from_numpy(cv2.imread(str(image), 0)[:128, :128] / 255.0).float()[None, None]
    net = load_squeezenet(weights)
    distances = [
        feature_distance(net, planes.gaussian_blur(grey, sigma), grey).item()
        for sigma in (0.6, 1.2, 2.4)
    ]
    assert feature_distance(net, grey, grey).item() == 0
    assert distances[0] < distances[1] < distances[2]


def test_a_wrong_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match="no such backbone"):
        load_squeezenet(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_squeezenet(path)
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(
        ModelError, match=r"conv1.weight: expected \(64, 3, 3, 3\), got \(64, 3, 7, 7\)"
    ):
        load_squeezenet(path)


def test_a_missing_layer_is_named(weights: Path, tmp_path: Path) -> None:
    tensors = load_file(weights)
    del tensors["fire9/expand3x3.bias"]
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=r"fire9/expand3x3.bias: expected .*, got none"):
        load_squeezenet(tmp_path / "x.safetensors")
