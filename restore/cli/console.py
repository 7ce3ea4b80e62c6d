"""Where the commands print, and the options and values that several of them take."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any

import typer
from rich.console import Console

from restore.errors import RestoreError

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

PipelineArg = Annotated[
    str, typer.Argument(help="A pipeline file, or the name of one that comes with restore.")
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

DeviceOpt = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def time_of(text: str | None, option: str) -> Fraction | None:
    """'83.5', '1:23.5' or '0:01:23.500' -> seconds. Raises RestoreError."""
    if text is None:
        return None
    parts = text.split(":")
    try:
        if len(parts) > 3 or any(p.strip() != p or p.startswith("-") for p in parts):
            raise ValueError
        seconds = Fraction(0)
        for part in parts:
            seconds = seconds * 60 + Fraction(part)
    except (ValueError, ZeroDivisionError):
        raise RestoreError(
            f"{option} {text}: expected seconds or [HH:]MM:SS[.mmm], such as 83.5 or 1:23.5"
        ) from None
    return seconds


def one_of(text: str, known: Sequence[str], option: str) -> Any:
    """`text`, if it is one of `known`. Raises RestoreError."""
    if text not in known:
        raise RestoreError(f"{option}: expected one of {', '.join(known)}, got {text!r}")
    return text
