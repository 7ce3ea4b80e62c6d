"""python -m restore.train RECIPE.toml --data DIR --work DIR [--out DIR] [--minutes N]"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from restore.errors import RestoreError
from restore.train.loop import train
from restore.train.processes import is_first


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m restore.train", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument(
        "--data",
        type=Path,
        help="folder that holds the recipe's folders; not needed once shards exist",
    )
    parser.add_argument("--work", type=Path, help="shards and checkpoint; default OUT/<name>.work")
    parser.add_argument(
        "--out", type=Path, default=Path("models"), help="where weights and card go"
    )
    parser.add_argument(
        "--minutes", type=float, help="length of training by the clock instead of iterations"
    )
    parser.add_argument("--shard-minutes", type=float, help="stop making shards after this time")
    parser.add_argument("--fresh", action="store_true", help="ignore an existing checkpoint")
    options = parser.parse_args()

    def progress(line: str) -> None:
        if not is_first():
            return
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        sys.stdout.flush()

    try:
        card = train(
            options.recipe, options.out, options.minutes, not options.fresh, progress,
            data=options.data, work_dir=options.work, shard_minutes=options.shard_minutes,
        )  # fmt: skip
    except RestoreError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    progress(f"{options.out / card.name}.safetensors: {card.iterations} iterations, {card.scores}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
