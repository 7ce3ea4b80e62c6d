"""A tiny clean pool: drawn stills and one moving clip, enough to make pairs from."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from restore.nets.squeezenet import SqueezeFeatures
from restore.train.codecs import Codes, Step, encode

RECIPE = """
[data]
clips = [{ path = "clips" }]
images = ["stills"]
hold_out = ["stills/held*", "clips/held*"]
frames = 5
size = 64
crop = 32
keep = 2
shard_sequences = 3
shards = 2
val_sequences = 5

[network]
name = "tiny"
channels = 4
blocks = 1

[optim]
iterations = 12
batch = 2
crop = 16
margin = 2
warm_up = 2
validate_every = 100
checkpoint_seconds = 0
"""


def picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Soft shapes with some texture: something that a codec can hold and a network can learn."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 120, np.uint8)
    for _ in range(12):
        centre = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(image, centre, int(rng.integers(5, 25)), int(rng.integers(20, 235)), -1)
    noise = cv2.GaussianBlur(rng.normal(0, 12, (height, width)), (0, 0), 1.0)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)


def moving(frames: int = 8, height: int = 96, width: int = 96, seed: int = 9) -> Codes:
    """(T, H, W): a picture panned by a pixel a frame."""
    wide = picture(height, width + frames, seed)
    return np.stack([wide[:, t : t + width] for t in range(frames)])


def pool(root: Path, recipe: str = RECIPE) -> Path:
    """Fills `root` with stills, clips and a recipe; the recipe's path."""
    for name in ("one", "two", "held"):
        (root / "stills").mkdir(parents=True, exist_ok=True)
        image = picture(128, 128, sum(name.encode()))
        cv2.imwrite(str(root / "stills" / f"{name}.png"), image)
    (root / "clips").mkdir()
    for name, seed in (("pan", 1), ("held", 2)):
        encode(moving(seed=seed), Step("mpeg4", {"q:v": 2}), root / "clips" / f"{name}.avi")
    path = root / "tiny.toml"
    path.write_text(recipe)
    return path


def work(root: Path, folder: Path) -> Path:
    """A work folder with the shared pairs in it."""
    folder.mkdir()
    (folder / "shards").symlink_to(root / "shards")
    return folder


def backbone(folder: Path) -> Path:
    """A SqueezeNet of random weights under the names that a real file has."""
    torch.manual_seed(5)
    names = {"squeeze": "squeeze1x1", "expand1": "expand1x1", "expand3": "expand3x3"}
    tensors = {}
    for key, value in SqueezeFeatures().state_dict().items():
        match key.split("."):
            case ["fires", number, layer, kind]:
                tensors[f"fire{int(number) + 2}/{names[layer]}.{kind}"] = value
            case _:
                tensors[key] = value
    path = folder / "squeezenet.safetensors"
    save_file(tensors, path)
    return path


def killed(_: object) -> str:
    """A worker's job that ends as one does that the system kills."""
    os._exit(9)
