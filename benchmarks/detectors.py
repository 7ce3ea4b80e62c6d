"""How often each detector of `restore inspect` finds what is there, and what is not: on made-up film.

    python benchmarks/detectors.py [--trials 100]

The trials are those of tests/inspect/trials.py, with as many seeds as asked for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.inspect.trials import TRIALS, count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=50)
    options = parser.parse_args()
    print("| detector | trials with | recall | trials without | false alarms |")
    print("|---|---|---|---|---|")
    for name in TRIALS:
        found = count(name, options.trials)
        print(
            f"| {name} | {found.positives} | {found.recall:.2f} | {found.negatives} | {found.false_alarms:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
