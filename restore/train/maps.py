"""What the bitstream says about the frames of packed pairs: the sidecar of a shard.

<shard>.maps.safetensors, made from the encoded files that the shard holds, by the decoder that `restore run` uses
(N samples, C context frames, crop h x w):
  steps   (N, C, h/16, w/16) float16   quantiser step of each macroblock, in 8-bit codes; 0: unknown
  types   (N, C)             uint8     picture type, a place in TYPES; 0: unknown
A sequence that met no video codec says nothing: all 0. Shards from before there were sidecars get theirs when a recipe asks
for conditions.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save
from safetensors.torch import load_file
from torch import Tensor

from restore.errors import RestoreError, TrainError
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.nets.architectures import ConditionName, condition_places, count_planes
from restore.nets.condition import PICTURE_TYPES, steps_to_plane, to_change
from restore.train.files import write_whole

CELL = 16
"""Side of a macroblock, luma samples; samples are cut on this grid."""

TYPES = ("?", *PICTURE_TYPES)


@dataclass(frozen=True)
class Maps:
    """The sidecar of one shard, read."""

    steps: Tensor
    """(N, C, rows, columns) float16."""
    types: Tensor
    """(N, C) uint8."""
    change: Tensor | None = None
    """(N, h, w) float16, nominal luma, of train.front; None: nothing was put before the network."""
    beside: Tensor | None = None
    """(N, planes, h, w) float16, of train.front: the condition `neighbours` for the luma as decoded; None: not wanted."""

    def planes(
        self,
        names: Sequence[ConditionName],
        index: int,
        window: tuple[slice, slice],
        frame: int | None = None,
    ) -> Tensor:
        """(planes, h, w) float32: the planes of nets.condition for one frame of sample `index` (None: the middle
        one, of which alone `change` and `neighbours` are known), where `window` (rows, columns), in samples of the crop, lies."""
        frame = self.steps.shape[1] // 2 if frame is None else frame
        rows, columns = (torch.arange(s.start, s.stop) // CELL for s in window)
        found = torch.zeros(count_planes(names), len(rows), len(columns))
        for name, plane in condition_places(names).items():
            if name == "quantiser":
                steps = self.steps[index, frame][rows[:, None], columns].float()
                found[plane] = steps_to_plane(steps)
            elif name == "change":
                if self.change is not None:
                    found[plane] = to_change(self.change[index, window[0], window[1]].float())
            elif name == "neighbours":
                if self.beside is not None:
                    found[plane] = self.beside[index, :, window[0], window[1]].float()
            else:
                found[plane] = PICTURE_TYPES.get(TYPES[int(self.types[index, frame])], 0.0)
        return found


def sidecar(shard: Path) -> Path:
    """Where the maps of the shard with this index (.json) are."""
    return shard.with_suffix(".maps.safetensors")


def add_maps(folder: Path, progress: Callable[[str], None] = lambda _: None) -> None:
    """Makes the sidecars that shards in `folder` lack. TrainError where a stream no longer gives its frames."""
    for index in sorted(folder.glob("*-*.json")):
        if not sidecar(index).exists():
            make_maps(index)
            progress(f"{index.stem}: quantisers and picture types read from its streams")


def make_maps(index: Path) -> None:
    """The sidecar of the whole shard whose index is `index`."""
    try:
        record = json.loads(index.read_text("utf-8"))
        with safe_open(index.with_suffix(".safetensors"), "numpy") as file:
            stream = file.get_tensor("stream")
            count, context, *_, height, width = file.get_slice("lr").get_shape()
    except Exception as error:  # safetensors raises its own, KeyError, OSError, ValueError ...
        raise TrainError(f"{index}: damaged shard ({error}); delete it and make it again") from None
    steps = np.zeros((count, context, height // CELL, width // CELL), np.float16)
    types = np.zeros((count, context), np.uint8)
    told: dict[int, tuple[NDArray[np.float32], NDArray[np.uint8]] | None] = {}
    for number, sample in enumerate(record["samples"]):
        k = sample["sequence"]
        if k not in told:
            told = {k: _told(index, record["sequences"][k], stream)}  # samples come by sequence
        found = told[k]
        if found is None:
            continue
        grids, kinds = found
        t = np.arange(context) - context // 2 + sample["frame"]
        t = np.clip(t, 0, len(kinds) - 1)
        y, x = sample["y"] // CELL, sample["x"] // CELL
        steps[number] = grids[t, y : y + height // CELL, x : x + width // CELL]
        types[number] = kinds[t]
    write_whole(sidecar(index), save({"steps": steps, "types": types}))


def read_maps(index: Path, samples: int) -> Maps:
    """The sidecar of a shard with so many samples; TrainError if it is missing or damaged."""
    path = sidecar(index)
    try:
        tensors = load_file(path)
        maps = Maps(tensors["steps"], tensors["types"])
    except Exception as error:  # safetensors raises its own, KeyError, OSError ...
        raise TrainError(f"{path}: damaged ({error}); delete it, it will be made again") from None
    if len(maps.types) != samples:
        raise TrainError(
            f"{path}: expected {samples} samples, as the shard has, got {len(maps.types)}; delete it, it will be made "
            "again"
        )
    return maps


def _told(
    index: Path, sequence: dict[str, Any], stream: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """((T, rows, columns) steps, (T,) types) of a sequence; None if it met no video codec."""
    start, length = sequence["stream"]
    if not length or sequence["steps"][-1]["codec"] == "jpeg":
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream"
        path.write_bytes(stream[start : start + length].tobytes())
        try:
            batches = list(decode(probe(path, InputOptions()), quantisers=True))
        except RestoreError as error:
            raise TrainError(
                f"{index}: the stream of {sequence['source']} cannot be decoded ({error}); delete the shard and make "
                "it again"
            ) from None
    frames = [frame for batch in batches for frame in batch.frames]
    quants = [quant for batch in batches for quant in batch.quant]
    fmt = batches[0].format
    shape = (fmt.height // CELL, fmt.width // CELL)
    grids = np.zeros((len(frames), *shape), np.float32)
    for grid, quant in zip(grids, quants, strict=True):
        if quant is not None:
            grid[...] = quant.steps.numpy()[: shape[0], : shape[1]]
    known = [TYPES.index(f.picture_type) if f.picture_type in TYPES else 0 for f in frames]
    return grids, np.array(known, np.uint8)
