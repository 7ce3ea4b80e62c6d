"""Commands on a user's videos: run, check."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from restore.cli.console import (
    MODES,
    DeviceOpt,
    EndOpt,
    PipelineArg,
    SetOpt,
    StartOpt,
    ThreadsOpt,
    TileOpt,
    cells,
    err,
    finished_text,
    kept_of,
    one_of,
    out,
    tell_losses,
    time_of,
)
from restore.errors import PipelineFileError
from restore.interrupts import interrupts
from restore.loading import loading


def run(
    context: typer.Context,
    pipeline: PipelineArg,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="The video to restore, or a folder of images; several are joined.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT", help="The file to make: .mkv, .mp4, .mov, .webm, .avi or .ts."
        ),
    ],
    start: StartOpt = None,
    end: EndOpt = None,
    set_: SetOpt = None,
    device: DeviceOpt = "auto",
    threads: ThreadsOpt = 0,
    backend: Annotated[
        str,
        typer.Option(
            help="What runs networks: auto (the fastest by the table) or a name that --explain shows."
        ),
    ] = "auto",
    tile: TileOpt = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a damaged INPUT instead of repairing it.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write a record of all that was found and done."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="OUT.html", help="Write a page about before and after as well."
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Make a video of before and after as well."),
    ] = None,
    compare_mode: Annotated[
        str, typer.Option(help="What it shows: side, split, wipe, difference or grid.")
    ] = "side",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what was chosen for this machine, and why.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Restore INPUT into OUTPUT. Several INPUTs are joined in the order given.

    An interrupted run leaves its finished segments in OUTPUT.parts; the same command resumes it and gives
    the same file, byte for byte.
    """
    with loading():
        from restore.io.formats import conversions
        from restore.panels.view import View
        from restore.pipeline import find_pipeline, read_pipeline
        from restore.progress import Display, closing_table
        from restore.run.commit import finish_interrupted
        from restore.run.job import Job, prepare
        from restore.run.local import run as run_locally

    context.with_resource(interrupts.orderly(kept_of(output)))
    mode = one_of(compare_mode, MODES, "--compare-mode")
    spec = read_pipeline(find_pipeline(pipeline), set_ or [])
    job = Job(
        spec,
        tuple(inputs),
        output,
        device,
        time_of(start, "--start"),
        time_of(end, "--end"),
        overwrite,
        threads,
        backend=backend,
        tile=tile,
        strict=strict,
        report=report,
        compare=compare,
        page=page,
        view=View(mode, labels=("before", "after")),
    )
    named = finish_interrupted(job)
    if named is not None:
        out.print(finished_text(named))
        return
    if page is not None:
        from restore.report.report import Report, check_page
        from restore.report.report import report as make_page

        check_page(page, (*inputs, output, *(p for p in (report, compare) if p)), overwrite)

    def write_page(film: Path, record: dict[str, Any], target: Path) -> None:
        about = Report(
            job.inputs,
            film,
            target,
            record=record,
            # A part begins at its start, the whole where its earliest stream does.
            offset=None if job.start is None and job.end is None else job.start or Fraction(0),
            input=spec.input,
        )
        with err.status("writing the page") as status:
            make_page(about, status.update)

    prepared = prepare(job)
    display = Display(out, verbose, explain)
    for note in prepared.source.notes:
        display.detail(note)
    out.print(_stream_table(prepared.streams, prepared.source, spec.output.codec, prepared.output))
    for line in conversions(spec.output, prepared.formats[-1], prepared.output):
        display.note(line)
    if not spec.stages:
        display.note(f"{spec.name} has no stages: the picture is only encoded again")
    tell_losses(prepared.losses)
    with display:
        summary = run_locally(prepared, display, write_page)
    tell_losses(loss for loss in summary.losses if loss not in prepared.losses)
    closing_table(out, summary, verbose)
    if compare is not None:
        out.print(f"before and after: {compare}")
    if page is not None:
        out.print(f"page: {page}")


def check(
    pipeline: PipelineArg,
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="[INPUT]...", help="A video to check it against.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Judge the streams for this file name.")
    ] = None,
    set_: SetOpt = None,
) -> None:
    """Show every problem of a pipeline file, and what it would make of INPUT. Renders nothing."""
    from restore.io.encode import check_output, encoded_format
    from restore.io.formats import conversions
    from restore.io.join import open_source
    from restore.io.losses import losses
    from restore.io.output import CONTAINERS, fitted_to
    from restore.io.streams import plan_streams
    from restore.pipeline import find_pipeline, read_pipeline
    from restore.progress import counted, seconds_text

    path = find_pipeline(pipeline)
    spec = read_pipeline(path, set_ or [])
    for entry in spec.stages:
        entry.build().assets()
    out.print(f"{path}: {counted(len(spec.stages), 'stage')}, no problems")
    if not inputs:
        return
    target = output or Path("out.mkv")
    spec = replace(spec, output=fitted_to(spec.output, CONTAINERS.get(target.suffix.lower())))
    source = open_source(inputs, spec.input)
    formats = spec.formats(source.video.format)
    final, processed = spec.result(formats[-1]), bool(spec.stages)
    problems = check_output(spec.output, final, target, processed)
    if problems:
        raise PipelineFileError([f"{path.name}: [output]: {p}" for p in problems])
    result = encoded_format(spec.output, final, processed)
    for note in source.notes:
        out.print(f"note: {note}")
    table = Table("step", "picture", "samples", title=None)
    table.add_row(f"{source.video.codec} in {source.container}", *_format_cells(formats[0]))
    for entry, fmt in zip(spec.stages, formats[1:], strict=True):
        table.add_row(entry.kind, *_format_cells(fmt))
    table.add_row(spec.output.codec, *_format_cells(result))
    out.print(table)
    for line in conversions(spec.output, formats[-1], result):
        out.print(f"note: {line}")
    container = target.suffix.removeprefix(".")
    plan = plan_streams(source, container, spec.output.audio)
    out.print(_stream_table(plan, source, spec.output.codec, result))
    tell_losses(losses(source, spec.output, plan))
    if source.video.header_duration and source.video.frame_rate:
        rate = source.video.frame_rate * source.video.layout.scan.rate
        frames = int(source.video.header_duration * rate)
        out.print(
            f"the header claims {seconds_text(source.video.header_duration)}, about {frames} frames; "
            "the frames themselves decide",
        )


def _stream_table(plan: Any, source: Any, encoder: str, fmt: Any) -> Table:
    """What becomes of every stream."""
    table = Table("stream", "what it is", "becomes", "why")
    for row in plan.table(source, encoder, fmt):
        table.add_row(*cells(*row))
    return table


def _format_cells(fmt: Any) -> tuple[str, str]:
    color, chroma = fmt.color, fmt.chroma.name if fmt.chroma else "grey"
    aspect = fmt.sample_aspect
    tags = f"{color.matrix.name} {'full' if color.full_range else 'limited'}"
    return (
        f"{fmt.width}x{fmt.height} SAR {aspect.numerator}:{aspect.denominator}",
        f"{chroma} {fmt.depth} bit {tags}",
    )
