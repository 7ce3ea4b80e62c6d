"""The machine-readable record of a run: `restore run --json`. Its fields are described in docs/report-format.md."""

from __future__ import annotations

import json
import os
import platform
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy
import torch

from restore import __version__
from restore.errors import OutputError
from restore.faults import cannot_write, is_internal, told
from restore.index import Index
from restore.io.decode import LIMIT, Event
from restore.io.ffmpeg import capabilities
from restore.io.source import Source
from restore.io.streams import StreamPlan
from restore.io.verify import VerifyReport
from restore.machine import cpu_level
from restore.nets.candidates import processor
from restore.pipeline import PipelineSpec
from restore.placing import read_plain
from restore.run.archive_log import described
from restore.writing import json_bytes, write_whole

FORMAT = "restore report"
VERSION = 1
"""Of the format; it rises when a field changes its meaning or goes."""
_RECORD_LIMIT = 1 << 28


def check_report(
    path: Path, others: Sequence[Path], overwrite: bool, output: Path | None = None
) -> None:
    """Raises OutputError where the record, of the run that makes `output`, cannot or must not be written."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise OutputError(f"--json {path}: expected a file name in a folder that exists")
    if not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(f"--json {path}: its folder cannot be written to; choose another one")
    if any(path.absolute() == other.absolute() for other in others):
        raise OutputError(f"--json {path}: is the input or the output; choose another name")
    if os.path.lexists(path) and not overwrite and not is_aborted_record(path, output):
        raise OutputError(f"--json {path}: exists already; choose another name or pass --overwrite")


def is_aborted_record(path: Path, output: Path | None) -> bool:
    """Whether a run that was to make `output` and did not wrote this file: the next one may replace it."""
    try:
        found = json.loads(read_plain(path, _RECORD_LIMIT))
        aborted = found["format"] == FORMAT and found["outcome"] in ("failed", "interrupted")
        # The folder of one file may be spelled in several ways, through a link too.
        of_output = output is not None and _place(Path(found["asked"]["output"])) == _place(output)
        return bool(aborted and of_output)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _place(path: Path) -> Path:
    return Path(os.path.realpath(path.parent), path.name)


def write_report(
    path: Path, document: dict[str, Any], *, overwrite: bool, output: Path | None = None
) -> None:
    """The file appears whole or not at all; that of an earlier try to make `output` is replaced, any other with
    `overwrite` only. Raises OutputError."""
    replace = overwrite or is_aborted_record(path, output)
    try:
        write_whole(path, json_bytes(document), overwrite=replace)
    except FileExistsError as error:
        raise OutputError(
            f"--json {path}: exists already: it was made while the run was at work, and stays as it is"
        ) from error
    except OSError as error:
        raise cannot_write(f"--json {path}", error) from error


def run_report(
    spec: PipelineSpec,
    source: Source,
    plan: StreamPlan,
    index: Index,
    asked: Mapping[str, Any],
    timing: Mapping[str, Any],
    error: BaseException | None = None,
) -> dict[str, Any]:
    """What is known of a run, also where `error` broke it off and the index is not complete. `asked`: what the command
    line said; `timing`: seconds by name."""
    outcome, said = "done", None
    if error is not None:
        stopped = isinstance(error, KeyboardInterrupt)
        outcome = "interrupted" if stopped else "failed"
        said = None if stopped else told(error)
    return {
        "format": FORMAT,
        "version": VERSION,
        "outcome": outcome,
        "error": said,
        "traceback": _traceback(error),
        "versions": _versions(),
        "machine": {"class": str(cpu_level()), "cpu": processor()},
        "asked": _plain(asked),
        "input": _input(source),
        "pipeline": {
            "name": spec.name,
            "fingerprint": spec.fingerprint(),
            "settings": spec.document(),
        },
        "weights": [
            {"name": path.name, **described(path)}
            for entry in spec.stages
            for path in entry.build().assets()
        ],
        "notes": list(source.notes),
        "streams": [_plain(asdict(action)) for action in plan.streams],
        **_picture(index),
        "timing": _plain(timing),
        "output": None,
        "verification": None,
    }


def with_output(
    document: dict[str, Any],
    output: Path,
    made: Path,
    verified: VerifyReport,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The record of a run that made its file; `made`: where that lies until it is called `output`."""
    return {
        **document,
        "notes": list(notes),
        "output": {"path": str(output), **described(made)},
        "verification": {
            "frames": verified.frames,
            "pts_error_ms": float(verified.pts_error_ms),
            "av_offset_error_ms": None
            if verified.av_offset_error_ms is None
            else float(verified.av_offset_error_ms),
            "audio_samples": _plain(verified.audio_samples),
            "captioned_frames": verified.captioned,
            "unverified": _plain(verified.unverified),
            "notes": list(verified.notes),
        },
    }


