"""The command line: the only module that prints.

Exit codes: 0 done, 1 our fault, 2 the user's mistake, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from restore import __version__
from restore.errors import PipelineFileError, RestoreError

app = typer.Typer(
    name="restore",
    help="Restore old and damaged video, as a pipeline file declares.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
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
DeviceOpt = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


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


@app.command()
def run(
    pipeline: PipelineArg,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="The video to restore, or a folder of images; several are joined.",
        ),
    ],
    output: Annotated[
        Path, typer.Argument(help="The file to make: .mkv, .mp4, .mov, .webm, .avi or .ts.")
    ],
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin here: seconds or [HH:]MM:SS[.mmm].")
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Stop here.")] = None,
    set_: SetOpt = None,
    device: DeviceOpt = "auto",
    threads: Annotated[
        int, typer.Option(min=0, max=256, help="CPU threads; 0: as many as there are processors.")
    ] = 0,
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
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Restore INPUT into OUTPUT. Several INPUTs are joined in the order given.

    An interrupted run leaves its finished segments in OUTPUT.parts; the same command resumes it and gives
    the same file, byte for byte.
    """
    from restore.io.formats import conversions
    from restore.pipeline import find_pipeline, read_pipeline
    from restore.progress import Display, closing_table
    from restore.run.job import Job, prepare
    from restore.run.local import run as run_locally

    spec = read_pipeline(find_pipeline(pipeline), set_ or [])
    job = Job(
        spec,
        inputs[0],
        output,
        device,
        _time(start, "--start"),
        _time(end, "--end"),
        overwrite,
        threads,
        more=tuple(inputs[1:]),
        strict=strict,
        report=report,
    )
    prepared = prepare(job)
    display = Display(out, verbose)
    for note in prepared.source.notes:
        display.detail(note)
    out.print(_stream_table(prepared.streams, prepared.source, spec.output.codec, prepared.output))
    for line in conversions(spec.output, prepared.formats[-1], prepared.output):
        display.note(line)
    if not spec.stages:
        display.note(f"{spec.name} has no stages: the picture is only encoded again")
    try:
        with display:
            summary = run_locally(prepared, display)
    except KeyboardInterrupt:
        err.print(
            f"interrupted; finished segments are kept in {output}.parts, the same command resumes",
            markup=False,
        )
        raise typer.Exit(130) from None
    closing_table(out, summary, verbose)


@app.command()
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
    from restore.io.output import CONTAINERS, fitted_to
    from restore.io.streams import plan_streams
    from restore.pipeline import find_pipeline, read_pipeline
    from restore.progress import seconds_text

    path = find_pipeline(pipeline)
    spec = read_pipeline(path, set_ or [])
    for entry in spec.stages:
        entry.build().assets()
    out.print(f"{path}: {len(spec.stages)} stages, no problems", markup=False)
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
        out.print(f"note: {note}", markup=False)
    table = Table("step", "picture", "samples", title=None)
    table.add_row(f"{source.video.codec} in {source.container}", *_format_cells(formats[0]))
    for entry, fmt in zip(spec.stages, formats[1:], strict=True):
        table.add_row(entry.kind, *_format_cells(fmt))
    table.add_row(spec.output.codec, *_format_cells(result))
    out.print(table)
    for line in conversions(spec.output, formats[-1], result):
        out.print(f"note: {line}", markup=False)
    container = target.suffix.removeprefix(".")
    plan = plan_streams(source, container, spec.output.audio)
    out.print(_stream_table(plan, source, spec.output.codec, result))
    if source.video.header_duration and source.video.frame_rate:
        rate = source.video.frame_rate * source.video.layout.scan.rate
        frames = int(source.video.header_duration * rate)
        out.print(
            f"the header claims {seconds_text(source.video.header_duration)}, about {frames} frames; "
            "the frames themselves decide",
            markup=False,
        )


@app.command()
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
        out.print(f"[bold]{name}[/]  {escape(text)}")
        table = Table("setting", "default", "allowed", "meaning", box=None, padding=(0, 2, 0, 2))
        for setting in settings:
            table.add_row(*(escape(cell) for cell in setting))
        out.print(table if settings else "  no settings")


@app.command()
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
            escape(card.data),
            escape(_scores(card)),
        )
    out.print(table if found else "no models are installed")


