"""Picture geometry and scan, decided once: what [input] asks for, what the file says, what the picture shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from restore.io.borders import LineLevels, aligned, asked_crop, find_borders
from restore.io.filters import time_base_of
from restore.io.geometry import Crop, Turn, cut, place
from restore.io.scan import decide
from restore.io.source import Layout, ScanPlan, Source, VideoStream
from restore.io.survey import Survey, survey
from restore.options import Options
from restore.video import Chroma, VideoFormat

_PROGRESSIVE_CODECS = frozenset(
    {"mpeg1video", "rv10", "rv20", "rv30", "rv40", "h261", "h263", "h263i", "flv1", "msmpeg4v1"}
    | {"msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "svq1", "svq3", "vp6f", "vp8", "cinepak", "theora"}
)
"""Codecs that know no fields: what is combed in them was combed before."""
_FEW_LINES = 288
"""Pictures of so many lines have room for one field."""


class PictureOptions(Options):
    """The part of table [input] that is about geometry and scan."""

    deinterlace: Literal["auto", "off", "bwdif", "w3fdif"] = "auto"
    """auto: the picture is measured, and deinterlaced with bwdif where its fields are of different times; what the
    stream says is only a hint. bwdif, w3fdif: always."""
    deinterlace_rate: Literal["frame", "field"] = "frame"
    """frame: one frame of each decoded one; field: two, each at its own time (50 or 60 a second)."""
    field_order: Literal["auto", "tff", "bff"] = "auto"
    """Which field is earlier: tff the top one, bff the bottom one; auto: as the picture shows, else as the stream
    says."""
    telecine: Literal["auto", "off", "on"] = "auto"
    """Film that was spread over video fields (3:2 pulldown) is put together again, 24 frames a second of 30. auto:
    where the picture shows the pattern."""
    crop: str = Field(default="off", pattern=r"^(off|auto|\d{1,5}:\d{1,5}:\d{1,5}:\d{1,5})$")
    """Samples cut from each side as 'LEFT:TOP:RIGHT:BOTTOM', before the picture is turned; auto: the dark borders
    that every sampled frame has."""
    stated_crop: Literal["apply", "ignore"] = "apply"
    """What the file's container asks players to cut off (Matroska's PixelCrop, QuickTime's clean aperture) is cut off, before
    `crop`, or not."""
    rotation: Literal["apply", "ignore"] = "apply"
    """What the file asks players to do (turn by quarters, mirror) is done to the picture, or not."""
    size_change: Literal["scale", "error"] = "scale"
    """Frames of another size midway are scaled to the size of most, their shape kept; or are an error."""

    @property
    def measures(self) -> bool:
        """Something must be found out from samples of the picture."""
        return "auto" in (self.deinterlace, self.telecine, self.crop, self.field_order)


def lay_out(source: Source, options: PictureOptions) -> Source:
    """`source` with everything about scan and geometry decided and said in its notes. Raises InputError for a
    crop that cannot be."""
    notes = list(source.notes)
    seen = survey(source) if options.measures else Survey()
    video = source.video
    read_as, decoded = video.read_as, _most_common(video.format, seen, options, notes)
    turn = _turn(video.turn, options, notes)
    if turn.swaps_axes and decoded.chroma is Chroma.C411:
        # Turned, its chroma would be a quarter as high, which no format is.
        read_as, decoded = read_as.replace("411", "444"), replace(decoded, chroma=Chroma.C444)
    scan, scan_note = judge_scan(video.codec, decoded, seen, options)
    notes += [scan_note] if scan_note else []
    stated = _stated_crop(video, decoded, scan, options, notes)
    crop = stated + _crop(
        cut(decoded, stated), scan, _within(seen, stated), options, source.path, notes
    )
    made = replace(decoded, time_base=time_base_of(scan, decoded))
    ticks = decoded.time_base / made.time_base
    video = replace(
        video,
        read_as=read_as,
        format=place(made, crop, turn),
        start_pts=int(video.start_pts * ticks),
        chosen=Layout(decoded, scan, crop, turn, options.size_change),
    )
    return replace(
        source,
        video=video,
        notes=tuple(notes),
        side_data=source.side_data | seen.side_data,
        other_sizes=seen.other_sizes if seen.other_sizes[0] else None,
    )


def _most_common(
    fmt: VideoFormat, seen: Survey, options: PictureOptions, notes: list[str]
) -> VideoFormat:
    """The size that most sampled pictures have: the first ones may be of another."""
    if seen.size in (None, (fmt.width, fmt.height)):
        return fmt
    assert seen.size is not None
    width, height = seen.size
    notes.append(
        f"the first picture is {fmt.width}x{fmt.height}, most are {width}x{height}: these decide"
    )
    # The aspect ratio set by hand is meant for the shape of the whole.
    aspect = seen.aspect or fmt.sample_aspect
    return replace(fmt, width=width, height=height, sample_aspect=aspect)


def _turn(turn: Turn, options: PictureOptions, notes: list[str]) -> Turn:
    if not turn:
        return turn
    if options.rotation == "ignore":
        notes.append(f"the file asks players to show the picture {turn}: ignored, as [input] says")
        return Turn()
    notes.append(f"the picture is {turn}, as the file asks of players")
    return turn


def _stated_crop(
    video: VideoStream, fmt: VideoFormat, scan: ScanPlan, options: PictureOptions, notes: list[str]
) -> Crop:
    """What the container asks for, in whole chroma samples."""
    stated = video.stated
    if not stated or (fmt.width, fmt.height) != (video.format.width, video.format.height):
        return Crop()
    asks = f"the file asks players to cut off {stated} (left, top, right, bottom)"
    if options.stated_crop == "ignore":
        notes.append(f"{asks}: ignored, as [input] says")
        return Crop()
    crop = aligned(stated, fmt, scan.interlaced and not scan.active)
    made = cut(fmt, crop)
    but = "" if crop == stated else f" but for parts of chroma samples: {crop} are cut off"
    notes.append(
        f"{asks}: done{but}, {made.width}x{made.height} of {fmt.width}x{fmt.height} remain; "
        f'[input] stated_crop = "ignore" keeps all'
    )
    return crop


def _within(seen: Survey, crop: Crop) -> Survey:
    """What samples show of the picture without `crop`."""
    if not crop:
        return seen
    lines = tuple(
        LineLevels(
            (width - crop.left - crop.right, height - crop.top - crop.bottom),
            levels.rows[crop.top : height - crop.bottom],
            levels.columns[crop.left : width - crop.right],
        )
        for levels in seen.lines
        for width, height in (levels.size,)
    )
    return replace(seen, lines=lines)


def judge_scan(
    codec: str, fmt: VideoFormat, seen: Survey, options: PictureOptions
) -> tuple[ScanPlan, str | None]:
    """What is done about the fields, and a line that says why; None where there is nothing to say."""
    return decide(
        seen.scan,
        deinterlace=options.deinterlace,
        telecine=options.telecine,
        field_order=options.field_order,
        per_field=options.deinterlace_rate == "field",
        unlikely=codec in _PROGRESSIVE_CODECS or fmt.height <= _FEW_LINES,
    )


def _crop(
    fmt: VideoFormat,
    scan: ScanPlan,
    seen: Survey,
    options: PictureOptions,
    path: Path,
    notes: list[str],
) -> Crop:
    # Fields that stay fields must stay where they are.
    paired = scan.interlaced and not scan.active
    if options.crop == "off":
        return Crop()
    if options.crop != "auto":
        crop = asked_crop(options.crop, fmt, paired, str(path))
        notes.append(f"crop: {crop} (left, top, right, bottom), as [input] says")
        return crop
    found, limit = find_borders(seen.lines)
    crop = aligned(found, fmt, paired)
    if not crop:
        notes.append("crop: no border found that stays dark")
        return crop
    width, height = fmt.width - crop.left - crop.right, fmt.height - crop.top - crop.bottom
    notes.append(
        f"crop: {crop} (left, top, right, bottom) stay below code {limit} in all samples: "
        f"{width}x{height} of {fmt.width}x{fmt.height} remain"
    )
    return crop
