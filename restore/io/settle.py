"""The plan of the streams, made from a file's beginning, held against the whole of it once that was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice, repeat
from typing import Any, Literal

from av.packet import Packet

from restore.io.moving import sound_packets
from restore.io.parts import open_parts
from restore.io.reader import begins_inside
from restore.io.sound import MAX_GAP, SoundCount, cut_samples, sound_of
from restore.io.source import Source, Span
from restore.io.streams import StreamAction, StreamPlan, plan_streams
from restore.io.verify import origin_of

GAPS = "avi plays packets without a break, and these have gaps"
EMPTY = "nothing of it lies in what was made"


def settle(
    source: Source,
    plan: StreamPlan,
    first_frame: Fraction,
    audio: Literal["copy", "flac", "none"],
    span: Span | None = None,
) -> tuple[StreamPlan, list[str]]:
    """The plan to join by, and a line on each stream whose fate is another one. `first_frame`: seconds on the source's
    clock, as repaired; where it is earlier than its stamp said, all sounds begin later than was tried. AVI plays
    packets without a break, so that a sound with gaps is not copied to it. Streams that give nothing to write are
    left out: most containers do not list them. Raises InputError when the source can no longer be read."""
    origin = origin_of(source, first_frame, span)
    settled = plan
    sounds = [s for s in plan.kept() if s.kind == "audio"]
    broken = {}
    if plan.container == "avi":
        broken = {s.index: GAPS for s in sounds if s.target is None and _has_gaps(source, s)}
    if sounds and (broken or (span is None and origin != source.start)):
        moved = replace(source, start=origin)
        tried = plan_streams(moved, plan.container, audio, span is not None, broken)
        settled = replace(tried, attached=plan.attached)
    settled = replace(
        settled,
        streams=tuple(
            action
            if action.action == "drop" or _holds_any(source, settled.container, action, span)
            else replace(action, action="drop", to=None, target=None, reason=EMPTY)
            for action in settled.streams
        ),
    )
    return settled, _changes(plan, settled)


def _holds_any(source: Source, container: str, action: StreamAction, span: Span | None) -> bool:
    """Whether there is anything of a kept stream to write."""
    if action.kind == "attachment" or action.cover:
        return True
    if action.target is not None:
        known = next(a for a in source.audio if a.index == action.index)
        timed = sound_of(source, action.index, SoundCount())
        return any(True for _ in (timed if span is None else cut_samples(timed, known.rate, span)))
    if action.kind != "audio" and container in ("matroska", "webm"):
        return True  # which keep a track of subtitles that are yet to come
    return any(True for _ in _written(source, action, span))


def _has_gaps(source: Source, action: StreamAction) -> bool:
    """Whether one of a sound's packets begins later than those before it last."""
    for part in open_parts(source):
        due: Fraction | None = None
        for packet in sound_packets(part, action.index):
            at = (packet.pts or 0) * Fraction(packet.time_base)
            if due is not None and at - due > MAX_GAP:
                return True
            due = (at if due is None else max(at, due)) + (packet.duration or 0) * Fraction(
                packet.time_base
            )
    return False


def _written(source: Source, action: StreamAction, span: Span | None) -> Iterator[Packet[Any]]:
    """The packets that are copied, or made into others."""
    skips = chain((action.skip, *action.later_skips), repeat(0))
    for part, skip in zip(open_parts(source), skips, strict=False):
        packets: Iterator[Packet[Any]]
        if action.kind == "audio":
            packets = islice(sound_packets(part, action.index), skip, None)
        else:
            packets = (packet for _, packet in part.packets([action.index], lambda *_: None))
        for packet in packets:
            if span is None or begins_inside(packet, span, part.offset):
                yield packet


def _changes(before: StreamPlan, after: StreamPlan) -> list[str]:
    fates = {action.index: (action.action, action.to) for action in before.streams}
    return [
        f"stream {action.index}: planned to {_fate(*fates[action.index])}, but {action.reason}: "
        f"{_fate(action.action, action.to)}"
        for action in after.streams
        if fates.get(action.index, (action.action, action.to)) != (action.action, action.to)
    ]


def _fate(action: str, to: str | None) -> str:
    return f"{action} to {to}" if to else action
