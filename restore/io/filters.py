"""Fields to frames: deinterlacing through libavfilter, and inverse telecine.

Frames pass the filters under their number, not their time: what comes out is matched with what went in by order,
and no filter's idea of a frame rate touches a time stamp. Fields are matched in restore.io.fields: libavfilter's
fieldmatch knows 8 bits only, aborts the process on deeper ones, and may keep the last frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import groupby

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph

from restore.io.captions import spread_captions
from restore.io.fields import match_fields
from restore.io.picture import Picture, frame_of, in_format, luma_codes, planes_in
from restore.io.pixels import rescaled
from restore.io.source import ScanPlan
from restore.video import FrameInfo, VideoFormat

_NUMBER = Fraction(1, 25)
"""Time base of the frames in a graph, whose pts are their numbers: any will do."""

CYCLE = 5
"""Frames of 3:2 pulldown in which four film frames lie."""
_LEAST_SIDE = 16
"""Samples of a picture that libavfilter's deinterlacers take whatever its chroma; smaller ones are scaled first."""
_BLOCK = 16
"""Side of the blocks that two frames are compared by: what moves may be small."""


def undo_fields(
    pictures: Iterable[Picture], plan: ScanPlan, fmt: VideoFormat, read_as: str
) -> Iterator[Picture]:
    """`pictures` with their fields made frames as `plan` says, numbered anew; times are in
    `time_base_of(plan, fmt)`. A frame made of a decoded one keeps its type, damage and quantisers. Where the size
    changes midway, filters start afresh; fields that `plan` leaves as they are become frames where the size is not
    `fmt`'s, since they will be scaled."""
    if not plan.interlaced and not plan.active:
        yield from pictures
        return
    index = 0
    for size, run in groupby(pictures, key=lambda p: (p.frame.width, p.frame.height)):
        own, usual = run, size == (fmt.width, fmt.height)
        if min(size) < _LEAST_SIDE and not usual:
            own, size = (_sized(p, fmt) for p in run), (fmt.width, fmt.height)
        done = plan if plan.active or usual else replace(plan, deinterlace="bwdif", per_field=False)
        for picture in _undone(own, done, replace(fmt, width=size[0], height=size[1]), read_as):
            yield replace(picture, info=replace(picture.info, index=index))
            index += 1


def _sized(picture: Picture, fmt: VideoFormat) -> Picture:
    return replace(picture, frame=rescaled(picture.frame, width=fmt.width, height=fmt.height))


def _undone(
    pictures: Iterable[Picture], plan: ScanPlan, fmt: VideoFormat, read_as: str
) -> Iterator[Picture]:
    """All of `fmt`'s size."""
    if not plan.active:
        yield from pictures
        return
    if plan.telecine == "off":
        made = _deinterlaced(((p, True) for p in pictures), plan, fmt, read_as)
    else:
        # What is combed still was video, or an edit between two fields.
        made = _deinterlaced(match_fields(pictures, plan, read_as), plan, fmt, read_as)
    yield from _without_repeats(made) if plan.telecine == "decimate" else made


def time_base_of(plan: ScanPlan, fmt: VideoFormat) -> Fraction:
    """Time base of what `undo_fields` makes: finer, so that fields lie exactly in the middle of their frames,
    and four frames lie evenly in the time of five."""
    if plan.telecine == "decimate":
        return fmt.time_base / (CYCLE - 1)
    return fmt.time_base / 2 if plan.deinterlace != "off" and plan.per_field else fmt.time_base


def _deinterlaced(
    pictures: Iterable[tuple[Picture, bool]], plan: ScanPlan, fmt: VideoFormat, read_as: str
) -> Iterator[Picture]:
    """Those that come with True deinterlaced, the others as they are (all are seen by the filter, which looks at
    neighbours)."""
    fields = 2 if plan.deinterlace != "off" and plan.per_field else 1
    waiting: deque[tuple[Picture, bool, int]] = deque()
    graph: _Graph | None = None
    for number, (picture, combed) in enumerate(pictures):
        graph = graph or _Graph(plan, fmt, read_as)
        waiting.extend((picture, combed, field) for field in range(fields))
        plain = in_format(picture.frame, read_as)
        for frame in graph.push(plain, number):
            yield _made(frame, *waiting.popleft(), fields, read_as)
    for frame in graph.end() if graph else ():
        yield _made(frame, *waiting.popleft(), fields, read_as)
    if waiting:
        raise RuntimeError(f"the filter kept {len(waiting)} frames")


def _made(
    frame: av.VideoFrame, origin: Picture, combed: bool, field: int, fields: int, read_as: str
) -> Picture:
    if not combed:
        return origin
    if frame.format.name != read_as:  # grey: see _Graph
        frame = frame_of(planes_in(frame), frame.width, frame.height, read_as)
    frame.opaque = origin.frame.opaque
    info = origin.info
    if fields == 2:
        # Captions are text that goes on: shown twice, it would be written twice.
        captions = b"" if field else info.captions
        info = replace(info, pts=2 * info.pts + field * info.duration, captions=captions)
    return replace(origin, frame=frame, info=info)


