"""What a user sees of a run: a bar on a terminal, plain lines elsewhere, a table at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from fractions import Fraction
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from restore.run.job import Listener, Progress, Summary

_LINE_SECONDS = 5.0
_NAMED_FRAMES = 40


_PACE_SECONDS = 60.0
"""The rate that is shown is that of the last minute: scenes differ, and what the first frames waited for does not come again."""
_SETTLED_SECONDS = 3.0
"""Before a rate is known well enough to say when the work will end."""
_WIDE = 110
"""Columns of a terminal that has room for what each stage takes."""


class Pace:
    """Frames per second of late, from the moments at which so many had been made."""

    def __init__(self) -> None:
        self._moments: deque[tuple[float, int]] = deque()

    def add(self, now: float, made: int) -> None:
        """At `now` seconds of any clock, `made` frames are done."""
        self._moments.append((now, made))
        while len(self._moments) > 2 and now - self._moments[1][0] > _PACE_SECONDS:
            self._moments.popleft()

    @property
    def rate(self) -> float | None:
        """Counted from the first frames that came out, so that loading and filling the queues count for nothing. None: too
        early to tell."""
        if len(self._moments) < 2:
            return None
        (began, before), (now, made) = self._moments[0], self._moments[-1]
        return (made - before) / (now - began) if made > before and now > began else None

    @property
    def settled(self) -> bool:
        """Whether the rate says when the work will end."""
        if self.rate is None:
            return False
        return self._moments[-1][0] - self._moments[0][0] >= _SETTLED_SECONDS


class Display(Listener):
    """Shows a run; use as a context manager."""

    def __init__(self, console: Console, verbose: bool, explain: bool = False) -> None:
        self._console, self._verbose, self._explain = console, verbose, explain
        self._bar: Bar | None = None
        self._next_line = 0.0
        self._pace = Pace()
        if console.is_terminal:
            columns: list[ProgressColumn] = [
                TextColumn("restoring"),
                # It gives way where the line is short; what is said in figures does not.
                BarColumn(bar_width=None),
                TaskProgressColumn(),
                TextColumn("{task.fields[left]}", markup=False),
                TextColumn("{task.fields[counts]}", markup=False),
            ]
            if console.width >= _WIDE:
                columns.append(TextColumn("{task.fields[costs]}", style="dim", markup=False))
            self._bar = Bar(*columns, console=console, expand=True)
            self._task = self._bar.add_task("", total=None, left="", counts="", costs="")

    def note(self, text: str) -> None:
        self._console.print(text)

    def detail(self, text: str) -> None:
        """Shown with --verbose only."""
        if self._verbose:
            self.note(text)

    def choice(self, text: str) -> None:
        if self._verbose or self._explain:
            self.note(text)

    def progress(self, now: Progress) -> None:
        if now.made:
            self._pace.add(time.monotonic(), now.made)
        rate, left = self._pace.rate, ""
        counts = counted(now.frames, "frame") + ("" if rate is None else f", {rate:.1f} frames/s")
        if rate is not None and self._pace.settled:
            left = _left(now, rate)
        costs = ", ".join(
            f"{where.rpartition('(')[2].rstrip(')')} {1000 * seconds / max(1, now.made):.0f} ms"
            for where, seconds in now.stages.items()
        )
        if self._bar is not None:
            total = None if now.total is None else float(now.total)
            self._bar.update(
                self._task,
                completed=float(now.seconds),
                total=total,
                left=left,
                counts=counts,
                costs=costs,
            )
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_SECONDS
            left = f"{left}; " if left else ""
            self.note(f"{_share(now)}{counts}; {left}per frame: {costs or '-'}")

    def __enter__(self) -> Display:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _share(now: Progress) -> str:
    if not now.total:
        return f"{seconds_text(now.seconds)} done, "
    return f"{100 * float(now.seconds / now.total):.0f}% of {seconds_text(now.total)}, "


def _left(now: Progress, rate: float) -> str:
    """'12:30 left', of what the index knows to come; nothing before it has seen the end of the film."""
    if not now.total or not now.seconds:
        return ""
    left = float(now.total - now.seconds) / float(now.seconds) * now.frames / rate
    return f"{seconds_text(Fraction(round(left))).removesuffix('.000')} left"


def closing_table(console: Console, summary: Summary, verbose: bool) -> None:
    """What was made, and what was wrong with the source."""
    table = Table(show_header=False, box=None)
    made = summary.frames / summary.wall_seconds if not summary.kept else None
    speed = f"{summary.wall_seconds:.1f} s"
    if made:
        speed += f", {made:.1f} frames/s"
    rows = [
        ("output", str(summary.output)),
        ("frames", _frames(summary)),
        ("duration", seconds_text(summary.duration)),
        ("damaged frames", _damaged(summary)),
        ("repaired frames", _repairs(summary)),
        ("repeated frames", _repeats(summary)),
        ("repaired time stamps", str(summary.log.counts.get("stamp", 0))),
        ("audio/video offset error", _offset(summary)),
        ("size", f"{summary.size / 1e6:.2f} MB"),
        ("time", speed),
    ]
    if summary.kept:
        rows.append(("kept from before", counted(summary.kept, "segment")))
    rows.append(("lost", "\n".join(summary.losses) or "nothing"))
    for name, value in rows:
        table.add_row(Text(name, "bold"), value)
    console.print(table)
    if verbose:
        for event in summary.log.events:
            at = "" if event.pts_ms is None else f" at {event.pts_ms} ms"
            console.print(f"{event.kind}{at}: {event.text}")
        for line in summary.verified.lines():
            console.print(line)
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in summary.phases.items())
        console.print(f"wall clock: {spent}")


def _frames(summary: Summary) -> str:
    scenes = f" in {counted(summary.scenes, 'scene')}" if summary.scenes else ""
    return f"{summary.frames}{scenes}, {counted(summary.segments, 'segment')}"


def _damaged(summary: Summary) -> str:
    if not summary.damaged:
        return "none"
    named = ", ".join(str(round(s * 1000)) for s in summary.damaged[:_NAMED_FRAMES])
    rest = len(summary.damaged) - _NAMED_FRAMES
    return f"{len(summary.damaged)}, at {named} ms" + (f" and {rest} more" if rest > 0 else "")


def _repairs(summary: Summary) -> str:
    done = Counter("put in" if r.inserted else r.action for r in summary.repairs)
    return ", ".join(f"{count} {what}" for what, count in sorted(done.items())) or "none"


def _repeats(summary: Summary) -> str:
    return f"{summary.repeats}, restored once" if summary.repeats else "none"


def _offset(summary: Summary) -> str:
    error = summary.verified.av_offset_error_ms
    return "no audio" if error is None else f"{float(error):.1f} ms"


def counted(number: int, noun: str) -> str:
    """Writes `number` of `noun` (singular, with a regular plural): "1 frame", "2 frames"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def seconds_text(seconds: Fraction) -> str:
    """83.5 -> '1:23.500'."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes}:{rest // 1000:02d}.{rest % 1000:03d}"
    return f"{hours}:{clock.zfill(9)}" if hours else clock
