"""Training, read top to bottom: pairs -> steps -> checkpoints -> folded weights and their card.

    shards (made from the recipe if absent) -> random patches -> AdamW, warm-up + cosine, the recipe's losses
    -> EMA -> validation by source, report -> fold -> <out>/<name>.safetensors + .toml

The batch of iteration k is a function of the seed and k alone, so a resumed run continues exactly: a checkpoint holds
weights, optimisers, EMA, the count and the clock, and there is no generator state to lose.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from restore.errors import TrainError
from restore.nets.engine import native_bf16
from restore.nets.files import ModelCard, save_model
from restore.train.batches import patches
from restore.train.drawn import NAME as DRAWN
from restore.train.files import writing
from restore.train.front import add_fronts, read_front
from restore.train.losses import Objective, objective
from restore.train.maps import add_maps
from restore.train.networks import predict, ship
from restore.train.processes import ALONE, Processes, choose_device, processes
from restore.train.recipe import Degrade, Optim, Recipe, find_recipe, read_recipe
from restore.train.report import write_report
from restore.train.sequences import frame_weights, sequence_patches
from restore.train.shards import Shards, make_shards, read_shards
from restore.train.state import (
    Look,
    State,
    check_finite,
    load_checkpoint,
    save_checkpoint,
    start,
)
from restore.train.validation import validate


@dataclass(frozen=True)
class Run:
    """What stays the same while training."""

    recipe: Recipe
    recipe_name: str
    pairs: Shards
    held: Shards
    objective: Objective
    work: Path
    minutes: float | None
    progress: Callable[[str], None]
    group: Processes = ALONE

    @property
    def checkpoint(self) -> Path:
        return self.work / "checkpoint.pt"


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
    <out_dir>/<name>.work) holds shards, checkpoint and report. Under torchrun all its processes train together; the
    first one writes and speaks. Raises TrainError.
    """
    recipe_path, out = find_recipe(Path(recipe_path)), Path(out_dir)
    recipe = read_recipe(recipe_path)
    for name, folder in (("--out", out), ("--work", work_dir), ("--data", data)):
        if folder is not None and Path(folder).exists() and not Path(folder).is_dir():
            raise TrainError(f"{name} {folder}: expected a folder, found a file")
    if data is not None and not Path(data).exists():
        raise TrainError(f"--data {data}: no such folder")
    wanted = recipe.network.front
    front = read_front(wanted, recipe.data.context, recipe.network.condition) if wanted else None
    work = Path(work_dir) if work_dir else out / f"{recipe.network.name}.work"
    shards = work / "shards"
    place = choose_device(device)
    with processes(place, recipe.optim.batch) as group:
        say = progress if group.first else lambda _: None
        if data is not None:
            root = Path(data)
            group.once(
                lambda: make_shards(recipe, root, shards, minutes=shard_minutes, progress=say)
            )
        conditioned = bool(recipe.network.condition)
        if conditioned:
            group.once(lambda: add_maps(shards, say))
        if front is not None:
            group.once(lambda: add_fronts(shards, front, recipe.network.condition, say))
        pairs, held = (
            read_shards(shards, kind, maps=conditioned, front=front is not None)
            for kind in ("train", "val")
        )
        say(f"{len(pairs)} training samples, {len(held)} held out; {place}, {precision(place)}")
        job = Run(
            recipe, recipe_path.name, pairs, held, objective(recipe, place), work, minutes, say, group
        )  # fmt: skip
        state = start(recipe, place)
        if resume and job.checkpoint.exists():
            load_checkpoint(job.checkpoint, state, recipe)
            say(f"resumed at iteration {state.iteration}, {state.seconds / 60:.1f} min")
        run(state, job)
        return group.once(lambda: _write(state, job, out))


