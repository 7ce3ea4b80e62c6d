"""Where the files that ship with the program are: `models/`, `pipelines/` and `recipes/`."""

from __future__ import annotations

from pathlib import Path

from restore.errors import RestoreError

_PACKAGE = Path(__file__).resolve().parent


def models_dir() -> Path:
    """The folder of weights (*.safetensors) and their cards (*.toml)."""
    return _shipped("models")


def pipelines_dir() -> Path:
    """The folder of ready-made pipeline files (*.toml)."""
    return _shipped("pipelines")


def recipes_dir() -> Path:
    """The folder of training recipes (*.toml)."""
    return _shipped("recipes")


def _shipped(name: str) -> Path:
    """An installed wheel carries the folder inside the package, a checkout beside it. The wheel's place is looked
    at first: beside an installed package lie other packages, and one of them may be called `models`."""
    places = (_PACKAGE / "_data" / name, _PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    looked = " or ".join(map(str, places))
    raise RestoreError(
        f"{name}: expected a folder {looked}, found neither; install the package again"
    )
