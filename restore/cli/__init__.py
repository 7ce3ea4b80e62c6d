"""The command line: the only package that prints.

Exit codes: 0 done, 1 our fault, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from restore import __version__
from restore.cli import about, inspect, look, many, media, training
from restore.cli.console import out, print_error
from restore.faults import is_internal
from restore.interrupts import INTERRUPTED, interrupts
from restore.io.text import printable
from restore.machine import asked_level

app = typer.Typer(
    name="restore",
    help="Restore old and damaged video, as a pipeline file declares.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show where in restore an error arose.")
    ] = False,
) -> None:
    asked_level()  # a wrong name is told before any work
    if version:
        out.print(f"restore {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        out.print(context.get_help())


for command in (
    *(media.run, media.check, inspect.inspect, look.compare, look.preview, look.report, many.batch),
    *(about.stages, about.models, about.doctor),
    *(training.train, training.degrade, training.evaluate),
    about.sample,
):
    app.command()(command)


def main() -> NoReturn:
    """Entry point; turns every ending into its exit code."""
    code: object
    try:
        code = app(standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        code = INTERRUPTED if interrupts.stopping else _failed(error)
    if interrupts.stopping:
        interrupts.end()
    sys.exit(code if isinstance(code, int) else 0)


def _failed(error: Exception) -> int:
    """Says what went wrong; click's complaints about the command line in its own words."""
    show = getattr(error, "show", None)
    if callable(show):
        # Click prints on a console of its own.
        for name in ("message", "param_hint"):
            text = getattr(error, name, None)
            if isinstance(text, str):
                setattr(error, name, printable(text))
        show()
        return int(getattr(error, "exit_code", 2))
    if type(error).__name__ == "Abort":
        return 130
    print_error(error)
    return 1 if is_internal(error) else 2
