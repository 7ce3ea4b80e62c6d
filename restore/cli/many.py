"""Commands on many files: batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from restore.cli.console import (
    DeviceOpt,
    PipelineArg,
    SetOpt,
    ThreadsOpt,
    TileOpt,
    cells,
    err,
    error_line,
    finished_text,
    out,
    print_error,
    tell_losses,
    time_of,
)
from restore.errors import OutputError
from restore.faults import is_internal, told
from restore.interrupts import interrupts
from restore.writing import json_bytes, write_whole

if TYPE_CHECKING:
    from restore.run.batch import Entry, Outcome


def batch(
    inputs: Annotated[
        str, typer.Argument(metavar="DIR|GLOB", help="A folder of videos, or a quoted pattern.")
    ],
    pipeline: PipelineArg,
    folder: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The folder that gets the results.")
    ],
    container: Annotated[str, typer.Option(help="Ending of the results.")] = ".mkv",
    set_: SetOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = 0,
    tile: TileOpt = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse damaged files instead of repairing them.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make again what is there already.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be made of what.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write what became of each file.")
    ] = None,
) -> None:
    """Restore every video of a folder, each into one of the same name.

    A file NAME.toml beside NAME sets what that file wants otherwise: pipeline, set, start, end, output, skip. One that
    fails stops none of the others; results that are there already are not made again.
    """
    from restore.progress import Display, closing_table
    from restore.run.batch import is_batch_record, plan, run_batch, summary
    from restore.run.commit import finish_interrupted
    from restore.run.job import Job, prepare
    from restore.run.local import run as run_locally

    entries = plan(inputs, pipeline, folder, set_ or [], container)
    if report is not None and not report.absolute().parent.is_dir():
        raise OutputError(f"--json {report}: expected a file name in a folder that exists")
    if (
        report is not None
        and os.path.lexists(report)
        and not overwrite
        and not is_batch_record(report)
    ):
        raise OutputError(
            f"--json {report}: exists already; choose another name or pass --overwrite"
        )
    if dry_run:
        table = Table("file", "pipeline", "becomes")
        for entry in entries:
            becomes = "left out" if entry.skip else str(entry.output)
            if entry.problems:
                becomes = "refused"
            table.add_row(*cells(str(entry.input), entry.spec.name, becomes))
        out.print(table)
        if _tell_problems(entries):
            raise typer.Exit(2)
        return

    def job_of(entry: Entry) -> Job:
        return Job(
            entry.spec,
            (entry.input,),
            entry.output,
            device,
            time_of(entry.start, f"{entry.input.name}.toml: start"),
            time_of(entry.end, f"{entry.input.name}.toml: end"),
            overwrite,
            threads,
            tile,
            strict=strict,
        )

    def finish(entry: Entry) -> bool:
        named = finish_interrupted(job_of(entry))
        if named:
            out.print(finished_text(named))
        return named is not None

    def restore(entry: Entry) -> tuple[str, ...]:
        out.print(f"{entry.input} -> {entry.output}")
        display = Display(out, verbose=False)
        prepared = prepare(job_of(entry))
        tell_losses(prepared.losses)
        with display:
            made = run_locally(prepared, display)
        tell_losses(loss for loss in made.losses if loss not in prepared.losses)
        closing_table(out, made, verbose=False)
        return made.losses

    outcomes: list[Outcome] = []
    _tell_problems(entries)
    # Of the files as they are then: the last words may come from another thread.
    count = f"of {len(entries)} files; the same command goes on where it stopped"
    with interrupts.orderly(lambda: f"stopped after {len(outcomes)} {count}"):
        try:
            for outcome in run_batch(entries, restore, overwrite, finish):
                outcomes.append(outcome)
                error = outcome.error
                if error is not None and not outcome.entry.problems:
                    print_error(error)
        finally:
            if report is not None:
                write_whole(report, json_bytes(summary(outcomes)))
            if outcomes:
                out.print(_table(outcomes))
    failed = [o.error for o in outcomes if o.error is not None]
    out.print(f"{len(outcomes)} files, {len(failed)} failed")
    if failed:
        raise typer.Exit(1 if any(map(is_internal, failed)) else 2)


def _table(outcomes: Sequence[Outcome]) -> Table:
    """What became of each file."""
    table = Table("file", "result", "")
    words = {"done": "restored", "there": "was there already", "skipped": "left out"}
    for outcome in outcomes:
        word = words.get(outcome.state) or Text("failed", "red")
        error = outcome.error
        why = "" if error is None else told(error).splitlines()[0]
        name, reason = cells(outcome.entry.input.name, why)
        table.add_row(name, word, reason)
    return table


def _tell_problems(entries: Sequence[Entry]) -> bool:
    """Names every file that will not be restored, and why; whether there is one."""
    problems = [problem for entry in entries for problem in entry.problems]
    for problem in problems:
        err.print(error_line(problem))
    return bool(problems)
