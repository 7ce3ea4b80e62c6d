"""What the scores come to: means with intervals, gains paired by item, and the JSON record."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from restore import __version__
from restore.errors import OutputError
from restore.evaluate.intervals import Mean, mean
from restore.evaluate.measures import MEASURES
from restore.evaluate.score import Result
from restore.faults import cannot_write
from restore.writing import json_bytes, write_whole

ALL = "all"
"""In place of a recipe: each item's mean over its recipes, so that items count, not encodes of one item."""


@dataclass(frozen=True)
class Gain:
    """A subject against a resampler, paired by item."""

    set: str
    recipe: str
    method: str
    over: str
    measure: str
    mean: Mean
    worst_item: str
    worst: float
    """The least favourable difference: lowest where more is better, else highest."""


def groups(result: Result) -> list[tuple[str, str]]:
    """(set, recipe) in order; after a set's recipes (set, ALL) where there are several."""
    found: list[tuple[str, str]] = []
    for name in dict.fromkeys(s.set for s in result.scores):
        recipes = list(dict.fromkeys(s.recipe for s in result.scores if s.set == name))
        found += [(name, recipe) for recipe in recipes]
        if len(recipes) > 1:
            found.append((name, ALL))
    return found


def methods(result: Result) -> list[str]:
    return list(dict.fromkeys(s.method for s in result.scores))


def values(result: Result, group: tuple[str, str], method: str, measure: str) -> dict[str, float]:
    """By item that has it; over ALL recipes each item's mean."""
    found: dict[str, list[float]] = {}
    for score in result.scores:
        fits = (score.set, score.method) == (group[0], method) and group[1] in (score.recipe, ALL)
        if fits and measure in score.measures:
            found.setdefault(score.item, []).append(score.measures[measure])
    return {item: sum(each) / len(each) for item, each in found.items()}


def measured(result: Result, group: tuple[str, str]) -> list[str]:
    """The measures that apply to the set."""
    return [m for m in result.measures if values(result, group, result.baselines[0], m)]


def gain(result: Result, group: tuple[str, str], method: str, over: str, measure: str) -> Gain:
    mine, theirs = (values(result, group, m, measure) for m in (method, over))
    each = {item: mine[item] - theirs[item] for item in mine}
    pick = min if MEASURES[measure].higher_is_better else max
    worst = pick(each, key=lambda item: each[item])
    return Gain(*group, method, over, measure, mean(list(each.values())), worst, each[worst])


def gains(result: Result) -> Iterator[Gain]:
    """Of every subject over every resampler, by every measure."""
    for group in groups(result):
        for method in methods(result):
            for over in result.baselines:
                if method not in result.baselines:
                    for measure in measured(result, group):
                        yield gain(result, group, method, over, measure)


def document(result: Result) -> dict[str, Any]:
    """The record, as JSON knows it; docs/evaluate.md describes it."""
    return {
        "restore": __version__,
        "scale": result.scale,
        "subjects": [
            {
                "name": s.name,
                "pipeline": s.spec.fingerprint(),
                "stages": s.spec.document()["stages"],
            }
            for s in result.subjects
        ],
        "measures": {
            name: {
                "title": MEASURES[name].title,
                "higher_is_better": MEASURES[name].higher_is_better,
            }
            for name in result.measures
        },
        "scores": [asdict(score) for score in result.scores],
        "means": [
            {"set": group[0], "recipe": group[1], "method": method, "measure": measure}
            | asdict(mean(list(values(result, group, method, measure).values())))
            for group in groups(result)
            for method in methods(result)
            for measure in measured(result, group)
        ],
        "gains": [
            {k: v for k, v in asdict(g).items() if k != "mean"} | asdict(g.mean)
            for g in gains(result)
        ],
        "notes": list(result.notes),
    }


def check_target(path: Path, overwrite: bool) -> None:
    """OutputError where the record cannot be written: before the work, not after it."""
    if path.exists() and not overwrite:
        raise OutputError(f"--json {path}: exists; use --overwrite to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"--json {path}: the folder {path.parent} does not exist; create it")
    if not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(f"--json {path}: its folder cannot be written to; choose another one")


def write_document(result: Result, path: Path) -> None:
    """Whole or not at all."""
    try:
        write_whole(path, json_bytes(document(result)))
    except OSError as error:
        raise cannot_write(f"--json {path}", error) from None


def item_rows(result: Result, group: tuple[str, str]) -> list[list[str]]:
    """A head and one row per item: Y-PSNR of each method, then each subject's gain over the last resampler."""
    over = result.baselines[-1]
    mine = [m for m in methods(result) if m not in result.baselines]
    head = ["item", *methods(result), *(f"{m} - {over}" for m in mine)]
    columns = {m: values(result, group, m, "psnr") for m in methods(result)}
    rows = [
        [
            item,
            *(f"{columns[m][item]:.2f}" for m in columns),
            *(f"{columns[m][item] - columns[over][item]:+.2f}" for m in mine),
        ]
        for item in columns[over]
    ]
    return [head, *rows]


def mean_rows(result: Result, group: tuple[str, str]) -> list[list[str]]:
    """A head and one row per method, then one per gain, each mean with half its interval."""
    names = measured(result, group)
    head = ["", *(MEASURES[name].title for name in names)]
    rows = [head]
    for method in methods(result):
        found = [mean(list(values(result, group, method, m).values())) for m in names]
        rows.append([method, *_cells(found, names, "")])
    for method in methods(result):
        for over in result.baselines if method not in result.baselines else ():
            differences = [gain(result, group, method, over, m).mean for m in names]
            rows.append([f"{method} - {over}", *_cells(differences, names, "+")])
    return rows


def worst_line(result: Result, group: tuple[str, str], method: str) -> str:
    found = gain(result, group, method, result.baselines[-1], "psnr")
    return f"{method}: worst item {found.worst_item}, {found.worst:+.2f} dB over {found.over}"


def _cells(found: Sequence[Mean], names: Sequence[str], sign: str) -> list[str]:
    cells = []
    for m, name in zip(found, names, strict=True):
        digits = MEASURES[name].digits
        half = "" if m.high is None else f" ± {m.high - m.value:.{digits}f}"
        cells.append(f"{m.value:{sign}.{digits}f}{half}")
    return cells
