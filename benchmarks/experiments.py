"""The questions of old-film super-resolution, each answered by small networks under equal budgets.

    python benchmarks/experiments.py NAME --data TRAIN_POOL --work W [--iterations 800] [--seeds 2]

NAME is one of those in experiment_plans.py, or `all`. Pairs are made once and shared; every arm of every seed is a
training run of its own that resumes where it stopped, and its result is kept: the same command goes on, and shows the
table again once all is done. The budget is the same number of iterations, patches and pairs for every arm; the seed
decides weights and patches, never the pairs.

Two arms are told apart only where their means differ by more than twice the larger range over the seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from experiment_plans import EXPERIMENTS, POOLS, Arm, Experiment, Trial

from restore.errors import RestoreError
from restore.train.files import write_whole
from restore.train.loop import Run, run
from restore.train.losses import objective
from restore.train.networks import ship
from restore.train.recipe import Optim, Recipe
from restore.train.shards import Shards, make_shards, read_shards
from restore.train.state import State, load_checkpoint, start
from restore.train.validation import validate

CPU = torch.device("cpu")

Values = dict[str, float]
"""Gain over Lanczos in dB per test."""


def pairs(pool: str, data: Path, work: Path) -> Path:
    """The folder of a pool's shards, made if need be. Decoded clips are shared between pools."""
    folder = work / "pools" / pool
    clips = work / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "clips").exists():
        (folder / "clips").symlink_to(clips.resolve())
    make_shards(POOLS[pool], data, folder, workers=1, progress=lambda line: say(f"{pool}: {line}"))
    return folder


def learn(arm: Arm, seed: int, iterations: int, data: Path, folder: Path, work: Path) -> State:
    """Trains an arm, or goes on with it."""
    pool = POOLS[arm.pool]
    optim = Optim(
        **{"iterations": iterations, "batch": 8, "crop": 32, "rate": 2e-3, "warm_up": 100}
        | {"validate_every": iterations, "checkpoint_seconds": 30, "ema": 0.995, "seed": seed}
        | arm.optim
    )
    recipe = Recipe(
        data=pool.data, degrade=pool.degrade, network=arm.network, optim=optim, loss=arm.loss
    )
    shards = pairs(arm.pool, data, work)
    state = start(recipe, CPU)
    if arm.make is not None:
        torch.manual_seed(seed)
        net = arm.make()
        average = arm.make()
        average.load_state_dict(net.state_dict())
        average.requires_grad_(requires_grad=False)
        optimiser = torch.optim.AdamW(
            net.parameters(), optim.rate, betas=(0.9, 0.99), weight_decay=0
        )
        state = replace(state, net=net, average=average, optimiser=optimiser)
    maps = bool(arm.network.condition)
    job = Run(
        recipe, arm.name, read_shards(shards, "train", maps=maps),
        only(read_shards(shards, "val", maps=maps), ()), objective(recipe, CPU), folder, None, say,
    )  # fmt: skip
    if job.checkpoint.exists():
        load_checkpoint(job.checkpoint, state, recipe)
    run(state, job)
    return state


def only(held: Shards, categories: Sequence[str]) -> Shards:
    """Of a validation set the samples of these categories; none: the first of each, for the report."""
    kept = []
    seen: list[str] = []
    for index, sample in enumerate(held.samples[0]):
        category = sample["sequence"]["category"]
        if category in categories or (not categories and seen.count(category) < 2):
            kept.append(index)
        seen.append(category)
    maps = [replace(m, steps=m.steps[kept], types=m.types[kept]) for m in held.maps]
    return Shards(
        [held.lr[0][kept]], [held.hr[0][kept]], [[held.samples[0][k] for k in kept]], maps
    )


def trial_gain(state: State, arm: Arm, trial: Trial, data: Path, work: Path) -> float:
    """Mean over the test's categories."""
    maps = bool(arm.network.condition)
    folder = pairs(arm.pool if trial.pool == "own" else trial.pool, data, work)
    held = only(read_shards(folder, "val", maps=maps), trial.categories)
    scores = validate(ship(state.average), held, arm.network, CPU)
    return scores.gains[trial.key]


def result(experiment: str, arm: Arm, seed: int, iterations: int, data: Path, work: Path) -> Values:
    """What an arm reached, from the file that holds it or by training."""
    name = f"{arm.name}-{seed}-{iterations}".replace(" ", "_")
    path = work / "results" / experiment / f"{name}.json"
    if path.exists():
        found: Values = json.loads(path.read_text("utf-8"))["gains"]
        return found
    before = time.process_time()
    state = learn(arm, seed, iterations, data, work / "runs" / experiment / name, work)
    values = {t.name: trial_gain(state, arm, t, data, work) for t in EXPERIMENTS[experiment].trials}
    seconds = time.process_time() - before
    write_whole(path, json.dumps({"gains": values, "cpu_seconds": round(seconds, 1)}).encode())
    say(f"{experiment}, {name}: {seconds:.0f} s of one core, {values}")
    return values


def table(plan: Experiment, found: dict[str, list[Values]]) -> list[str]:
    """Markdown: mean over the seeds, and the range they span."""
    names = [t.name for t in plan.trials]
    lines = [
        "| trained with | " + " | ".join(f"tested on: {n}" for n in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for arm, values in found.items():
        cells = [_cell([v[n] for v in values]) for n in names]
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return lines


def verdicts(plan: Experiment, found: dict[str, list[Values]]) -> list[str]:
    """Per test, what the spread of the seeds allows to say of the best arm."""
    lines = []
    for trial in plan.trials:
        values = {arm: [v[trial.name] for v in runs] for arm, runs in found.items()}
        best, *rest = sorted(values, key=lambda a: -statistics.mean(values[a]))
        for arm in rest:
            gap = statistics.mean(values[best]) - statistics.mean(values[arm])
            spread = max(_range(values[best]), _range(values[arm]))
            told = (
                f"{best} beats {arm}"
                if gap > 2 * spread
                else f"{best} and {arm} are not told apart"
            )
            lines.append(f"- {trial.name}: {told} ({gap:+.3f} dB, the seeds span {spread:.3f})")
    return lines


def _cell(values: Sequence[float]) -> str:
    if any(map(math.isnan, values)):
        return "-"
    return f"{statistics.mean(values):+.3f} ± {_range(values) / 2:.3f}"


def _range(values: Sequence[float]) -> float:
    return max(values) - min(values)


def say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("--data", type=Path, required=True, help="folder with clips2/ and images/")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = list(EXPERIMENTS) if options.name == "all" else [options.name]
    try:
        for name in names:
            plan = EXPERIMENTS[name]
            found: dict[str, list[Values]] = {arm.name: [] for arm in plan.arms}
            for seed in range(1, options.seeds + 1):
                for arm in plan.arms:
                    found[arm.name].append(
                        result(name, arm, seed, options.iterations, options.data, options.work)
                    )
            lines = [f"## {name}: {plan.question}", "", *table(plan, found), ""]
            sys.stdout.write("\n".join([*lines, *verdicts(plan, found), "", ""]))
            sys.stdout.flush()
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
