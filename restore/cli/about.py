"""Commands on restore itself: what it has, what it lacks, and a clip to try it on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from restore.cli.console import made_of, out
from restore.errors import RestoreError
from restore.interrupts import interrupts


def stages(
    kind: Annotated[str | None, typer.Argument(help="Show this one only.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the reference in docs/stages.md.")
    ] = False,
) -> None:
    """List the stages with every setting, its default, range and meaning."""
    from restore.reference import stage_reference, stages_markdown
    from restore.stage import stage_names

    if kind is not None and kind not in stage_names():
        from restore.options import hint

        raise RestoreError(f"{kind}: no such stage{hint(kind, stage_names())}")
    if markdown:
        sys.stdout.write(stages_markdown())
        return
    for name in [kind] if kind else stage_names():
        text, settings = stage_reference(name)
        out.print(Text.assemble((name, "bold"), f"  {text}"))
        table = Table("setting", "default", "allowed", "meaning", box=None, padding=(0, 2, 0, 2))
        for setting in settings:
            table.add_row(*setting)
        out.print(table if settings else "  no settings")


def models() -> None:
    """List the networks that come with restore."""
    from restore.nets.files import model_names, read_card
    from restore.resources import models_dir

    table = Table("name", "network", "scale", "plane", "trained on", "gain over Lanczos")
    found = [read_card(models_dir() / f"{name}.toml") for name in model_names()]
    for card in found:
        table.add_row(
            card.name,
            f"{card.architecture} {card.channels}x{card.blocks}",
            f"x{card.scale}",
            card.plane,
            card.data,
            _scores(card),
        )
    out.print(table if found else "no models are installed")


def doctor(
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Measure what runs networks fastest here, for some minutes, and let later runs choose by it.",
        ),
    ] = False,
) -> None:
    """Show what this machine has, what is missing, and what to do about it."""
    if measure:
        _measure()
        return
    from restore.doctor import diagnose

    marks = {
        "ok": Text("ok", "green"),
        "slow": Text("slow", "yellow"),
        "missing": Text("missing", "red"),
    }
    table = Table("", "what", "found", "what to do", box=None)
    findings = diagnose()
    for item in findings:
        table.add_row(
            marks.get(item.state, item.state),
            item.what,
            item.detail,
            item.advice,
        )
    out.print(table)
    if any(item.state == "missing" for item in findings):
        raise typer.Exit(1)


def _measure() -> None:
    """Write the user's own table, and show it."""
    import torch

    from restore.nets.backends import machine_of
    from restore.nets.measure import conditions, measured_rows
    from restore.nets.table import order, read_rows, write_rows

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    read_rows(machine_of(device))  # one that cannot be used is told before the work
    out.print(f"measuring on {machine_of(device)}; other programs make it less sure")
    rows = []
    for row in measured_rows(device, conditions()):
        names = order(list(row.milliseconds), row.milliseconds)
        times = ", ".join(f"{name} {row.milliseconds[name]:.1f} ms" for name in names)
        out.print(f"{row}: {times}", soft_wrap=True)
        rows.append(row)
    path = write_rows(machine_of(device), rows, "restore doctor --measure")
    out.print(
        f"wrote {path}; runs choose by it from now on, and may give other last bits; delete it to choose by the shipped table again",
        soft_wrap=True,
    )


def sample(
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="The RealMedia file to make, such as sample.rm."),
    ],
    seconds: Annotated[float, typer.Option(min=0.5, max=600)] = 4.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")] = False,
) -> None:
    """Make a short, damaged black-and-white film clip to try restore on."""
    from restore.sample import build_sample

    with interrupts.orderly(made_of(output)):
        build_sample(output, seconds, seed, overwrite)
    out.print(f"wrote {output}")


def _scores(card: Any) -> str:
    return ", ".join(f"{name} {value:+.2f} dB" for name, value in card.scores.items()) or "-"
