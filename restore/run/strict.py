"""`restore run --strict`: nothing is repaired, the first fault ends the run before it begins."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from restore.errors import InputError
from restore.io.decode import DecodeLog, Event, EventKind, decode
from restore.io.reader import ReadFault
from restore.io.sound import SoundCount, sound_of
from restore.io.source import Source, Span
from restore.io.streams import StreamPlan

_WORDS: dict[EventKind, tuple[str, str]] = {
    "damaged": ("damaged frame", "damaged frames"),
    "packet": ("packet that cannot be decoded", "packets that cannot be decoded"),
    "demux": ("error of the container", "errors of the container"),
    "stamp": ("time stamp that cannot be true", "time stamps that cannot be true"),
    "size": ("change of the picture's size", "changes of the picture's size"),
}


def refuse_damage(source: Source, plan: StreamPlan, span: Span | None, log: DecodeLog) -> None:
    """Decode the picture and every sound that is kept. Raises InputError that counts what is wrong inside `span` and
    names the first; `log` gets all of it."""
    for _ in decode(source, log=log):
        pass
    for action in plan.kept():
        if action.kind == "audio":
            _hear(source, action.index, log)
    wrong = [e for e in log.events if _inside(e, span)]
    if not wrong:
        return
    counts = {k: sum(e.kind == k for e in wrong) for k in _WORDS}
    if span is None:
        counts |= log.counts
    told = ", ".join(f"{n} {_WORDS[kind][n > 1]}" for kind, n in counts.items() if n)
    first = min(wrong, key=lambda e: (e.pts_ms is None, e.pts_ms or 0))
    at = "at an unknown time" if first.pts_ms is None else f"at {first.pts_ms} ms"
    raise InputError(
        f"{source.path}: expected a file without faults (--strict), found {told}; the first {at}: {first.text}; "
        f"try another copy of the file, or run without --strict to have them repaired"
    )


def _hear(source: Source, index: int, log: DecodeLog) -> None:
    known = next(a for a in source.audio if a.index == index)
    # A fault of the file itself belongs to no packet; the picture's pass, or that of another sound, has met it.
    met = Counter(e.text for e in log.events if e.kind == "demux" and e.pts_ms is None)

    def report(kind: ReadFault, pts: int | None, text: str) -> None:
        if kind == "demux" and pts is None:
            if not met[text]:
                log.add(kind, None, text)
            met[text] -= met[text] > 0
            return
        # Sound's times are in another base; where it begins is near enough for a message.
        log.add(kind, None, f"stream {known.index} ({known.codec}): {text}")

    count = SoundCount()
    for _ in sound_of(source, index, count, report):
        pass
    if count.silence:
        log.add("packet", None, f"stream {index}: {count.silence} samples of sound are missing")


def _inside(event: Event, span: Span | None) -> bool:
    if span is None or event.pts_ms is None:
        return True
    return span.holds(Fraction(event.pts_ms, 1000))
