"""Commands for those who make networks: old files from clean ones, training, scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from restore.cli.console import DeviceOpt, err, out
from restore.errors import RestoreError
from restore.interrupts import interrupts
from restore.io.text import printable


def train(
    recipe: Annotated[
        Path,
        typer.Argument(
            help="A training recipe (TOML), or the name of one that comes with restore."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of clean images and clips; not needed once pairs are made."),
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Folder for pairs and checkpoints; the same one resumes.")
    ] = None,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder that gets the weights and their card.")
    ] = Path("models"),
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Train for this long instead of by iterations.")
    ] = None,
    shard_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop making pairs after this long.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore an earlier checkpoint.")] = False,
) -> None:
    """Train a network on pairs that went through real codecs."""
    from restore.train.loop import train as train_recipe
    from restore.train.processes import is_first

    kept = "the pairs and the last checkpoint are kept; the same command goes on"
    with interrupts.orderly(lambda: kept):
        card = train_recipe(
            recipe,
            out_dir,
            minutes,
            not fresh,
            lambda line: out.print(line),
            data=data,
            work_dir=work,
            shard_minutes=shard_minutes,
        )
    if is_first():
        out.print(f"wrote {out_dir / card.name}.safetensors and its card")


def degrade(
    clean: Annotated[Path, typer.Argument(help="A clean video, or a folder of them.")],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder that gets the old files and their truth.")
    ],
    recipe: Annotated[
        Path,
        typer.Option(help="A training recipe (TOML) or its name; its table degrade is used."),
    ],
    seed: Annotated[int, typer.Option(min=0, help="Other seeds draw other damage.")] = 0,
    category: Annotated[
        str | None,
        typer.Option(
            help="Codecs: clean, near_clean, mpeg1, rv20, other or jpeg; by default drawn."
        ),
    ] = None,
    shrink: Annotated[
        float,
        typer.Option(min=0.05, max=1, help="Scale the clip first: 0.5 cleans ordinary encodes."),
    ] = 1.0,
    frames: Annotated[int, typer.Option(min=1, help="At most this many frames of a clip.")] = 250,
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
) -> None:
    """Make old files from clean ones, through real codecs, with the truth to compare with."""
    from restore.train.export import degrade_files
    from restore.train.plan import CATEGORIES
    from restore.train.recipe import read_recipe

    if category is not None and category not in CATEGORIES:
        raise RestoreError(f"--category: expected one of {', '.join(CATEGORIES)}, got {category!r}")
    kept = f"what is finished stays in {out_dir}; --overwrite makes it again"
    with interrupts.orderly(lambda: printable(kept)):
        degrade_files(
            clean, out_dir, read_recipe(recipe), seed=seed, category=category, shrink=shrink, frames=frames,
            overwrite=overwrite, progress=lambda line: out.print(line),
        )  # fmt: skip


def evaluate(
    subjects: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL|PIPELINE...",
            help="Networks and pipelines, by name or path, of one scale.",
        ),
    ],
    sets: Annotated[
        list[Path],
        typer.Option("--set", metavar="DIR", help="A folder of clean images or clips; repeatable."),
    ],
    recipe: Annotated[
        str, typer.Option(help="How they are spoilt, such as bicubic or vcd,rv20_250.")
    ] = "",
    measure: Annotated[
        str, typer.Option(help="Only these, such as psnr,ssim; else all that apply.")
    ] = "",
    frames: Annotated[int, typer.Option(min=1, max=10000, help="Of each clip.")] = 21,
    skip: Annotated[
        int,
        typer.Option(min=0, help="Of these so many at the beginning are not scored."),
    ] = 0,
    backbone: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="SqueezeNet 1.1 weights, for the squeeze distance."),
    ] = None,
    pristine: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Clean images, for NIQE: what it compares to."),
    ] = None,
    device: DeviceOpt = "auto",
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads.")] = 1,
    backend: Annotated[
        str,
        typer.Option(help="What runs networks, such as openvino-int8; auto: as in a run."),
    ] = "auto",
    report: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every score.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
) -> None:
    """Score networks and pipelines on films and images of known truth, beside bicubic and Lanczos."""
    from restore.evaluate import report as tables
    from restore.evaluate.score import Job, evaluate

    if report is not None:
        tables.check_target(report, overwrite)
    recipes, measures = _names(recipe), _names(measure)
    job = Job(
        subjects, sets, recipes, measures, frames=frames, skip=skip, pristine=pristine, backbone=backbone,
        device=device, threads=threads, backend=backend,
    )  # fmt: skip
    with interrupts.orderly(lambda: "no score was written"), err.status("reading") as status:

        def show(line: str) -> None:
            status.update(line)
            if not err.is_terminal:  # a log has no line that moves
                err.print(line)

        result = evaluate(job, show)
    for note in result.notes:
        out.print(f"note: {note}")
    for group in tables.groups(result):
        for number, rows in enumerate(
            (tables.item_rows(result, group), tables.mean_rows(result, group))
        ):
            name, how = group
            title = f"{name}, {how}: " + ("mean ± 95 % interval" if number else "Y-PSNR, dB")
            table = Table(title=title, title_justify="left")
            for place, cell in enumerate(rows[0]):
                table.add_column(cell, justify="right" if place else "left")
            for row in rows[1:]:
                table.add_row(*row)
            out.print(table)
        for method in tables.methods(result):
            if method not in result.baselines:
                out.print(tables.worst_line(result, group, method))
    if report is not None:
        with interrupts.held():
            tables.write_document(result, report)
        out.print(f"wrote {report}")


def _names(text: str) -> list[str]:
    """'vcd,rv20_250' -> its parts."""
    return [part.strip() for part in text.split(",") if part.strip()]
