"""Packed training pairs: files that a machine without codecs can read.

A shard is one safetensors file, uint8 throughout (N samples, C context frames, crop h x w, scale s):
  lr      (N, C, h, w)      decoded luma codes, C consecutive frames (edge frames repeated at the ends)
  hr      (N, s*h, s*w)     clean luma codes of the middle frame
                            (of R, G, B: lr (N, C, 3, h, w), hr (N, 3, s*h, s*w); see train.colour)
                            (where truth = "all": hr (N, C, s*h, s*w), with flow and trust; see train.passage)
  stream  (bytes)           the encoded files of all sequences, one after another
and beside it <name>.json: {"recipe": hash, "samples": [...], "sequences": [...]}, where a sample names its
sequence, middle frame and position, and a sequence its source, plan, encoder arguments, real bits per pixel, input
PSNR and the (start, length) of its file within `stream`. So quantisers and motion vectors stay available to
whoever can decode, and a temporal front can be put before the network later. Quantisers and picture types of the
samples lie beside it, in a sidecar (see train.maps).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from safetensors.torch import load_file
from torch import Tensor

from restore.errors import TrainError
from restore.train.codecs import Codes
from restore.train.colour import to_420
from restore.train.degrade import Pair, degrade
from restore.train.files import WriteError, write_whole, writing
from restore.train.front import read_fronts
from restore.train.maps import Maps, make_maps, read_maps
from restore.train.passage import Passages, find_passages, read_passages
from restore.train.plan import Category, draw, validated
from restore.train.recipe import Data, Recipe
from restore.train.sources import Library, Source, find_sources

FAILURES = 0.1
"""Share of sequences that may fail before the recipe or the codecs are to blame."""


LATER_STEPS = (("duplicate", "dnr", "resize"), ("jpeg",), ("phase",), ("film",))
"""Steps of the chain that came after the first shards, those that came together side by side. A recipe that uses none
of them makes the pairs it made before, so it keeps the fingerprint it had."""


@dataclass(frozen=True)
class Shards:
    """Shards read into memory (mapped, as far as the system does that)."""

    lr: list[Tensor]
    hr: list[Tensor]
    samples: list[list[dict[str, Any]]]
    """Per shard, per sample: its record, with its sequence's record under 'sequence'."""
    maps: list[Maps] = field(default_factory=list)
    """Per shard; [] unless asked for."""
    passages: list[Passages] = field(default_factory=list)
    """Motion between the frames of each sample, per shard; [] unless all frames have their truth."""

    def __len__(self) -> int:
        return sum(len(part) for part in self.lr)


