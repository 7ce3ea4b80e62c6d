"""Where the commands print, and the options and values that several of them take."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from restore.errors import RestoreError
from restore.faults import internal, is_internal, told
from restore.io.text import printable


class Terminal(Console):
    """Prints text as text: markup and emoji codes in a name or a title stay as they are, and what would move the cursor,
    change colours or turn the writing direction is spelled out (see io.text.printable). Styles are given by rich.text.Text."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)

    def status(self, status: RenderableType, **how: Any) -> Status:
        return _Status(_text(status), console=self, **how)


class _Status(Status):
    def update(self, status: RenderableType | None = None, **how: Any) -> None:
        super().update(_text(status) if status is not None else None, **how)


def _text(given: RenderableType) -> RenderableType:
    """Rich takes a string beside a spinner for markup, whatever its console says."""
    return Text(given) if isinstance(given, str) else given


out = Terminal()
err = Terminal(stderr=True)


def cells(*texts: str) -> Iterator[str]:
    """Texts for the row of a table, each on a line of its own, as wide as it will be: a title may hold what begins a new
    one."""
    return (printable(" ".join(text.splitlines())) for text in texts)


def error_line(text: str, word: str = "error") -> Text:
    """'error: text', with the first word marked."""
    return Text.assemble((f"{word}:", "bold red"), f" {text}")


def tell_losses(losses: Iterable[str]) -> None:
    """What an output lacks of its source, as warnings."""
    for loss in losses:
        err.print(Text.assemble(("warning:", "bold yellow"), f" lost: {loss}"))


PipelineArg = Annotated[
    str,
    typer.Argument(
        metavar="PIPELINE", help="A pipeline file, or the name of one that comes with restore."
    ),
]
SetOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting: output.crf=20, align.radius=1; repeatable.",
    ),
]
MODES = ("side", "split", "wipe", "difference", "grid")
KERNELS = ("lanczos3", "bicubic", "bilinear", "area")
"""Of restore.panels.view and restore.planes, whose import costs seconds."""

ThreadsOpt = Annotated[
    int,
    typer.Option(
        min=0, max=256, help="CPU threads, for speed alone; 0: as many as there are processors."
    ),
]
TileOpt = Annotated[
    int,
    typer.Option(
        min=0,
        max=1 << 14,
        help="Run networks in tiles of so many samples a side, where memory is short; 0: whole frames.",
    ),
]
StartOpt = Annotated[
    str | None, typer.Option(metavar="TIME", help="Begin here: seconds or [HH:]MM:SS[.mmm].")
]
EndOpt = Annotated[str | None, typer.Option(metavar="TIME", help="Stop here.")]
DeviceOpt = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]

_NUMBER = re.compile(r"\d{1,9}(\.\d{0,12})?|\.\d{1,12}", re.ASCII)
"""Of a time: no more digits than a film can need."""


VERBOSE = ("-v", "--verbose")


def print_error(error: BaseException) -> None:
    """What a user should know of `error`: of a mistake every line, of a fault of the machine one, of a fault of
    restore two; where it arose, with --verbose alone."""
    verbose = any(word in VERBOSE for word in sys.argv)
    if is_internal(error):
        err.print(error_line(internal(error), "internal error"))
        where = "what follows" if verbose else "what the same command says with --verbose"
        if not verbose and "run" not in sys.argv[1:2]:
            where = "what 'restore --verbose COMMAND ...' says"
        err.print(f"this is a fault of restore, not yours; please report it with {where}")
    else:
        for line in told(error).splitlines():
            err.print(error_line(line))
    if verbose and not isinstance(error, RestoreError):
        err.print("".join(traceback.format_exception(error)))


def kept_of(output: Path) -> Callable[[], str]:
    """What to say of a run to `output` that is interrupted, whenever it is."""
    before = _identity(output)

    def kept() -> str:
        folder = output.with_name(f"{output.name}.parts")
        if any(folder.glob("segment-*.nut")):
            text = f"finished segments are kept in {folder}; the same command goes on"
        elif _identity(output) != before:
            text = f"{output} is complete"
        else:
            text = "nothing was kept: no segment was finished; the same command begins again"
        return printable(text)

    return kept


def made_of(path: Path) -> Callable[[], str]:
    """What to say of a command that makes one file, or nothing, when it is interrupted."""
    before = _identity(path)
    return lambda: printable(
        f"{path} is complete" if _identity(path) != before else f"{path} was not made"
    )


def _identity(path: Path) -> tuple[int, int] | None:
    """Another file has another one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def finished_text(named: Iterable[Path]) -> str:
    """What to say of a run that an earlier call had all but finished."""
    names = ", ".join(map(str, named))
    return f"{names}: finished by an earlier call of this command, which was stopped before it could end; done now"


def time_of(text: str | None, option: str) -> Fraction | None:
    """'83.5', '1:23.5' or '0:01:23.500' -> seconds. Raises RestoreError."""
    if text is None:
        return None
    parts = text.split(":")
    if len(parts) > 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise RestoreError(
            f"{option} {text}: expected seconds or [HH:]MM:SS[.mmm], such as 83.5 or 1:23.5"
        )
    seconds = Fraction(0)
    for part in parts:
        seconds = seconds * 60 + Fraction(part)
    return seconds


def one_of(text: str, known: Sequence[str], option: str) -> Any:
    """`text`, if it is one of `known`. Raises RestoreError."""
    if text not in known:
        raise RestoreError(f"{option}: expected one of {', '.join(known)}, got {text!r}")
    return text
