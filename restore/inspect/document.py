"""An inspection as JSON: `restore inspect --json`. Its fields are described in docs/inspect.md."""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from typing import Any

from restore import __version__
from restore.inspect.information import expected_gain, help_of
from restore.inspect.inspection import Inspection
from restore.inspect.words import lines

VERSION = 1
"""Of the format; it rises when a field changes its meaning or goes."""


def document(seen: Inspection) -> dict[str, Any]:
    """Everything that was found; numbers keep what is needed of their digits."""
    source, look = seen.source, seen.seen
    fmt, base = source.video.layout.decoded, float(source.video.layout.decoded.time_base)
    found = {
        "format": "restore inspection",
        "version": VERSION,
        "restore": __version__,
        "input": {
            "files": [str(f) for part in source.parts for f in part.files],
            "container": source.container,
            "metadata": source.metadata,
            "notes": (*source.notes, *source.losses),
        },
        "streams": [asdict(stream) for stream in seen.streams],
        "picture": {
            "codec": source.video.codec,
            "pixel_format": source.video.pixel_format,
            "width": fmt.width,
            "height": fmt.height,
            "sample_aspect": fmt.sample_aspect,
            "depth": fmt.depth,
            "turn": str(source.video.turn) if source.video.turn else None,
            "stated_crop": str(source.video.stated) if source.video.stated else None,
            "full_range": bool(fmt.color.full_range),
        },
        "length": asdict(seen.length),
        "spacing": asdict(seen.spacing),
        "damage": {
            "frames_seen": look.frames,
            "all_frames_seen": look.whole,
            "damaged_seconds": [t * base for t in look.damaged],
            "refused_packets": look.log.counts.get("packet", 0),
            "repaired_time_stamps": look.log.counts.get("stamp", 0),
            "size_changes": look.log.counts.get("size", 0),
            "container_errors": [{"seconds": s, "why": text} for s, text in seen.faults],
        },
        "scan": {
            "kind": seen.scan.kind,
            "top_field_first": seen.scan.top_first,
            "flagged_interlaced": seen.scan.flagged,
            "moving_frames": seen.scan.moving,
            "reason": seen.scan.reason,
        },
        "repeats": {"frames": look.repeats, "of": look.frames},
        "border": asdict(seen.crop),
        "colour": asdict(seen.tint),
        "levels": asdict(seen.levels),
        "codec": {**asdict(seen.blocks), "bits_per_sample": seen.bits},
        "film": {
            **asdict(seen.film),
            "noisy": seen.film.noisy,
            "flickers": seen.film.flickers,
            "weaves": seen.film.weaves,
        },
        "sharpness": asdict(seen.sharpness),
        "information": {
            **asdict(seen.information),
            "expected_gain_db": (gain := expected_gain(seen.blocks.step, seen.bits)),
            "help": help_of(gain, seen.information.ratio),
        },
        "overlays": asdict(seen.overlays),
        "picture_types": dict(look.types),
        "summary": [asdict(line) for line in lines(seen)],
    }
    made: dict[str, Any] = json.loads(json.dumps(_rounded(found)))
    return made


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Fraction):
        return f"{value.numerator}:{value.denominator}"
    if isinstance(value, dict):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value
