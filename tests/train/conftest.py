"""Settings of the training tests, and the pairs that most of them train on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from clean import pool

from restore.train.recipe import read_recipe
from restore.train.shards import make_shards


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Layers this small gain nothing from threads, and on a busy machine these wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, recipe and, in <root>/shards, the pairs."""
    root = tmp_path_factory.mktemp("train")
    make_shards(read_recipe(pool(root)), root, root / "shards", workers=1)
    return root
