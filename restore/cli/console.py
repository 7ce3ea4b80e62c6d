"""Where the commands print, and the options and values that several of them take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any

import typer
from rich.console import Console

from restore.errors import RestoreError

# Without emoji: a name such as ':top:' stays as it is.
out = Console(soft_wrap=True, highlight=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)

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
    int, typer.Option(min=0, max=256, help="CPU threads; 0: as many as there are processors.")
]
StartOpt = Annotated[
    str | None, typer.Option(metavar="TIME", help="Begin here: seconds or [HH:]MM:SS[.mmm].")
]
EndOpt = Annotated[str | None, typer.Option(metavar="TIME", help="Stop here.")]
DeviceOpt = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]

_NUMBER = re.compile(r"\d{1,9}(\.\d{0,12})?|\.\d{1,12}", re.ASCII)
"""Of a time: no more digits than a film can need."""


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