def _traceback(error: BaseException | None) -> list[str] | None:
    """Lines that say where a fault of restore is; None for anything else."""
    if error is None or isinstance(error, KeyboardInterrupt) or not is_internal(error):
        return None
    return "".join(traceback.format_exception(error)).splitlines()


def _versions() -> dict[str, str]:
    return {
        "restore": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "pyav": capabilities()["PyAV"],
    }


def _input(source: Source) -> dict[str, Any]:
    files = [file for part in source.parts for file in part.files]
    known = asdict(source.video)
    known.pop("format")
    return {
        "files": [{"path": str(file), **described(file)} for file in files],
        "container": source.container,
        "metadata": source.metadata,
        "video": _plain({**known, **_format(source)}),
        "audio": [_plain(asdict(a)) for a in source.audio],
        "other": [_plain(asdict(o)) for o in source.other],
    }


def _format(source: Source) -> dict[str, Any]:
    fmt = source.video.format
    color = fmt.color
    return {
        "width": fmt.width,
        "height": fmt.height,
        "chroma": fmt.chroma.name if fmt.chroma else "grey",
        "depth": fmt.depth,
        "time_base": fmt.time_base,
        "sample_aspect": fmt.sample_aspect,
        "color": {
            "matrix": color.matrix.name,
            "primaries": color.primaries.name,
            "transfer": color.transfer.name,
            "range": "full" if color.full_range else "limited",
            "siting": None if color.siting is None else color.siting.name,
        },
    }


def _picture(index: Index) -> dict[str, Any]:
    """What was seen of the frames, and what was done about what was wrong."""
    base, log = index.time_base, index.log
    numbers = {pts: n for n, pts in enumerate(index.pts)}
    repeated = set(index.repeats)
    # Sound has no frame, and what lies outside the time range has no number.
    repairs = [
        {
            "index": numbers[r.pts],
            "pts_ms": _ms(r.pts, base),
            "action": r.action,
            "share": round(r.share, 4),
            "decoded": not r.inserted,
        }
        for r in index.repairs
        if r.pts in numbers
    ]

    def events(kind: str) -> list[Event]:
        return [e for e in log.events if e.kind == kind]

    return {
        "complete": index.complete,
        "time_base": str(base),
        "frames": len(index.pts),
        "duration_seconds": float(index.duration),
        "scenes": [
            {"index": n, "pts_ms": _ms(index.pts[n], base)}
            for n in index.cuts
            if n < len(index.pts)
        ],
        "damaged_frames": [{"index": n, "pts_ms": _ms(index.pts[n], base)} for n in index.damaged],
        "repaired_frames": repairs,
        "repeated_frames": sorted(repeated),
        "repaired_time_stamps": [
            {
                "from": e.claimed,
                "to": e.became,
                "to_ms": None if e.became is None else _ms(e.became, base),
                "why": e.text.partition(":")[0],
            }
            for e in events("stamp")
        ],
        "refused_packets": [{"pts_ms": e.pts_ms, "why": e.text} for e in events("packet")],
        "container_errors": [{"pts_ms": e.pts_ms, "why": e.text} for e in events("demux")],
        "size_changes": [{"pts_ms": e.pts_ms, "what": e.text} for e in events("size")],
        "counts": dict(log.counts),
        "listed_at_most": LIMIT,
    }


def _ms(pts: int, base: Fraction) -> float:
    return round(float(pts * base * 1000), 3)


def _plain(value: Any) -> Any:
    """As JSON has it: fractions as 'a/b', everything unknown by its name."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
