"""Everything that is found out about a source, gathered from its headers, its packets and samples of its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from restore.inspect import information
from restore.inspect.blocks import Blocks, blocks
from restore.inspect.film import Film, film
from restore.inspect.information import Information
from restore.inspect.levels import Levels, levels
from restore.inspect.look import Codes, Seen, Shot, look
from restore.inspect.overlays import Overlays
from restore.inspect.picture import Reading, overlays, read, sharpness_of
from restore.inspect.sharpness import Sharpness
from restore.inspect.spacing import Spacing, spacing
from restore.inspect.tint import Tint, tint_of, vote
from restore.io.borders import aligned, find_borders
from restore.io.geometry import Crop
from restore.io.join import open_source
from restore.io.layout import judge_scan
from restore.io.probe import InputOptions
from restore.io.samples import Tally, tally
from restore.io.scan import LEAST_FRAMES
from restore.io.source import ScanPlan, Source
from restore.io.survey import Survey, survey

AS_DECODED = InputOptions(deinterlace="off", telecine="off", rotation="ignore")
"""Nothing is done to the picture before it is looked at."""

ScanKind = Literal["progressive", "interlaced", "telecined", "shifted fields", "unknown"]


@dataclass(frozen=True, slots=True)
class Scan:
    """Whether the fields of a frame are of one time (see restore.io.scan)."""

    kind: ScanKind
    top_first: bool
    flagged: bool
    """The stream says that it is interlaced."""
    moving: int
    """Frames that move enough to tell."""
    reason: str | None
    plan: ScanPlan
    """What `restore run` would do by itself."""


@dataclass(frozen=True, slots=True)
class Length:
    """What the header claims against what is there."""

    claimed: float | None
    """Seconds."""
    found: float | None
    """Seconds from the first frame to the end of the last."""
    claimed_rate: float | None
    """Frames per second."""
    frames: int
    """Decoded, where all were; else as many as there are packets."""
    counted: bool
    """All frames were decoded."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of the file."""

    index: int
    kind: str
    codec: str
    detail: str
    packets: int
    bit_rate: float | None
    """Bits per second, of the packets that are there."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. Numbers about the picture are those of the samples that were looked at."""

    source: Source
    streams: tuple[Stream, ...]
    length: Length
    spacing: Spacing
    scan: Scan
    crop: Crop
    """Border, as `restore run` would cut it."""
    tint: Tint
    levels: Levels
    blocks: Blocks
    film: Film
    sharpness: Sharpness
    information: Information
    bits: float | None
    """Bits of the stream for each sample of luma."""
    overlays: Overlays
    seen: Seen
    faults: tuple[tuple[float | None, str], ...]
    """(seconds, what is wrong) with the container."""


def inspect_source(inputs: Sequence[Path]) -> Inspection:
    """Look at what `inputs` hold together. Raises InputError where there is no picture in it."""
    source = open_source(inputs, AS_DECODED)
    packets = tally(source)
    survey_ = survey(source)
    scan = _scan(source, survey_)
    fmt = source.video.layout.decoded
    crop = aligned(find_borders(survey_.lines)[0], fmt, scan.kind == "interlaced")
    seen, shots = look(source, packets)
    tints: list[Tint] = []
    readings: list[Reading] = []
    histogram = np.zeros(256, np.int64)
    for shot in shots:
        shot = cropped(shot, crop)
        histogram += np.bincount(shot.luma.ravel(), minlength=256)
        tints.append(_tint(shot))
        readings.append(
            read(shot.luma, shot.new, shot.chroma, interlaced=scan.kind == "interlaced")
        )
    return Inspection(
        source=source,
        streams=_streams(source, packets),
        length=_length(source, packets, seen),
        spacing=_spacing(source, packets, seen),
        scan=scan,
        crop=crop,
        tint=vote(tints),
        levels=levels(histogram, bool(fmt.color.full_range)),
        blocks=blocks([r.grid for r in readings], seen.steps),
        film=film(readings, fmt.width * fmt.height),
        sharpness=sharpness_of(readings),
        information=information.typical([r.information for r in readings]),
        bits=_bits(source, packets),
        overlays=overlays(readings, crop),
        seen=seen,
        faults=packets.faults,
    )


