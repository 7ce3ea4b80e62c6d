"""Many files through one pipeline: `restore batch`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from restore.errors import InputError, OutputError, PipelineFileError
from restore.faults import told
from restore.io.output import CONTAINERS
from restore.options import Options, check, read_toml
from restore.pipeline import PipelineSpec, find_pipeline, read_pipeline
from restore.placing import read_plain

_RECORD_LIMIT = 1 << 28

VIDEO = frozenset(
    {
        *(".rm", ".rmvb", ".avi", ".divx", ".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".dat", ".vob"),
        *(".ts", ".m2ts", ".mts", ".mkv", ".mp4", ".m4v", ".mov", ".qt", ".webm", ".wmv", ".asf"),
        *(".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".ogm", ".mxf", ".dv", ".amv", ".mod", ".tod"),
    }
)
"""Endings that are taken for videos in a folder; a pattern takes what it matches."""


class Sidecar(Options):
    """What one file of a batch wants otherwise: NAME.toml beside NAME."""

    pipeline: str | None = None
    """Instead of the batch's."""
    set: list[str] = []
    """Settings as `--set` takes them; they win over the batch's own."""
    start: str | None = None
    """Begin here, as `--start`."""
    end: str | None = None
    """Stop here, as `--end`."""
    output: str | None = None
    """Name of the output in the batch's folder."""
    skip: bool = False
    """Leave the file out."""


@dataclass(frozen=True)
class Entry:
    """One file of a batch, whose settings have been checked."""

    input: Path
    output: Path
    spec: PipelineSpec
    start: str | None
    end: str | None
    skip: bool
    problems: tuple[str, ...] = ()
    """Of its sidecar and its names: such a file is not restored, the others are."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    entry: Entry
    state: Literal["done", "there", "skipped", "failed"]
    """there: the output exists already, it was not touched."""
    error: BaseException | None = None
    """failed: why."""
    losses: tuple[str, ...] = ()
    """done: what the output lacks of its source."""


def plan(
    where: str,
    pipeline: str,
    folder: Path,
    overrides: Sequence[str] = (),
    suffix: str = ".mkv",
) -> list[Entry]:
    """The files of a folder, or those that match a pattern, in order of their names, each with its sidecar's settings and
    what is wrong with them. Raises InputError where there is none, OutputError for the output folder, PipelineFileError
    with every problem of the pipeline itself."""
    inputs = _inputs(where)
    if suffix not in CONTAINERS:
        raise OutputError(
            f"--container {suffix}: expected one of {', '.join(CONTAINERS)}, got {suffix!r}"
        )
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--out {folder}: expected a folder, found a file")
    if any(path.parent.resolve() == folder.resolve() for path in inputs):
        raise OutputError(
            f"--out {folder}: holds the inputs; the next batch would take the outputs for some: choose another folder"
        )
    usual = read_pipeline(find_pipeline(pipeline), overrides)
    stems = Counter(path.stem for path in inputs)
    entries = []
    for path in inputs:
        name = (path.stem if stems[path.stem] == 1 else path.name) + suffix
        entries.append(_entry(path, folder, name, usual, pipeline, overrides))
    outputs = Counter(e.output.name for e in entries if not e.skip)
    return [_alone(entry, outputs[entry.output.name]) for entry in entries]


def _entry(
    path: Path,
    folder: Path,
    name: str,
    usual: PipelineSpec,
    pipeline: str,
    overrides: Sequence[str],
) -> Entry:
    """One file; `name`: of its output, where its sidecar says nothing; `usual`: the batch's pipeline, of the name
    `pipeline`."""
    problems: list[str] = []
    sidecar, spec = _sidecar(path, problems), usual
    output = folder / name
    if sidecar.output is not None:
        wanted = folder / sidecar.output
        if (
            wanted.parent != folder
            or wanted.suffix.lower() not in CONTAINERS
            or "\0" in wanted.name
        ):
            problems.append(
                f"{path.name}.toml: output: expected a file name that ends in {', '.join(CONTAINERS)}, "
                f"got {sidecar.output!r}"
            )
        else:
            output = wanted
    if sidecar.pipeline is not None or sidecar.set:
        try:
            spec = read_pipeline(
                find_pipeline(sidecar.pipeline or pipeline), [*overrides, *sidecar.set]
            )
        except PipelineFileError as error:
            problems += [f"{path.name}.toml: {p}" for p in error.problems]
    return Entry(path, output, spec, sidecar.start, sidecar.end, sidecar.skip, tuple(problems))


def _alone(entry: Entry, count: int) -> Entry:
    """`entry`, with a problem where `count` files would get its output's name."""
    if count < 2 or entry.skip:
        return entry
    problem = f"{entry.output.name}: {count} files would be written under this name"
    return replace(entry, problems=(*entry.problems, problem))


def run_batch(
    entries: Sequence[Entry],
    restore: Callable[[Entry], Sequence[str]],
    overwrite: bool,
    finish: Callable[[Entry], bool] = lambda _: False,
) -> Iterator[Outcome]:
    """Each file in turn; `finish` ends what an earlier batch all but finished, if there is such, else `restore` makes its output and says what that lacks of its source. A file that fails stops none of the others."""
    for entry in entries:
        if entry.skip and not entry.problems:
            yield Outcome(entry, "skipped")
        elif entry.problems:
            yield Outcome(entry, "failed", PipelineFileError(list(entry.problems)))
        else:
            yield _outcome(entry, restore, overwrite, finish)


def _outcome(
    entry: Entry,
    restore: Callable[[Entry], Sequence[str]],
    overwrite: bool,
    finish: Callable[[Entry], bool],
) -> Outcome:
    try:
        if finish(entry):
            return Outcome(entry, "done")
        if entry.output.exists() and not overwrite:
            return Outcome(entry, "there")
        entry.output.parent.mkdir(parents=True, exist_ok=True)
        return Outcome(entry, "done", losses=tuple(restore(entry)))
    except Exception as error:
        return Outcome(entry, "failed", error)


def is_batch_record(path: Path) -> bool:
    """Whether a batch wrote this file with `--json`: the next one may replace it."""
    try:
        found = json.loads(read_plain(path, _RECORD_LIMIT))
        return isinstance(found, list) and all(
            {"input", "output", "state"} <= e.keys() for e in found
        )
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def summary(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """For `--json`: one object a file."""
    return [
        {
            "input": str(o.entry.input),
            "output": str(o.entry.output),
            "pipeline": o.entry.spec.name,
            "state": o.state,
            "error": None if o.error is None else told(o.error),
            "losses": list(o.losses),
        }
        for o in outcomes
    ]


def _inputs(where: str) -> list[Path]:
    path = Path(where)
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in VIDEO and p.is_file()]
        if not found:
            raise InputError(
                f"{where}: no video lies in this folder; try a pattern, such as '*.bin'"
            )
    else:
        start = Path(path.anchor)
        pattern = str(path.relative_to(start))
        found = [path] if path.is_file() else [p for p in start.glob(pattern) if p.is_file()]
        found = [p for p in found if p.suffix.lower() != ".toml"]
        if not found:
            raise InputError(f"{where}: no such folder, and no file matches; check the name")
    return sorted(found)


def _sidecar(path: Path, problems: list[str]) -> Sidecar:
    file = path.with_name(f"{path.name}.toml")
    if not file.is_file():
        return Sidecar()
    try:
        table = read_toml(file, "the settings of a file")
    except ValueError as error:
        problems.append(str(error))
        return Sidecar()
    return check(Sidecar, table, str(file), problems) or Sidecar()
