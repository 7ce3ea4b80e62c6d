"""Weights on disk: a safetensors file and, beside it, a TOML card that says what they are.

Both are needed: the card holds the shape to build and the SHA-256 of the weights, so a truncated or exchanged file
is refused before a tensor is read. Nothing here can run code from a file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from restore.errors import ModelError
from restore.nets.architectures import (
    ARCHITECTURES,
    ArchitectureName,
    ConditionName,
    PlaneName,
    build,
    count_planes,
)
from restore.nets.engine import Network
from restore.options import Options, check, hint, read_toml
from restore.resources import models_dir

UNDAMAGED = "undamaged input, PSNR left"
"""The score that is a PSNR, in dB: of what a network makes of input that equals its truth."""


class ModelCard(Options):
    """What a set of weights is, where it comes from and what it can do."""

    name: str
    architecture: ArchitectureName
    """Which network; nets.architectures says what it takes and returns."""
    channels: Annotated[int, Field(ge=1, le=1024)]
    blocks: Annotated[int, Field(ge=1, le=256)]
    scale: Literal[1, 2, 3, 4]
    plane: PlaneName
    """What goes in and comes out: luma, or R, G, B; whatever the bit depth or range of the file."""
    condition: list[ConditionName] = []
    """Input planes beside luma, in this order (see nets.condition)."""
    parameters: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the safetensors file."""
    data: str
    """What it was trained on."""
    recipe: str
    """The recipe file, relative to the repository."""
    command: str
    """What made it."""
    iterations: Annotated[int, Field(ge=0)]
    licence: str
    weak_at: str
    """Where not to use it."""
    scores: dict[str, float] = {}
    """Y-PSNR gain over Lanczos, dB, 8-bit limited-range codes, 8 px border cropped; per recipe or category. One is no gain:
    UNDAMAGED."""

    @property
    def best_gain(self) -> float | None:
        """The largest gain, dB; None where none was measured."""
        return max((v for key, v in self.scores.items() if key != UNDAMAGED), default=None)


def model_names() -> list[str]:
    """Names of the models that ship with the program."""
    return sorted(path.stem for path in models_dir().glob("*.safetensors"))


def load_model(name_or_path: str | Path) -> tuple[nn.Module, ModelCard]:
    """A shipped model by name, or weights by path (with their card beside them): (network in float32 and eval
    mode on the CPU, its card). ModelError says what is missing, damaged or of another shape."""
    path = model_path(name_or_path)
    card = read_card(path.with_suffix(".toml"))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"{path}: expected sha256 {card.sha256[:12]}... (its card), got {found[:12]}...; "
            "the file is incomplete or not the one the card describes: fetch both again"
        )
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file: {error}") from None
    try:
        net = build(
            card.architecture, card.channels, card.blocks, card.scale, card.plane, card.condition
        )
    except ModelError as error:
        raise ModelError(f"{path.with_suffix('.toml')}: {error}") from None
    want = {key: tuple(value.shape) for key, value in _weights(net).items()}
    got = {key: tuple(value.shape) for key, value in tensors.items()}
    wrong = [
        f"{path}: {key}: expected {want.get(key, 'no such tensor')}, got {got.get(key, 'none')}"
        for key in sorted(want.keys() | got.keys())
        if want.get(key) != got.get(key)
    ]
    if wrong:
        more = [f"... and {len(wrong) - 4} more"] if len(wrong) > 4 else []
        shape = f"{card.architecture} {card.channels} x {card.blocks}, x{card.scale}"
        raise ModelError("\n".join([*wrong[:4], *more, f"its card says: {shape}"]))
    net.load_state_dict(tensors, strict=False)  # all that decides the result is there: see above
    net.eval().requires_grad_(requires_grad=False)
    return net, card


def as_network(net: nn.Module, card: ModelCard) -> Network:
    """What `load_model` gives, for a back end."""
    planes = (3 if card.plane == "RGB" else 1) + count_planes(card.condition)
    network = Network(
        net, card.name, card.sha256, ARCHITECTURES[card.architecture].residual, planes
    )
    return network if card.best_gain is None else replace(network, gain=card.best_gain)


def read_card(path: Path) -> ModelCard:
    """The card in `path`; ModelError with every fault."""
    if not path.exists():
        raise ModelError(f"{path}: no card; expected it beside the weights")
    try:
        table = read_toml(path, "the card of a network")
    except ValueError as error:
        raise ModelError(str(error)) from None
    problems: list[str] = []
    card = check(ModelCard, table, str(path), problems)
    if card is None:
        raise ModelError("\n".join(problems))
    return card


def save_model(net: nn.Module, card: ModelCard, folder: Path) -> ModelCard:
    """Writes <folder>/<name>.safetensors and .toml, each whole or not at all, and returns the card with the
    hash and the parameter count filled in."""
    tensors = {k: v.detach().float().cpu().contiguous() for k, v in _weights(net).items()}
    data = save_tensors(tensors)
    card = card.model_copy(
        update={
            "sha256": hashlib.sha256(data).hexdigest(),
            "parameters": sum(p.numel() for p in net.parameters()),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{card.name}.safetensors"
    for target, content in ((path, data), (path.with_suffix(".toml"), _toml(card).encode())):
        part = target.with_name(target.name + ".part")
        part.write_bytes(content)
        part.replace(target)
    return card


def model_path(name_or_path: str | Path) -> Path:
    """The safetensors file of a shipped model's name, or of a path. ModelError if there is none."""
    text = str(name_or_path)
    if text.endswith(".safetensors") or "/" in text or "\\" in text:
        path = Path(name_or_path).with_suffix(".safetensors")
        if not path.is_file():
            raise ModelError(f"{path}: no such weights")
        return path
    path = models_dir() / f"{text}.safetensors"
    if not path.is_file():
        raise ModelError(f"model {text!r}: no such model{hint(text, model_names())}")
    return path


def _weights(net: nn.Module) -> dict[str, Tensor]:
    """All of the state that decides the result: not how many batches the statistics were taken over."""
    state = net.state_dict()
    return {key: state[key] for key in state if not key.endswith(".num_batches_tracked")}


def _toml(card: ModelCard) -> str:
    """The card as TOML: strings, integers and one table of floats. JSON strings are TOML basic strings."""
    values = card.model_dump()
    scores: dict[str, float] = values.pop("scores")
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    lines += ["", "[scores]"] + [f"{json.dumps(k)} = {float(v)}" for k, v in scores.items()]
    return "\n".join(lines) + "\n"
