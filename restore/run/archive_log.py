"""The log of the work that an archived file carries inside it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from restore.index import Index
from restore.io.ffmpeg import capabilities
from restore.io.losses import losses
from restore.io.source import Source
from restore.io.streams import Attachment, StreamPlan
from restore.pipeline import PipelineSpec
from restore.writing import json_bytes

NAME = "restore-log.json"


def restore_log(
    spec: PipelineSpec,
    source: Source,
    plan: StreamPlan,
    index: Index,
    subject: dict[str, Any],
    terms: dict[str, Any],
) -> Attachment:
    """What was made of what, with what: a function of the input, the pipeline and the terms of the run alone, so
    that a run that was interrupted ends in the same bytes. `subject` and `terms` as the journal keeps them."""
    base = index.time_base
    document = {
        "format": "restore log 1",
        "versions": {"restore": subject["version"], "libraries": capabilities()["PyAV"]},
        "input": {
            "files": [_named(file) for part in source.parts for file in part.files],
            "time range": subject["time range"],
            "notes": source.notes,
        },
        "pipeline": {
            "name": spec.name,
            "settings": spec.document(),
        },
        "weights": [_named(p) for entry in spec.stages for p in entry.build().assets()],
        "terms": terms,
        "streams": plan.lines(),
        "losses": losses(source, spec.output, plan),
        "frames": {
            "count": len(index.pts),
            "damaged at ms": [round(index.pts[i] * base * 1000) for i in index.damaged],
            "repeats": len(index.repeats),
        },
    }
    return Attachment(NAME, "application/json", json_bytes(document))


def described(file: Path) -> dict[str, Any]:
    """Bytes and SHA-256 of a file."""
    with file.open("rb") as data:
        digest = hashlib.file_digest(data, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _named(file: Path) -> dict[str, Any]:
    return {"name": file.name, **described(file)}
