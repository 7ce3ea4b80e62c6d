"""The command that looks at a video before anything is done to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from restore.cli.console import cells, err, made_of, out
from restore.interrupts import interrupts

_MARKS = {
    "fine": Text("fine", "green"),
    "note": Text("note", "cyan"),
    "fault": Text("fault", "yellow"),
}


def inspect(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...", help="A video, or a folder of images; several are joined."
        ),
    ],
    report: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write everything that was found."),
    ] = None,
    suggestion: Annotated[
        Path | None,
        typer.Option(
            "--suggest",
            metavar="TOML",
            help="Write a pipeline that fits, with the reason for each stage.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE, TOML.")] = False,
) -> None:
    """Show what is wrong with a video: what its header claims and what is there, damage, scan, borders, colour,
    levels, blocks, noise, faults of film, true resolution. Looks at samples; nothing is rendered."""
    from restore.inspect.document import document
    from restore.inspect.inspection import inspect_source
    from restore.inspect.suggest import check_target, suggest, to_toml, write_pipeline
    from restore.inspect.words import lines
    from restore.run.report import check_report, write_report

    if report is not None:
        check_report(report, inputs, overwrite)
    if suggestion is not None:
        check_target(suggestion, overwrite)
    files = [path for path in (report, suggestion) if path is not None]
    with interrupts.orderly(made_of(files[0]) if files else lambda: "nothing was written"):
        with err.status("looking"):
            seen = inspect_source(inputs)
        table = Table("", "what", "found", "meaning", box=None)
        for line in lines(seen):
            table.add_row(_MARKS[line.state], *cells(line.topic, line.found, line.meaning))
        out.print(table)
        for note in (*seen.source.notes, *seen.source.losses):
            out.print(f"note: {note}")
        made = suggest(seen)
        for text in made.untreated if suggestion is not None else ():
            out.print(f"found, not treated: {text}")
        with interrupts.held():  # one of the two would be refused the next time
            if report is not None:
                write_report(report, document(seen), overwrite=overwrite)
                out.print(f"wrote {report}")
            if suggestion is not None:
                write_pipeline(suggestion, to_toml(made, inputs[0].name), overwrite=overwrite)
                chain = ", ".join(stage.kind for stage in made.stages) or "no stage"
                out.print(f"wrote {suggestion}: {chain}")