def cropped(shot: Shot, crop: Crop) -> Shot:
    """The shot without its border."""
    if not crop:
        return shot
    luma = _cut(shot.luma, crop, 1, 1)
    chroma = None
    if shot.chroma is not None:
        across = round(shot.luma.shape[2] / shot.chroma[0].shape[2])
        down = round(shot.luma.shape[1] / shot.chroma[0].shape[1])
        blue, red = (_cut(p, crop, down, across) for p in shot.chroma)
        chroma = blue, red
    return Shot(luma, chroma, shot.new, shot.intact)


def _cut(plane: Codes, crop: Crop, down: int, across: int) -> Codes:
    _, height, width = plane.shape
    return plane[
        :,
        crop.top // down : height - crop.bottom // down,
        crop.left // across : width - crop.right // across,
    ]


def _scan(source: Source, seen: Survey) -> Scan:
    video = source.video
    plan, reason = judge_scan(video.codec, video.layout.decoded, seen, InputOptions())
    counts = seen.scan.counts()
    moving = sum(counts.values()) - counts["silent"]
    kind: ScanKind = "progressive"
    if plan.telecine != "off":
        kind = "telecined" if plan.telecine == "decimate" else "shifted fields"
    elif plan.deinterlace != "off":
        kind = "interlaced"
    elif moving < LEAST_FRAMES and seen.scan.flagged:
        kind = "unknown"
    return Scan(kind, plan.top_first, seen.scan.flagged, moving, reason, plan)


def _tint(shot: Shot) -> Tint:
    if shot.chroma is None:
        return Tint("mono", (0.0, 0.0), 0.0)
    step = max(1, len(shot) // 4)  # colour does not change within a shot
    blue, red = (p[::step] for p in shot.chroma)
    size = (blue.shape[2], blue.shape[1])
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in shot.luma[::step]]
    return tint_of(np.stack(small), blue, red)


def _bits(source: Source, packets: Tally) -> float | None:
    index, fmt = source.video.index, source.video.layout.decoded
    count = packets.packets.get(index, 0)
    return 8 * packets.sizes[index] / (count * fmt.width * fmt.height) if count else None


def _streams(source: Source, packets: Tally) -> tuple[Stream, ...]:
    video, fmt = source.video, source.video.layout.decoded
    length = packets.length(source)
    turned = f", to be shown {video.turn}" if video.turn else ""
    turned += (
        f", to be shown without {video.stated} (left, top, right, bottom)" if video.stated else ""
    )
    shape = f"{fmt.width}x{fmt.height} SAR {fmt.sample_aspect.numerator}:{fmt.sample_aspect.denominator}, {video.pixel_format}{turned}"
    found = [(video.index, "video", video.codec, shape)]
    found += [
        (
            a.index,
            "audio",
            a.codec,
            ", ".join(filter(None, [f"{a.rate} Hz", a.layout, a.language, a.title])),
        )
        for a in source.audio
    ]
    found += [
        (o.index, o.kind, o.codec, ", ".join(filter(None, [o.language, o.title])))
        for o in source.other
    ]
    return tuple(
        Stream(
            *stream,
            packets.packets.get(stream[0], 0),
            8 * packets.sizes.get(stream[0], 0) / float(length) if length else None,
        )
        for stream in sorted(found)
    )


def _length(source: Source, packets: Tally, seen: Seen) -> Length:
    video = source.video
    found = packets.length(source)
    frames = seen.frames if seen.whole else packets.packets.get(video.index, 0)
    return Length(
        None if video.header_duration is None else float(video.header_duration),
        None if found is None else float(found),
        None if video.frame_rate is None else float(video.frame_rate),
        frames,
        seen.whole,
    )


def _spacing(source: Source, packets: Tally, seen: Seen) -> Spacing:
    """Of every frame, as decoded where all were; else of the packets, which are sorted, so that what runs backward
    does not show."""
    base = float(source.video.layout.decoded.time_base)
    return spacing(seen.stamps if seen.whole else packets.stamps, base)