@app.command()
def doctor() -> None:
    """Show what this machine has, what is missing, and what to do about it."""
    from restore.doctor import diagnose

    marks = {"ok": "[green]ok[/]", "slow": "[yellow]slow[/]", "missing": "[red]missing[/]"}
    table = Table("", "what", "found", "what to do", box=None)
    findings = diagnose()
    for item in findings:
        table.add_row(
            marks.get(item.state, item.state),
            escape(item.what),
            escape(item.detail),
            escape(item.advice),
        )
    out.print(table)
    if any(item.state == "missing" for item in findings):
        raise typer.Exit(1)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A training recipe (TOML), see recipes/.")],
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

    card = train_recipe(
        recipe,
        out_dir,
        minutes,
        not fresh,
        lambda line: out.print(line, markup=False),
        data=data,
        work_dir=work,
        shard_minutes=shard_minutes,
    )
    if is_first():
        out.print(f"wrote {out_dir / card.name}.safetensors and its card", markup=False)


@app.command()
def degrade(
    clean: Annotated[Path, typer.Argument(help="A clean video, or a folder of them.")],
    out_dir: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder that gets the old files and their truth.")
    ],
    recipe: Annotated[Path, typer.Option(help="A training recipe (TOML); its [degrade] is used.")],
    seed: Annotated[int, typer.Option(min=0, help="Other seeds draw other damage.")] = 0,
    category: Annotated[
        str | None,
        typer.Option(help="Codecs: clean, near_clean, mpeg1, rv20 or other; by default drawn."),
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
    degrade_files(
        clean, out_dir, read_recipe(recipe), seed=seed, category=category, shrink=shrink, frames=frames,
        overwrite=overwrite, progress=lambda line: out.print(line, markup=False),
    )  # fmt: skip


@app.command()
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
    job = Job(subjects, sets, recipes, measures, frames, pristine, backbone, device, threads)
    with err.status("reading") as status:

        def show(line: str) -> None:
            status.update(escape(line))
            if not err.is_terminal:  # a log has no line that moves
                err.print(line, markup=False)

        result = evaluate(job, show)
    for note in result.notes:
        out.print(f"note: {note}", markup=False)
    for group in tables.groups(result):
        for number, rows in enumerate(
            (tables.item_rows(result, group), tables.mean_rows(result, group))
        ):
            name, how = group
            title = f"{name}, {how}: " + ("mean ± 95 % interval" if number else "Y-PSNR, dB")
            table = Table(title=escape(title), title_justify="left")
            for place, cell in enumerate(rows[0]):
                table.add_column(escape(cell), justify="right" if place else "left")
            for row in rows[1:]:
                table.add_row(*map(escape, row))
            out.print(table)
        for method in tables.methods(result):
            if method not in result.baselines:
                out.print(tables.worst_line(result, group, method), markup=False)
    if report is not None:
        tables.write_document(result, report)
        out.print(f"wrote {report}", markup=False)


@app.command()
def sample(
    output: Annotated[Path, typer.Argument(help="The RealMedia file to make, such as sample.rm.")],
    seconds: Annotated[float, typer.Option(min=0.5, max=600)] = 4.0,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Make a short, damaged black-and-white film clip to try restore on."""
    from restore.sample import build_sample

    build_sample(output, seconds, seed)
    out.print(f"wrote {output}", markup=False)


def _stream_table(plan: Any, source: Any, encoder: str, fmt: Any) -> Table:
    """What becomes of every stream."""
    table = Table("stream", "what it is", "becomes", "why")
    for row in plan.table(source, encoder, fmt):
        table.add_row(*map(escape, row))
    return table


def _format_cells(fmt: Any) -> tuple[str, str]:
    color, chroma = fmt.color, fmt.chroma.name if fmt.chroma else "grey"
    aspect = fmt.sample_aspect
    tags = f"{color.matrix.name} {'full' if color.full_range else 'limited'}"
    return (
        f"{fmt.width}x{fmt.height} SAR {aspect.numerator}:{aspect.denominator}",
        f"{chroma} {fmt.depth} bit {tags}",
    )


def _names(text: str) -> list[str]:
    """'vcd,rv20_250' -> its parts."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _scores(card: Any) -> str:
    return ", ".join(f"{name} {value:+.2f} dB" for name, value in card.scores.items()) or "-"


def _time(text: str | None, option: str) -> Fraction | None:
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


def main() -> NoReturn:
    """Entry point; turns every ending into its exit code."""
    # A polite kill deserves the same care as Ctrl-C, also where a shell had Ctrl-C ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except RestoreError as error:
        for line in str(error).splitlines():
            err.print(f"[bold red]error:[/] {escape(line)}")
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        code = _usage_error(error)
    sys.exit(code if isinstance(code, int) else 0)


def _usage_error(error: Exception) -> int:
    """Click's complaints about the command line keep its code 2; the rest is ours."""
    show = getattr(error, "show", None)
    if callable(show):
        show()
        return int(getattr(error, "exit_code", 2))
    if type(error).__name__ == "Abort":
        return 130
    err.print(
        "[bold red]internal error:[/] this is a fault of restore, not yours; please report it with:"
    )
    err.print("".join(traceback.format_exception(error)), markup=False)
    return 1
