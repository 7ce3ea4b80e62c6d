"""What an output will lack of its source: one list, shown before the work and completed by what the run saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from restore.io.encoder import carries_captions
from restore.io.hdr import lost_hdr
from restore.io.output import OutputOptions
from restore.io.side_data import AFD, CAPTIONS, DYNAMIC_HDR, HDR_CHANGE, S12M
from restore.io.source import Source
from restore.io.streams import StreamPlan


@dataclass(frozen=True, slots=True)
class Seen:
    """What a finished run knows of the frames of its output."""

    frames: int
    captioned: int
    """That came with closed captions."""
    scaled: int
    """That were decoded in another size."""
    kept_captions: int
    """That carry captions in the finished file."""
    side_data: frozenset[str] = frozenset()
    """What frames of the source carried along (see restore.io.side_data)."""


def losses(
    source: Source, options: OutputOptions, plan: StreamPlan, seen: Seen | None = None
) -> tuple[str, ...]:
    """Everything of `source` that an output of `options` and `plan` will lack, one line each; with `seen`, in the
    numbers of a finished run, and with what only it could know."""
    return tuple(
        dict.fromkeys(
            (
                *source.losses,
                *_scaled(source, seen),
                *_captions(source, options, seen),
                *_side_data(source, options, plan, seen),
                *_streams(options, plan),
            )
        )
    )


def _scaled(source: Source, seen: Seen | None) -> Iterator[str]:
    layout = source.video.layout.decoded
    size = f"{layout.width}x{layout.height}"
    if seen is not None and seen.scaled:
        yield f"{seen.scaled} of {seen.frames} frames are of another size and were scaled to {size}"
    elif seen is None and source.other_sizes is not None:
        other, looked_at = source.other_sizes
        yield (
            f"{other} of {looked_at} frames looked at are of another size and are scaled to {size}"
        )


def _captions(source: Source, options: OutputOptions, seen: Seen | None) -> Iterator[str]:
    found = CAPTIONS in source.side_data if seen is None else seen.captioned > 0
    if found and not carries_captions(options.codec):
        yield (
            f"{CAPTIONS}: {options.codec} has no place for them; "
            f'try codec = "libx264", "libx265" or "mpeg2video"'
        )
    elif seen is not None and seen.kept_captions < seen.captioned:
        missing = seen.captioned - seen.kept_captions
        yield f"{CAPTIONS} of {missing} of {seen.captioned} frames did not reach the output"


def _side_data(
    source: Source, options: OutputOptions, plan: StreamPlan, seen: Seen | None
) -> Iterator[str]:
    found = source.side_data if seen is None else source.side_data | seen.side_data
    if AFD in found:
        yield f"{AFD}: no encoder here writes it"
    if S12M in found:
        kept = "" if plan.timecode is None else ", only where the file starts"
        yield f"{S12M}: {options.codec} does not write it{kept}"
    hdr = source.video.format.hdr
    known = () if hdr is None else hdr.dynamic
    lost = lost_hdr(options.codec, hdr)
    lost += sorted(n for n in set(DYNAMIC_HDR.values()) & found if n not in known)
    if lost:
        yield f"HDR metadata ({', '.join(lost)}): {options.codec} cannot carry it"
    if HDR_CHANGE in found:
        yield f"{HDR_CHANGE}: the output has that of the first frame throughout"


def _streams(options: OutputOptions, plan: StreamPlan) -> Iterator[str]:
    for stream in plan.streams:
        what = f"stream {stream.index} ({stream.kind}, {stream.codec})"
        asked = stream.kind == "audio" and options.audio == "none"
        if stream.action == "drop" and not asked:
            yield f"{what} is dropped: {stream.reason}"
        elif stream.target is not None and not stream.target.bits:
            yield f"{what} is converted to {stream.to}: {stream.reason}"
        elif stream.lost:
            yield f"{what}: its {_listed(stream.lost)} cannot be kept in {plan.container}"
    if plan.has_chapters and not plan.chapters:
        yield f"chapters: {plan.container} has none"
    if plan.lost_timecode:
        yield f"time code: {plan.lost_timecode}"
    if plan.lost:
        yield f"metadata ({_listed(plan.lost)}): {plan.container} has no place for it"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
