"""The command line: the only package that prints.

Exit codes: 0 done, 1 our fault, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from restore import __version__
from restore.cli import about, inspect, look, many, media, training
from restore.cli.console import err, error_line, out
from restore.errors import RestoreError
from restore.io.text import printable

_REFUSED = frozenset(
    {
        errno.ENAMETOOLONG,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ELOOP,
    }
)
"""What the system says of a path, or of the disk it is on, that a user can change."""

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
) -> None:
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
    # A polite kill deserves the same care as Ctrl-C, also where a shell had Ctrl-C ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except RestoreError as error:
        for line in str(error).splitlines():
            err.print(error_line(line))
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        code = _refused_path(error)
    except Exception as error:
        code = _usage_error(error)
    sys.exit(code if isinstance(code, int) else 0)


def _refused_path(error: OSError) -> int:
    """A name that is too long or a folder without permission may be met anywhere; the rest is ours."""
    if error.filename is None or error.errno not in _REFUSED:
        return _usage_error(error)
    err.print(error_line(f"{os.fsdecode(error.filename)}: {error.strerror}"))
    return 2


def _usage_error(error: Exception) -> int:
    """Click's complaints about the command line keep its code 2; the rest is ours."""
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
    err.print(
        Text.assemble(
            ("internal error:", "bold red"),
            " this is a fault of restore, not yours; please report it with:",
        )
    )
    err.print("".join(traceback.format_exception(error)))
    return 1