def run(state: State, job: Run) -> None:
    """Steps until the schedule ends or nothing more is gained; validates and saves on the way."""
    optim, shape, group = job.recipe.optim, job.recipe.network, job.group
    device = next(state.net.parameters()).device
    clock, saved = time.monotonic() - state.seconds, time.monotonic()
    gain = 0.0
    while True:
        state.seconds = time.monotonic() - clock
        done = _position(state, job)
        if job.minutes is not None or optim.patience:  # else all know it
            done = group.agree(done)
        if done >= 1:
            break
        draw = sequence_patches if shape.recurrent else patches
        low, high = draw(
            job.pairs, optim, state.iteration, shape.scale, device, group, shape.condition
        )
        loss, db = step(state, low, high, job.recipe, job.objective, done, group)
        state.iteration += 1
        state.loss_sum += loss
        gain += (db - gain) * 0.002
        if state.iteration % 50 == 0:
            check_finite(job.checkpoint, state, loss.item())
        if state.iteration % 500 == 0:
            job.progress(
                f"{state.iteration} it, {state.seconds / 60:.1f} min, {100 * done:.0f} %, patches {gain:+.3f} dB over {shape.base}"
            )
        is_due = state.iteration % optim.validate_every == 0
        if group.first and is_due:
            paused = time.monotonic()
            look(state, job)
            clock += time.monotonic() - paused
        # Behind the look, so that a run that stops in between looks again.
        if group.first and (is_due or time.monotonic() - saved >= optim.checkpoint_seconds):
            save_checkpoint(job.checkpoint, state, job.recipe)
            saved = time.monotonic()
    if group.first:
        if not state.looks or state.looks[-1].iteration != state.iteration:
            look(state, job)
        save_checkpoint(job.checkpoint, state, job.recipe)


def _position(state: State, job: Run) -> float:
    """Where in the schedule the next step is, 0 to 1; 1 and more: there is none."""
    if state.stalled(job.recipe.optim.patience):
        job.progress(
            f"{state.iteration} it: no gain in {job.recipe.optim.patience} validations; the best was at "
            f"{state.best_look().iteration} it"
        )
        return 1.0
    if job.minutes is None:
        return state.iteration / job.recipe.optim.iterations
    return state.seconds / (60 * job.minutes) if job.minutes > 0 else 1.0


def step(
    state: State,
    low: Tensor,
    high: Tensor,
    recipe: Recipe,
    losses: Objective,
    done: float,
    group: Processes = ALONE,
) -> tuple[Tensor, float]:
    """One update at schedule position `done` (0..1) from (B, 1 + k, p, p) and (B, 1, s*p, s*p), as `patches` gives them, or
    sequences: the loss (a tensor, so that nothing waits for the device) and the patches' gain over the base in dB (0 on
    a GPU)."""
    optim, scale = recipe.optim, recipe.network.scale
    for setting in state.optimiser.param_groups:
        setting["lr"] = learning_rate(optim, state.iteration, done)
    base, residual = predict(state.net, recipe.network, low, precision(low.device))
    inner = slice(scale * optim.margin, high.shape[-1] - scale * optim.margin)
    truth = (high - base)[..., inner, inner]
    target = high[..., inner, inner]
    error = residual[..., inner, inner] - truth
    if recipe.network.recurrent:
        weights = frame_weights(error.shape[1])
        each = [
            weight * losses(error[:, t], target[:, t], done, state.adversary)
            for t, weight in enumerate(weights)
        ]
        loss = torch.stack(each).mean()
        # What else learns from this step sees pictures.
        error, target = error.flatten(0, 1), target.flatten(0, 1)
    else:
        loss = losses(error, target, done, state.adversary)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    group.average(state.net)
    if state.symmetry is not None:
        state.symmetry.average_gradients()
    nn.utils.clip_grad_norm_(state.net.parameters(), optim.clip)
    state.optimiser.step()
    if state.adversary is not None and losses.adversarial(done):
        state.adversary.learn(target + error, target, optim.clip, group)
    keep = min(optim.ema, (1 + state.iteration) / (10 + state.iteration))
    with torch.no_grad():
        torch._foreach_lerp_(
            list(state.average.parameters()), list(state.net.parameters()), 1 - keep
        )
        for kept, latest in zip(state.average.buffers(), state.net.buffers(), strict=True):
            kept.copy_(latest)  # a batch norm's statistics are averages already
    if low.device.type != "cpu":
        return loss.detach(), 0.0
    ratio = (truth**2).mean() / (error.detach() ** 2).mean().clamp_min(1e-12)
    return loss.detach(), 10 * math.log10(max(float(ratio), 1e-12))


