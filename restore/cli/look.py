"""Commands that show what was or would be done: compare, preview, report."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from restore.cli.console import (
    KERNELS,
    MODES,
    DeviceOpt,
    EndOpt,
    SetOpt,
    StartOpt,
    ThreadsOpt,
    err,
    made_of,
    one_of,
    out,
    time_of,
)
from restore.errors import RestoreError
from restore.interrupts import interrupts

CropOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--crop",
        metavar="X,Y,W,H",
        help="Zoom into this region, in samples of the larger video; grid takes several.",
    ),
]

OffsetOpt = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Where in A the other begins, if it is a part."),
]
ReadByOpt = Annotated[
    str | None,
    typer.Option(help="Read A by the table input of this pipeline: its crop, its fields."),
]


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The original.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="What was made of it.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="The video to make: .mp4, .mkv, .webm, ...")
    ],
    mode: Annotated[
        str, typer.Option(help="side, split, wipe, difference or grid: see docs/compare.md.")
    ] = "side",
    crop: CropOpt = None,
    gain: Annotated[
        float, typer.Option(min=0.1, max=100, help="difference: how much it is amplified.")
    ] = 4.0,
    position: Annotated[
        float, typer.Option(min=0, max=1, help="split: where, as a share of the width.")
    ] = 0.5,
    period: Annotated[
        float, typer.Option(min=0.1, max=600, help="wipe: seconds to and fro.")
    ] = 6.0,
    kernel: Annotated[
        str,
        typer.Option(help="Scales the smaller one and zooms: lanczos3, bicubic, bilinear, area."),
    ] = "lanczos3",
    labels: Annotated[
        str | None, typer.Option(metavar="A,B", help="Names in the picture, else the files' own.")
    ] = None,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Nothing but picture.")] = False,
    offset: OffsetOpt = None,
    start: StartOpt = None,
    end: EndOpt = None,
    pipeline: ReadByOpt = None,
    crf: Annotated[float, typer.Option(min=0, max=63, help="Quality: lower is better.")] = 17,
    codec: Annotated[
        str, typer.Option(help="Encoder, as in the table output of a pipeline.")
    ] = "libx264",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Show two videos in one, matched by time stamp, with A's sound."""
    from restore.compare.video import Comparison
    from restore.compare.video import compare as make
    from restore.io.output import OutputOptions
    from restore.io.probe import InputOptions
    from restore.panels.view import View, parse_region
    from restore.pipeline import find_pipeline, read_pipeline
    from restore.progress import seconds_text

    view = View(
        one_of(mode, MODES, "--mode"),
        tuple(parse_region(text) for text in crop or ()),
        gain,
        position,
        Fraction(str(period)),
        one_of(kernel, KERNELS, "--kernel"),
        None if no_labels else _labels(labels, a, b),
    )
    job = Comparison(
        a,
        b,
        output,
        view,
        OutputOptions(use="preview", codec=codec, crf=crf),
        time_of(offset, "--offset"),
        time_of(start, "--start"),
        time_of(end, "--end"),
        read_pipeline(find_pipeline(pipeline)).input if pipeline else InputOptions(),
        overwrite,
    )
    with interrupts.orderly(made_of(output)), err.status("comparing") as status:
        done = make(
            job,
            lambda line: out.print(line),
            lambda time: status.update(f"comparing: {seconds_text(time)}"),
        )
    out.print(
        f"wrote {done.output}: {done.frames} frames, {done.size / 1e6:.2f} MB; {done.pairs} pairs, their times at "
        f"most {float(done.largest_gap_ms):.1f} ms apart; {done.only_a} frames of A alone, {done.only_b} of B",
    )

    if 2 * done.pairs < done.frames:
        out.print(
            "few frames of the two lie at the same time: if B is a part of A, --offset says where it begins",
        )


