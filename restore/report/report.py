"""A report of two videos, from the files to the page."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from restore.compare.pairs import Pairs
from restore.compare.placement import find_placement
from restore.errors import InputError, OutputError
from restore.faults import cannot_write
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.source import Source
from restore.io.text import printable
from restore.metrics.niqe import CleanModel, fit
from restore.placing import read_plain
from restore.preview.moments import choose
from restore.preview.sheet import size_text
from restore.report.page import Facts, check_record, page
from restore.report.pictures import take
from restore.report.survey import against_truth, survey
from restore.writing import write_whole

STILLS = 8


_RECORD_LIMIT = 1 << 28


@dataclass(frozen=True)
class Report:
    """All that `restore report` was asked to do."""

    a: tuple[Path, ...]
    b: Path
    output: Path
    truth: Path | None = None
    record: dict[str, Any] | None = None
    """What `restore run --json` wrote."""
    offset: Fraction | None = None
    """Seconds after A's first frame that are B's time 0."""
    start: Fraction | None = None
    end: Fraction | None = None
    stills: int = STILLS
    film: Fraction = Fraction(8)
    """Seconds of film on the page; 0: none."""
    film_at: Fraction | None = None
    """Where in A it begins; None: around the still that shows most."""
    clean: Path | None = None
    """Folder of clean images, for NIQE."""
    input: InputOptions = field(default_factory=InputOptions)
    overwrite: bool = False


def report(job: Report, note: Callable[[str], None]) -> int:
    """Write the page; its size in bytes. `note` hears how far it is. Raises RestoreError; nothing is left then."""
    check_page(job.output, (*job.a, job.b), job.overwrite)
    clean = None if job.clean is None else clean_model(job.clean)
    job = _as_recorded(job)
    a, b = open_source(job.a, job.input), open_source([job.b], InputOptions())
    placed: tuple[str, ...] = ()
    if job.record is None:
        place = find_placement(a, b, job.offset, job.input.crop != "off", note)
        job, placed = replace(job, offset=place.offset), place.notes
        if place.crop is not None:
            a = open_source(job.a, job.input.model_copy(update={"crop": place.crop}))

    def pairs() -> Pairs:
        return Pairs(a, b, offset=job.offset, start=job.start, end=job.end)

    first = pairs()
    found = survey(first, clean, lambda t: note(f"measuring, {float(t):.1f} s"))
    if not found.times:
        raise InputError(
            f"{job.a[0]}, {job.b}: expected frames of both at the same times, found none; try --offset, which says "
            "where in A the other begins"
        )
    notes = [*placed, *first.differences()]
    if job.truth is not None:
        note("measuring against the truth")
        truth = open_source([job.truth], InputOptions())
        for side, source in enumerate((a, b)):
            moved = Fraction(0) if side == 0 else job.offset or Fraction(0)
            known = side == 1 and job.offset is not None
            measured = Pairs(source, truth, offset=-moved if known else None)
            against_truth(found, measured, side, moved)
    chosen = choose(found.sampled, [s.first for s in found.scenes], job.stills)
    times = [found.times[n] for n in chosen]
    note("taking pictures")
    pictures = take(pairs(), times, _film_start(job, times, found.times[-1]), job.film)
    facts = Facts(
        f"{job.a[0].name} and {job.b.name}",
        (job.a[0].name, job.b.name),
        _rows(job, a, b, first),
        notes,
        job.record,
        first.first,
    )
    return _write(job.output, page(facts, found, pictures), job.overwrite)


def _as_recorded(job: Report) -> Report:
    """`job` with what its record says and nobody said otherwise: where the result begins, and how its source was read.
    Raises InputError where the record holds no such thing."""
    if job.record is None:
        return job
    try:
        asked, settings = job.record["asked"], job.record["pipeline"]["settings"]
        offset, reading = job.offset, job.input
        if offset is None and (asked["start"], asked["end"]) != (None, None):
            offset = _seconds(asked["start"] or "0")
        if reading == InputOptions():
            reading = InputOptions.model_validate(settings["input"])
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"--record: expected what 'restore run --json' wrote, found no time range or no [input] in it: {error}"
        ) from error
    return replace(job, offset=offset, input=reading)


def _seconds(text: str) -> Fraction:
    """A time as a record tells it, such as '41/2'. Raises ValueError and ZeroDivisionError; '1e999999999', which would be
    counted with for hours, is none."""
    if re.fullmatch(r"[\d./]{1,40}", text, re.ASCII) is None:
        raise ValueError(f"expected seconds, got {text[:40]!r}")
    return Fraction(text)


def check_page(output: Path, others: Iterable[Path], overwrite: bool) -> None:
    """Raises OutputError where the page cannot or must not be written."""
    if output.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{output}: expected a name that ends in .html, got {output.suffix!r}")
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise OutputError(f"{output}: expected a file name in a folder that exists")
    if any(output.absolute() == other.absolute() for other in others):
        raise OutputError(f"{output}: is one of the inputs; choose another name")
    if output.exists() and not overwrite:
        raise OutputError(f"{output}: exists already; choose another name or pass --overwrite")


def read_record(path: Path) -> dict[str, Any]:
    """What `restore run --json` wrote. Raises InputError."""
    try:
        # Through a link too, but a pipe or a device is never waited for.
        document = json.loads(read_plain(path.resolve(strict=True), _RECORD_LIMIT))
        if document["format"] != "restore report" or document["version"] != 1:
            raise ValueError("another format")
        check_record(document)
    except RecursionError:
        raise InputError(f"--record {path}: is nested too deep for a record") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"--record {path}: expected what 'restore run --json' wrote (format 'restore report', version 1): {error}"
        ) from error
    found: dict[str, Any] = document
    return found


def clean_model(folder: Path) -> CleanModel:
    """NIQE's model of clean pictures, of all images in a folder. Raises InputError."""
    if not folder.is_dir():
        raise InputError(f"--clean {folder}: expected a folder of clean images, found none")
    images = []
    for path in sorted(folder.iterdir()):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if grey is not None:
            images.append(np.asarray(grey, np.float64))
    try:
        return fit(images)
    except ValueError as error:
        raise InputError(f"--clean {folder}: {error}") from error


