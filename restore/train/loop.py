"""Training, read top to bottom: pairs -> steps -> checkpoints -> folded weights and their card.

    shards (made from the recipe if absent) -> random patches -> AdamW, warm-up + cosine, Charbonnier then MSE
    -> EMA -> validation by source -> fold -> <out>/<name>.safetensors + .toml

The batch of iteration k is a function of the seed and k alone, so a resumed run continues exactly: a checkpoint holds
weights, optimiser, EMA, the count and the clock, and there is no generator state to lose.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from restore import planes
from restore.errors import TrainError
from restore.nets.files import ModelCard, load_model, save_model
from restore.nets.plain import PlainSR, RepPlainSR
from restore.train.plan import CATEGORIES
from restore.train.recipe import Optim, Recipe, read_recipe
from restore.train.shards import Shards, make_shards, read_shards

VALIDATION_SAMPLES = 300
BORDER = 8
"""High-resolution pixels left out of every score."""


@dataclass
class State:
    """All that changes while training; what a checkpoint holds."""

    net: RepPlainSR
    average: RepPlainSR
    """Exponential moving average of `net`: what is validated and shipped."""
    optimiser: torch.optim.AdamW
    iteration: int = 0
    seconds: float = 0.0
    """Spent in steps so far, over all runs."""


def train(
    recipe_path: Path | str,
    out_dir: Path | str,
    minutes: float | None = None,
    resume: bool = True,
    progress: Callable[[str], None] = lambda _: None,
    *,
    data: Path | str | None = None,
    work_dir: Path | str | None = None,
    shard_minutes: float | None = None,
    device: str | None = None,
) -> ModelCard:
    """Trains the network of a recipe and writes its weights and card to `out_dir`.

    `minutes` replaces the recipe's iteration count by the clock (time of all resumed runs together); 0 takes no step
    and writes what the checkpoint holds.
    `data` holds the folders the recipe names; it is needed only while shards are missing. `work_dir` (default
    <out_dir>/<name>.work) holds shards and checkpoint. Raises TrainError.
    """
    recipe_path, out = Path(recipe_path), Path(out_dir)
    recipe = read_recipe(recipe_path)
    name = recipe.network.name
    work = Path(work_dir) if work_dir else out / f"{name}.work"
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if data is not None:
        make_shards(recipe, Path(data), work / "shards", minutes=shard_minutes, progress=progress)
    pairs, held = read_shards(work / "shards", "train"), read_shards(work / "shards", "val")
    progress(f"{len(pairs)} training samples, {len(held)} held out; {place}, {precision(place)}")

    state = start(recipe, place)
    checkpoint = work / "checkpoint.pt"
    if resume and checkpoint.exists():
        load_checkpoint(checkpoint, state, recipe)
        progress(f"resumed at iteration {state.iteration}, {state.seconds / 60:.1f} min")
    run(state, recipe, pairs, held, checkpoint, minutes, progress)

    plain = state.average.fold().eval()
    scores = validate(plain, held, place)
    command = f"restore train recipes/{recipe_path.name}" + (
        f" --minutes {minutes:g}" if minutes else ""
    )
    card = ModelCard(
        name=name, architecture="plain", channels=plain.channels, blocks=plain.blocks, scale=recipe.network.scale,
        plane="Y", parameters=1, sha256="0" * 64, data=_data_line(recipe, pairs), recipe=f"recipes/{recipe_path.name}",
        command=command, iterations=state.iteration, licence="Apache-2.0",
        weak_at=recipe.network.weak_at or "not stated", scores=scores,
    )  # fmt: skip
    return save_model(plain, card, out)


def start(recipe: Recipe, device: torch.device) -> State:
    """Fresh weights (or the recipe's `init`), an EMA equal to them, and an optimiser."""
    shape = recipe.network
    torch.manual_seed(recipe.optim.seed)
    net = RepPlainSR(shape.channels, shape.blocks, shape.scale)
    if shape.init is not None:
        plain, card = load_model(shape.init)
        wanted = (shape.channels, shape.blocks, shape.scale)
        if not isinstance(plain, PlainSR) or wanted != (card.channels, card.blocks, card.scale):
            raise TrainError(
                f"[network]: init: expected {shape.channels} x {shape.blocks}, x{shape.scale}, got {card.name} with "
                f"{card.channels} x {card.blocks}, x{card.scale} ({card.architecture})"
            )
        net.unfold(plain)
    net.to(device)
    average = RepPlainSR(shape.channels, shape.blocks, shape.scale).to(device)
    average.load_state_dict(net.state_dict())
    average.requires_grad_(requires_grad=False)
    optimiser = torch.optim.AdamW(
        net.parameters(), recipe.optim.rate, betas=(0.9, 0.99), weight_decay=0
    )
    return State(net, average, optimiser)


def run(
    state: State,
    recipe: Recipe,
    pairs: Shards,
    held: Shards,
    checkpoint: Path,
    minutes: float | None,
    progress: Callable[[str], None],
) -> None:
    """Steps until the schedule ends; validates and saves on the way."""
    optim = recipe.optim
    device = next(state.net.parameters()).device
    clock, saved = time.monotonic() - state.seconds, time.monotonic()
    gain = 0.0
    while True:
        state.seconds = time.monotonic() - clock
        done = state.iteration / optim.iterations
        if minutes is not None:
            done = state.seconds / (60 * minutes) if minutes > 0 else 1.0
        if done >= 1:
            break
        low, high = patches(pairs, optim, state.iteration, recipe.network.scale, device)
        loss, db = step(state, low, high, optim, done)
        state.iteration += 1
        gain += (db - gain) * 0.002
        if state.iteration % 50 == 0 and not math.isfinite(loss.item()):
            raise TrainError(
                f"{checkpoint}: the loss became {loss.item()} before iteration {state.iteration}; the checkpoint is from "
                "before that: lower [optim] rate and run the same command again"
            )
        if state.iteration % 500 == 0:
            progress(
                f"{state.iteration} it, {state.seconds / 60:.1f} min, {100 * done:.0f} %, patches {gain:+.3f} dB over Lanczos"
            )
        if time.monotonic() - saved >= optim.checkpoint_seconds:
            save_checkpoint(checkpoint, state, recipe)
            saved = time.monotonic()
        if state.iteration % optim.validate_every == 0:
            paused = time.monotonic()
            scores = validate(state.average.fold().eval(), held, device)
            line = ", ".join(f"{key} {value:+.3f}" for key, value in scores.items())
            progress(f"{state.iteration} it: held-out gain over Lanczos, dB: {line}")
            clock += time.monotonic() - paused
    save_checkpoint(checkpoint, state, recipe)


def step(
    state: State, low: Tensor, high: Tensor, optim: Optim, done: float
) -> tuple[Tensor, float]:
    """One update at schedule position `done` (0..1) from (B, 1, p, p) and (B, 1, s*p, s*p) nominal luma: the loss
    (a tensor, so that nothing waits for the device) and the patches' gain over Lanczos in dB (0 on a GPU)."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(optim, state.iteration, done)
    scale = high.shape[-1] // low.shape[-1]
    base = planes.resample(low, (high.shape[-2], high.shape[-1]))
    dtype = precision(low.device)
    # Blocked or not, oneDNN and cuDNN want the channels together: 1.1x in float32, 5x in bf16.
    image = low.contiguous(memory_format=torch.channels_last)
    with torch.autocast(low.device.type, dtype, enabled=dtype is not torch.float32):
        residual = state.net(image)
    inner = slice(scale * optim.margin, high.shape[-1] - scale * optim.margin)
    truth = (high - base)[..., inner, inner]
    error = residual.float()[..., inner, inner] - truth
    if done < 1 - optim.mse_share:
        loss = torch.sqrt(error**2 + optim.charbonnier**2).mean()
    else:
        loss = (
            error**2
        ).mean() * 20  # about the Charbonnier loss's gradient size at the end of its part
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.net.parameters(), optim.clip)
    state.optimiser.step()
    keep = min(optim.ema, (1 + state.iteration) / (10 + state.iteration))
    with torch.no_grad():
        torch._foreach_lerp_(
            list(state.average.parameters()), list(state.net.parameters()), 1 - keep
        )
    if low.device.type != "cpu":
        return loss.detach(), 0.0
    ratio = (truth**2).mean() / (error.detach() ** 2).mean().clamp_min(1e-12)
    return loss.detach(), 10 * math.log10(max(float(ratio), 1e-12))


def learning_rate(optim: Optim, iteration: int, done: float) -> float:
    """Linear warm-up, then a cosine from `rate` to 0.1 % of it."""
    warm = min(1.0, (iteration + 1) / (optim.warm_up + 1))
    return optim.rate * warm * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def patches(
    pairs: Shards, optim: Optim, iteration: int, scale: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The batch of one iteration: nominal luma (B, 1, p, p) and (B, 1, s*p, s*p), flipped and transposed together."""
    rng = np.random.default_rng([optim.seed, iteration])
    sizes = np.cumsum([len(part) for part in pairs.lr])
    p = optim.crop
    lows, highs = [], []
    for number in rng.integers(sizes[-1], size=optim.batch):
        shard = int(np.searchsorted(sizes, number, side="right"))
        index = int(number - (sizes[shard - 1] if shard else 0))
        lr, hr = pairs.lr[shard], pairs.hr[shard]
        y, x = (int(rng.integers(n - p + 1)) for n in lr.shape[-2:])
        low = lr[index, lr.shape[1] // 2, y : y + p, x : x + p]
        high = hr[index, scale * y : scale * (y + p), scale * x : scale * (x + p)]
        turn = int(rng.integers(8))
        lows.append(_turned(low, turn))
        highs.append(_turned(high, turn))
    return tuple(  # type: ignore[return-value]
        planes.to_nominal(torch.stack(part)[:, None].to(device), 8, full_range=False, chroma=False)
        for part in (lows, highs)
    )


@torch.no_grad()
def validate(net: PlainSR, held: Shards, device: torch.device) -> dict[str, float]:
    """Gain over Lanczos in dB of Y-PSNR (8-bit limited-range codes): the mean per category, the mean of those, and the
    worst single sample. Long validation sets are strided."""
    net = net.to(device)
    gains: dict[str, list[float]] = {category: [] for category in CATEGORIES}
    stride = max(1, len(held) // VALIDATION_SAMPLES)
    number = 0
    for lr, hr, samples in zip(held.lr, held.hr, held.samples, strict=True):
        for low, high, sample in zip(lr, hr, samples, strict=True):
            number += 1
            if number % stride:
                continue
            x = low[None, len(low) // 2 : len(low) // 2 + 1].to(device)
            x = planes.to_nominal(x, 8, full_range=False, chroma=False)
            base = planes.resample(x, (high.shape[-2], high.shape[-1]))
            truth = high[None, None].to(device)
            gain = psnr(base + net(x).float(), truth) - psnr(base, truth)
            gains[sample["sequence"]["category"]].append(gain)
    scores = {f"held-out {k}": round(float(np.mean(v)), 3) for k, v in gains.items() if v}
    scores["held-out mean"] = round(float(np.mean(list(scores.values()))), 3)
    scores["held-out worst sample"] = round(min(min(v) for v in gains.values() if v), 3)
    return scores


def psnr(nominal: Tensor, truth: Tensor) -> float:
    """Y-PSNR in dB of nominal luma against uint8 limited-range codes, border cropped; at most 99."""
    codes = planes.to_codes(nominal, 8, full_range=False, chroma=False).float()
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    mse = ((codes[inner] - truth[inner].float()) ** 2).mean().item()
    return 99.0 if mse == 0 else 10 * math.log10(255**2 / mse)


def precision(device: torch.device) -> torch.dtype:
    """bf16 where the hardware multiplies it: CUDA, AMX, AVX512-BF16. Elsewhere it is emulated, ten times slower."""
    if device.type == "cuda":
        return torch.bfloat16
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def save_checkpoint(path: Path, state: State, recipe: Recipe) -> None:
    """Whole or not at all; refuses to replace a good checkpoint by weights that are not finite."""
    if not all(bool(p.isfinite().all()) for p in state.net.parameters()):
        raise TrainError(
            f"{path}: weights became infinite before iteration {state.iteration}; the last good checkpoint is kept: "
            "lower [optim] rate and run the same command again"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    content: dict[str, Any] = {
        "network": _shape(recipe),
        "net": state.net.state_dict(), "average": state.average.state_dict(), "optimiser": state.optimiser.state_dict(),
        "iteration": state.iteration, "seconds": state.seconds,
    }  # fmt: skip
    torch.save(content, part)
    part.replace(path)


def load_checkpoint(path: Path, state: State, recipe: Recipe) -> None:
    """Into `state`; TrainError if it is damaged or of another network."""
    device = next(state.net.parameters()).device
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and runtime errors alike
        raise TrainError(
            f"{path}: damaged checkpoint ({error}); delete it to start again"
        ) from None
    if content["network"] != _shape(recipe):
        raise TrainError(
            f"{path}: expected a checkpoint of {_shape(recipe)}, got {content['network']}; "
            "choose another work folder or start without resume"
        )
    state.net.load_state_dict(content["net"])
    state.average.load_state_dict(content["average"])
    state.optimiser.load_state_dict(content["optimiser"])
    state.iteration, state.seconds = content["iteration"], content["seconds"]


def _shape(recipe: Recipe) -> dict[str, Any]:
    return recipe.network.model_dump(include={"architecture", "channels", "blocks", "scale"})


def _turned(plane: Tensor, turn: int) -> Tensor:
    """One of the eight symmetries of the square."""
    if turn & 1:
        plane = plane.flip(-1)
    if turn & 2:
        plane = plane.flip(-2)
    return plane.mT if turn & 4 else plane


def _data_line(recipe: Recipe, pairs: Shards) -> str:
    names = {sample["sequence"]["source"] for part in pairs.samples for sample in part}
    stills = (
        sum(name.startswith(tuple(recipe.data.images)) for name in names)
        if recipe.data.images
        else 0
    )
    return (
        f"{len(pairs)} samples from {len(names)} sources ({stills} animated stills, {len(names) - stills} clips), "
        "degraded by real MPEG-1, RealVideo and other encodes"
    )