def preview(
    pipelines: Annotated[
        list[str],
        typer.Argument(metavar="PIPELINE...", help="One, or several to choose from."),
    ],
    path: Annotated[Path, typer.Argument(metavar="INPUT", help="The video.")],
    folder: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder for the pictures; else INPUT.preview."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=40, help="How many moments.")] = 6,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="TIME", help="This moment: seconds or [HH:]MM:SS[.mmm]; repeatable."),
    ] = None,
    set_: SetOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that is not empty.")
    ] = False,
) -> None:
    """Render a few moments of INPUT before and after, and say what the whole would take."""
    from restore.io.formats import described
    from restore.pipeline import find_pipeline, read_pipeline
    from restore.preview.render import preview as make
    from restore.preview.sheet import duration_text, size_text, stills, write_png
    from restore.progress import seconds_text
    from restore.worker import find_device

    folder = folder or Path(f"{path.name}.preview")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not overwrite):
        raise RestoreError(
            f"{folder}: exists already; choose another with --out or pass --overwrite"
        )
    specs = [read_pipeline(find_pipeline(name), set_ or []) for name in pipelines]
    times = sorted({time_of(text, "--at") or Fraction(0) for text in at or ()})
    with interrupts.orderly(made_of(folder / "sheet.png")):
        with err.status("reading") as status:
            made = make(
                path,
                specs,
                find_device(device),
                threads or len(os.sched_getaffinity(0)),
                count=count,
                at=times,
                note=status.update,
            )
        pictures = stills(made)
        with interrupts.held():  # a folder with a few of them would be refused the next time
            folder.mkdir(parents=True, exist_ok=True)
            for name, image in pictures.items():
                write_png(folder / name, image)
    table = Table("pipeline", "picture", "per frame", "whole job, about", "size, about")
    for shown in made.after:
        cost = shown.cost
        whole = cost is not None and cost.seconds is not None and cost.bytes is not None
        table.add_row(
            shown.spec.name,
            f"{shown.format.width}x{shown.format.height} {described(shown.format)}",
            f"{1000 * cost.per_frame:.0f} ms" if cost else "",
            duration_text(cost.seconds or 0) if cost and whole else "-",
            size_text(cost.bytes or 0) if cost and whole else "-",
        )
    out.print(table)
    if made.whole:
        out.print(
            f"{made.frames} frames, {seconds_text(made.duration)}, {made.scenes} scenes; sizes are of the picture alone",
        )
    out.print(f"wrote {len(pictures)} pictures to {folder}: sheet.png shows all")


def report(
    a: Annotated[Path, typer.Argument(metavar="A", help="The original.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="What was made of it.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The page to write: OUT.html.")],
    truth: Annotated[
        Path | None, typer.Option(help="The clean film, if there is one: PSNR and SSIM.")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(help="What `restore run --json` wrote: pipeline, repairs, hashes."),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Clean images, for NIQE: what it compares to."),
    ] = None,
    stills: Annotated[int, typer.Option(min=1, max=60, help="How many moments.")] = 8,
    film: Annotated[
        float, typer.Option(min=0, max=120, help="Seconds of film on the page; 0: none.")
    ] = 8.0,
    film_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Where in A the film begins.")
    ] = None,
    offset: OffsetOpt = None,
    start: StartOpt = None,
    end: EndOpt = None,
    pipeline: ReadByOpt = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
) -> None:
    """Write one page about two videos: sliders, a film in step, a timeline, measures scene by scene.

    The page holds everything it shows and needs no network.
    """
    from restore.io.probe import InputOptions
    from restore.pipeline import find_pipeline, read_pipeline
    from restore.report.report import Report, read_record
    from restore.report.report import report as make

    job = Report(
        (a,),
        b,
        output,
        truth,
        None if record is None else read_record(record),
        time_of(offset, "--offset"),
        time_of(start, "--start"),
        time_of(end, "--end"),
        stills,
        Fraction(str(film)),
        time_of(film_at, "--film-at"),
        clean,
        read_pipeline(find_pipeline(pipeline)).input if pipeline else InputOptions(),
        overwrite,
    )
    with interrupts.orderly(made_of(output)), err.status("reading") as status:
        size = make(job, status.update)
    out.print(f"wrote {output}, {size / 1e6:.1f} MB: open it in a browser")


def _labels(text: str | None, a: Path, b: Path) -> tuple[str, str]:
    """Raises RestoreError."""
    if text is None:
        return (a.stem, b.stem) if a.stem != b.stem else (a.name, b.name)
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(n and n.isascii() and n.isprintable() for n in names):
        raise RestoreError(
            f"--labels {text}: expected two names with a comma between them, in ASCII, such as before,after"
        )
    return names[0], names[1]