def _film_start(job: Report, times: list[Fraction], last: Fraction) -> Fraction:
    """So that the whole film is there, if the video is long enough."""
    start = job.film_at
    if start is None:
        start = (times[len(times) // 2] if times else Fraction(0)) - job.film / 2
    return max(Fraction(0), min(start, last - job.film))


def _rows(job: Report, a: Source, b: Source, pairs: Pairs) -> list[tuple[str, str, str]]:
    def both(what: str, tell: Callable[[Source], str]) -> tuple[str, str, str]:
        return what, tell(a), tell(b)

    files = [tuple(f for part in s.parts for f in part.files) for s in (a, b)]
    sizes = [size_text(sum(f.stat().st_size for f in fs)) for fs in files]
    digests = [", ".join(_sha256(f) for f in fs[:4]) for fs in files]
    return [
        ("file", ", ".join(f.name for f in files[0][:4]), files[1][0].name),
        ("size", sizes[0], sizes[1]),
        ("SHA-256", digests[0], digests[1]),
        both("codec", lambda s: f"{s.video.codec} in {s.container}"),
        both("picture", _picture_text),
        (
            "frames",
            f"{pairs.pairs + pairs.only_a}",
            f"{pairs.pairs + pairs.only_b}; {pairs.pairs} pairs, their times at most {float(pairs.gap) * 1000:.1f} ms apart",
        ),
    ]


def _picture_text(source: Source) -> str:
    fmt = source.video.format
    aspect = fmt.sample_aspect
    chroma = fmt.chroma.name if fmt.chroma else "grey"
    return f"{fmt.width}x{fmt.height}, SAR {aspect.numerator}:{aspect.denominator}, {chroma} {fmt.depth} bit, {fmt.color.matrix.name}"


def _sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _write(path: Path, text: str, overwrite: bool) -> int:
    data = printable(text).encode()
    try:
        write_whole(path, data, overwrite=overwrite)
    except OSError as error:
        raise cannot_write(path, error, "it was made meanwhile, and stays as it is") from error
    return len(data)
