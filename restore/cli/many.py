"""Commands on many files: batch."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from restore.cli.console import DeviceOpt, PipelineArg, SetOpt, ThreadsOpt, err, out, time_of
from restore.errors import OutputError, RestoreError


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
    from restore.run.batch import Entry, Outcome, error_text, plan, run_batch, summary
    from restore.run.job import Job, prepare
    from restore.run.local import run as run_locally

    entries = plan(inputs, pipeline, folder, set_ or [], container)
    if report is not None and not report.absolute().parent.is_dir():
        raise OutputError(f"--json {report}: expected a file name in a folder that exists")
    if dry_run:
        table = Table("file", "pipeline", "becomes")
        for entry in entries:
            becomes = "left out" if entry.skip else str(entry.output)
            table.add_row(escape(str(entry.input)), entry.spec.name, escape(becomes))
        out.print(table)
        return

    def restore(entry: Entry) -> None:
        out.print(f"{entry.input} -> {entry.output}", markup=False)
        job = Job(
            entry.spec,
            (entry.input,),
            entry.output,
            device,
            time_of(entry.start, f"{entry.input.name}.toml: start"),
            time_of(entry.end, f"{entry.input.name}.toml: end"),
            overwrite,
            threads,
            strict=strict,
        )
        display = Display(out, verbose=False)
        prepared = prepare(job)
        with display:
            made = run_locally(prepared, display)
        closing_table(out, made, verbose=False)

    outcomes: list[Outcome] = []
    try:
        for outcome in run_batch(entries, restore, overwrite):
            outcomes.append(outcome)
            error = outcome.error
            if error is not None:
                for line in error_text(error).splitlines():
                    err.print(f"[bold red]error:[/] {escape(line)}")
                if not isinstance(error, RestoreError):
                    err.print("".join(traceback.format_exception(error)), markup=False)
    except KeyboardInterrupt:
        err.print("interrupted; the same command goes on where it stopped", markup=False)
        raise typer.Exit(130) from None
    finally:
        if report is not None:
            text = json.dumps(summary(outcomes), indent=1, ensure_ascii=False)
            report.write_text(text + "\n", "utf-8")
    table = Table("file", "result", "")
    words = {"done": "restored", "there": "was there already", "skipped": "left out"}
    for outcome in outcomes:
        word = words.get(outcome.state, "[red]failed[/]")
        error = outcome.error
        why = "" if error is None else error_text(error).splitlines()[0]
        table.add_row(escape(outcome.entry.input.name), word, escape(why))
    out.print(table)
    failed = [o.error for o in outcomes if o.error is not None]
    out.print(f"{len(outcomes)} files, {len(failed)} failed")
    if failed:
        raise typer.Exit(2 if all(isinstance(e, RestoreError) for e in failed) else 1)