class _Graph:
    """A deinterlacer that gives as many frames as it gets, or two for each."""

    def __init__(self, plan: ScanPlan, fmt: VideoFormat, read_as: str) -> None:
        # Grey travels with neutral chroma: not all filters take it.
        self.pixel_format = read_as.replace("gray", "yuv420p")
        name = "w3fdif" if plan.deinterlace == "w3fdif" else "bwdif"
        rate = "field" if plan.deinterlace != "off" and plan.per_field else "frame"
        mode = rate if name == "w3fdif" else f"send_{rate}"
        self._neutral = 1 << (fmt.depth - 1)
        parity = "tff" if plan.top_first else "bff"
        graph = self._graph = Graph()
        source = graph.add_buffer(
            width=fmt.width,
            height=fmt.height,
            format=av.VideoFormat(self.pixel_format, fmt.width, fmt.height),
            time_base=_NUMBER,
        )
        deinterlacer = graph.add(name, f"mode={mode}:parity={parity}:deint=all")
        graph.link_nodes(source, deinterlacer, graph.add("buffersink"))
        graph.configure()

    def push(self, frame: av.VideoFrame, number: int) -> Iterator[av.VideoFrame]:
        if frame.format.name != self.pixel_format:
            (luma,) = planes_in(frame)
            grey = np.full([-(-n // 2) for n in luma.shape], self._neutral, luma.dtype)
            frame = frame_of([luma, grey, grey], frame.width, frame.height, self.pixel_format)
        frame.pts, frame.time_base = number, _NUMBER
        self._graph.vpush(frame)
        return self._ready()

    def end(self) -> Iterator[av.VideoFrame]:
        self._graph.vpush(None)
        return self._ready()

    def _ready(self) -> Iterator[av.VideoFrame]:
        while True:
            try:
                frame = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            if frame.format.name != self.pixel_format:
                raise RuntimeError(f"the filter made {frame.format.name} of {self.pixel_format}")
            yield frame


def _without_repeats(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Of each five frames, the one that repeats its predecessor is dropped, and the other four share the time;
    five frames without a repeat (video within film) all stay, as they are."""
    cycle: list[Picture] = []
    steps: list[float] = []
    before: npt.NDArray[np.int16] | None = None
    usual = -1
    for picture in pictures:
        luma = luma_codes(picture.frame)[:, ::2].astype(np.int16)
        steps.append(np.inf if before is None else _largest_change(before, luma))
        before = luma
        cycle.append(picture)
        if len(cycle) == CYCLE:
            usual = _repeat(steps, usual)
            yield from _spread(cycle, usual)
            cycle, steps = [], []
    if cycle:
        yield from _spread(cycle, _repeat(steps, usual))


def _repeat(steps: list[float], usual: int) -> int:
    """Which frame repeats its predecessor, by how much each differs from it; -1: none. `usual`: where the last
    one was, which is taken where it is nearly as good: the cycle goes on through stills."""
    known = sorted(step for step in steps if step < np.inf)
    if len(known) < 3 or (known[0] > 1 and known[0] > 0.5 * known[len(known) // 2]):
        return -1
    least = known[0]
    if 0 <= usual < len(steps) and steps[usual] <= 1.25 * least + 0.25:
        return usual
    return steps.index(least)


def _spread(cycle: list[Picture], repeat: int) -> Iterator[Picture]:
    """The frames without the one at `repeat`, in units of a quarter tick. Evenly spaced ones stay so; where the
    rate varies each keeps its time, and the dropped one's goes to its predecessor (to its successor at the start)."""
    fine = CYCLE - 1
    infos = [replace(p.info, pts=p.info.pts * fine, duration=p.info.duration * fine) for p in cycle]
    kept = [n for n in range(len(cycle)) if n != repeat]
    start, end = infos[0].pts, infos[-1].pts + infos[-1].duration
    starts = [infos[n].pts for n in kept]
    if repeat >= 0:
        starts[0] = start
        durations = [i.duration for i in infos]
        if max(durations) - min(durations) <= 2 * fine + min(durations) // 20:
            count = len(kept)
            starts = [start + (2 * k * (end - start) + count) // (2 * count) for k in range(count)]
    captions = [i.captions for i in infos]
    if repeat >= 0:
        captions = spread_captions(captions, len(kept))
    for n, at, until, text in zip(kept, starts, [*starts[1:], end], captions, strict=True):
        info: FrameInfo = replace(infos[n], pts=at, duration=until - at, captions=text)
        yield replace(cycle[n], info=info)


def _largest_change(before: npt.NDArray[np.int16], after: npt.NDArray[np.int16]) -> float:
    """Mean absolute difference of the block that changed most, in 8-bit codes."""
    change = np.abs(after - before)
    height, width = (max(n // _BLOCK, 1) * min(n, _BLOCK) for n in change.shape)
    side_y, side_x = min(change.shape[0], _BLOCK), min(change.shape[1], _BLOCK)
    blocks = change[:height, :width].reshape(height // side_y, side_y, width // side_x, side_x)
    return float(blocks.mean((1, 3)).max())