def make_shards(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    minutes: float | None = None,
    workers: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Makes val-000 and the training shards that are not in `out` yet. With `minutes`, stops handing out work after
    that time (at least the validation shard and one training shard are made). The content of a shard depends on
    the recipe and its number alone, not on workers or interruptions."""
    check_same_recipe(recipe, out)
    train, validation = find_sources(recipe.data, data)
    started = time.monotonic()
    names = ["val-000", *(f"train-{k:03d}" for k in range(recipe.data.shards))]
    jobs = [name for name in names if not (out / f"{name}.json").exists()]
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    workers = min(workers or os.cpu_count() or 1, max(1, len(jobs)))

    def work() -> Any:
        for k, name in enumerate(jobs):
            if minutes is not None and k > 1 and time.monotonic() - started > 60 * minutes:
                return
            yield recipe, name, validation if name.startswith("val") else train, out

    if workers == 1:
        for job in work():
            progress(_make_shard(job))
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        pending: set[Future[str]] = set()
        try:
            for job in work():
                pending.add(pool.submit(_make_shard, job))
                while len(pending) >= workers:
                    pending = _collect(pending, progress)
            while pending:
                pending = _collect(pending, progress)
        except BrokenProcessPool:
            raise TrainError(
                f"{out}: a process that made shards was ended from outside (out of memory?); shards that are whole are "
                "kept: run the same command again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def read_shards(folder: Path, kind: str, *, maps: bool = False, front: bool = False) -> Shards:
    """All shards of `kind` ('train' or 'val') in `folder`, with their `maps` if wanted, and with what a `front` changed in
    these; TrainError if there are none or one is damaged."""
    shards = Shards([], [], [])
    for path in sorted(folder.glob(f"{kind}-*.json")):
        try:
            record = json.loads(path.read_text("utf-8"))
            tensors = load_file(path.with_suffix(".safetensors"))
            shards.lr.append(tensors["lr"])
            shards.hr.append(tensors["hr"])
            if "flow" in tensors:
                shards.passages.append(read_passages(tensors))
            sequences = record["sequences"]
            shards.samples.append(
                [
                    sample | {"sequence": sequences[sample["sequence"]]}
                    for sample in record["samples"]
                ]
            )
        except Exception as error:  # safetensors raises its own, KeyError, OSError, ValueError ...
            raise TrainError(
                f"{path}: damaged shard ({error}); delete it and make it again"
            ) from None
        if maps:
            known = read_maps(path, len(shards.lr[-1]))
            if front:
                fronts = read_fronts(path, len(shards.lr[-1]))
                known = replace(known, change=fronts["change"], beside=fronts.get("beside"))
            shards.maps.append(known)
    if not shards.lr:
        raise TrainError(
            f"{folder}: no {kind}-*.safetensors shards; give --data, the folder of clean material that they are made from"
        )
    return shards


def _collect(pending: set[Future[str]], progress: Callable[[str], None]) -> set[Future[str]]:
    """Waits for at least one; tells of those done, and returns the others."""
    done, others = wait(pending, return_when=FIRST_COMPLETED)
    for job in done:
        progress(job.result())
    return others


def check_same_recipe(recipe: Recipe, out: Path) -> None:
    """TrainError where `out` holds shards that another recipe makes."""
    for path in sorted(out.glob("*.json"))[:1]:
        if json.loads(path.read_text("utf-8"))["recipe"] != _fingerprint(recipe):
            raise TrainError(
                f"{out}: holds shards of another [data] or [degrade]; choose another folder or delete them"
            )


def _fingerprint(recipe: Recipe) -> str:
    dumped = recipe.model_dump_json(include={"data": True, "degrade": True, "network": {"scale"}})
    tables = json.loads(dumped)
    for steps in LATER_STEPS:
        if all(getattr(recipe.degrade, f"{step}_share") == 0 for step in steps):
            for key in [k for k in tables["degrade"] if k.startswith(steps)]:
                del tables["degrade"][key]
    if recipe.data.crisp_share == 0:
        del tables["data"]["crisp_share"], tables["data"]["crisp_amount"]
    for key in ("steady_share", "drawn_share", "truth"):
        if getattr(recipe.data, key) == Data.model_fields[key].default:
            del tables["data"][key]
    if recipe.network.plane == "RGB":
        tables["network"]["plane"] = "RGB"
    text = json.dumps(tables, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _make_shard(job: tuple[Recipe, str, list[Source], Path]) -> str:
    recipe, name, sources, out = job
    cv2.setNumThreads(1)  # the pool is the parallelism
    data = recipe.data
    is_val = name.startswith("val")
    count = data.val_sequences if is_val else data.shard_sequences
    library = Library(
        data, out / "clips", recipe.network.scale, colour=recipe.network.plane == "RGB"
    )
    categories = validated(recipe.degrade)
    lr: list[Codes] = []
    hr: list[Codes] = []
    passages: list[dict[str, NDArray[Any]]] = []
    samples: list[dict[str, Any]] = []
    sequences: list[dict[str, Any]] = []
    streams: list[bytes] = []
    failed: list[str] = []
    for k in range(count):
        rng = np.random.default_rng([data.seed, recipe.degrade.seed, int(name[-3:]), k, is_val])
        category: Category | None = categories[k % len(categories)] if is_val else None
        try:
            frames, record = library.sequence(sources, rng)
            with tempfile.TemporaryDirectory() as folder:
                plan = draw(recipe.degrade, rng, category)
                pair = degrade(frames, plan, recipe.network.scale, rng, Path(folder))
        except WriteError:
            raise
        except TrainError as error:
            failed.append(str(error))
            if len(failed) > 2 + FAILURES * count:
                raise TrainError(f"{name}: too many sequences failed; the last: {error}") from None
            continue
        start = sum(map(len, streams))
        sequences.append(record | pair.record | {"stream": [start, len(pair.stream)]})
        streams.append(pair.stream)
        chosen = _choose(pair, data, rng)
        for sample in chosen:
            low, high = _cut(pair, sample, data, recipe.network.scale)
            lr.append(low)
            hr.append(high)
            samples.append(sample | {"sequence": len(sequences) - 1})
        if data.truth == "all":
            passages += find_passages(pair.decoded, chosen, data.crop, data.context)
    tensors: dict[str, NDArray[Any]] = {
        "lr": np.stack(lr), "hr": np.stack(hr),
        "stream": np.frombuffer(b"".join(streams), np.uint8),
    }  # fmt: skip
    if passages:
        tensors |= {key: np.stack([p[key] for p in passages]) for key in passages[0]}
    path = out / f"{name}.safetensors"
    write_whole(path, save(tensors))
    index = {
        "recipe": _fingerprint(recipe), "samples": samples, "sequences": sequences, "failed": failed,
    }  # fmt: skip
    # Last: its presence says that the shard is whole.
    write_whole(path.with_suffix(".json"), json.dumps(index).encode())
    make_maps(path.with_suffix(".json"))
    return f"{name}: {len(samples)} samples of {len(sequences)} sequences, {len(failed)} failed"


def _choose(pair: Pair, data: Data, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Middle frames and positions, on the macroblock grid; of two draws the more textured one mostly wins."""
    luma = pair.decoded if pair.decoded.ndim == 3 else to_420(pair.decoded)[0]
    count, height, width = luma.shape
    crop = data.crop
    # A frame that is repeated at an end has no motion and no truth of its own.
    edge = data.context // 2 if data.truth == "all" else 0
    chosen = []
    for t in edge + rng.permutation(count - 2 * edge)[: min(data.keep, count)]:
        places = [
            (
                int(rng.integers((height - crop) // 16 + 1)) * 16,
                int(rng.integers((width - crop) // 16 + 1)) * 16,
            )
            for _ in range(2)
        ]
        places.sort(key=lambda p: float(luma[t, p[0] : p[0] + crop, p[1] : p[1] + crop].std()))
        y, x = places[1] if rng.random() < 0.75 else places[0]
        chosen.append({"frame": int(t), "y": y, "x": x})
    return chosen


def _cut(pair: Pair, sample: dict[str, Any], data: Data, scale: int) -> tuple[Codes, Codes]:
    t, y, x = sample["frame"], sample["y"], sample["x"]
    crop, reach = data.crop, data.context // 2
    window = np.clip(np.arange(t - reach, t + reach + 1), 0, len(pair.decoded) - 1)
    low = pair.decoded[window, y : y + crop, x : x + crop]
    shown = window if data.truth == "all" else t
    high = pair.truth[shown, scale * y : scale * (y + crop), scale * x : scale * (x + crop)]
    if low.ndim == 4:
        return np.ascontiguousarray(low.transpose(0, 3, 1, 2)), np.ascontiguousarray(
            high.transpose(2, 0, 1)
        )
    return low, high