def learning_rate(optim: Optim, iteration: int, done: float) -> float:
    """Linear warm-up, then a cosine from `rate` to 0.1 % of it."""
    warm = min(1.0, (iteration + 1) / (optim.warm_up + 1))
    return optim.rate * warm * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))


def look(state: State, job: Run) -> None:
    """Validates the average, notes it, keeps what the recipe wants kept, and writes the report. TrainError if there is
    nothing to validate: weights that are not finite."""
    check_finite(job.checkpoint, state)
    optim, net = job.recipe.optim, ship(state.average)
    device = next(state.net.parameters()).device
    scores = validate(net, job.held, job.recipe.network, device)
    since = state.iteration - (state.looks[-1].iteration if state.looks else 0)
    loss = float(state.loss_sum) / since if since else math.nan
    state.looks.append(Look(state.iteration, state.seconds, loss, scores))
    state.loss_sum = torch.zeros_like(state.loss_sum)
    if optim.patience and state.best_look() is state.looks[-1]:
        state.best = {key: value.clone() for key, value in state.average.state_dict().items()}
    line = ", ".join(f"{key} {value:+.3f}" for key, value in scores.gains.items())
    if scores.kept is not None:
        line += f"; of input without damage {scores.kept:.1f} dB are left"
    job.progress(f"{state.iteration} it: held-out gain over {job.recipe.network.base}, dB: {line}")
    if optim.snapshots and len(state.looks) % optim.snapshots == 0:
        card = _card(job, state.looks[-1])
        card = card.model_copy(update={"name": f"{card.name}-{state.iteration:07d}"})
        with writing(job.work / "snapshots"):
            save_model(net, card, job.work / "snapshots")
    write_report(job.work / "report.html", job.recipe, state.looks, net, job.held)


def precision(device: torch.device) -> torch.dtype:
    """bf16 where the hardware multiplies it: CUDA, AMX, AVX512-BF16. Elsewhere it is emulated, ten times slower."""
    return torch.bfloat16 if device.type == "cuda" or native_bf16() else torch.float32


def _write(state: State, job: Run, out: Path) -> ModelCard:
    """The weights that ship: the last average, or the best one where the recipe stops early."""
    shown = state.looks[-1]
    if state.best:
        shown = state.best_look()
        state.average.load_state_dict(state.best)
    with writing(out):
        return save_model(ship(state.average), _card(job, shown), out)


def _card(job: Run, shown: Look) -> ModelCard:
    shape, recipe = job.recipe.network, f"recipes/{job.recipe_name}"
    command = f"restore train {recipe}" + (f" --minutes {job.minutes:g}" if job.minutes else "")
    return ModelCard(
        name=shape.name, architecture=shape.architecture, channels=shape.channels, blocks=shape.blocks, scale=shape.scale,
        plane=shape.plane, condition=shape.condition, parameters=1, sha256="0" * 64, data=_data_line(job.recipe, job.pairs), recipe=recipe,
        command=command, iterations=shown.iteration, licence="Apache-2.0", weak_at=shape.weak_at or "not stated",
        scores=shown.scores.on_card(),
    )  # fmt: skip


def _data_line(recipe: Recipe, pairs: Shards) -> str:
    names = {sample["sequence"]["source"] for part in pairs.samples for sample in part}
    drawn = DRAWN in names
    names.discard(DRAWN)
    stills = sum(name.startswith(tuple(recipe.data.images)) for name in names)
    return (
        f"{len(pairs)} samples from {len(names)} sources ({stills} animated stills, {len(names) - stills} clips)"
        f"{' and drawn stills' if drawn else ''}, {_damage_line(recipe.degrade)}"
    )


def _damage_line(chain: Degrade) -> str:
    if chain.clean_share == 1:
        return "reduced in size only: no codec"
    if chain.jpeg_share == 1:
        low, high = chain.jpeg_quality
        return f"grey JPEG of quality {low:g} to {high:g}"
    return "degraded by real MPEG-1, RealVideo and other encodes"
