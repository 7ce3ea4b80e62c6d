"""Cut one sequential decode into the frames that each segment needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from restore.index import Index, Segment
from restore.io.source import Span
from restore.video import FrameBatch, SceneFacts


class Feed:
    """Hands out spans of frames in rising order from a decode that cannot seek.

    Seeking in RealMedia and MPEG program streams cannot be trusted, so frames of segments that are already
    done are decoded and dropped. Batches are cut at the same places whatever was done before: a resumed
    run does the same arithmetic as an uninterrupted one."""

    def __init__(
        self,
        batches: Iterator[FrameBatch],
        index: Index,
        halo: tuple[int, int],
        curve_reach: int = 0,
    ) -> None:
        """`curve_reach`: frames around a segment and its halo whose curves go along (see SceneFacts)."""
        self._batches, self._index, self._halo = batches, index, halo
        self._reach = curve_reach
        self._held: deque[FrameBatch] = deque()

    def frames_of(self, segment: Segment) -> Iterator[FrameBatch]:
        """The segment's frames, with their scenes and facts, and around a cut inside a scene as many frames
        more as the chain looks at. Consume it before asking for the next segment."""
        first, stop = self._with_halo(segment)
        known: dict[int, SceneFacts | None] = {}
        for batch in self._span(first, stop):
            scenes = [self._index.scene(f.index) for f in batch.frames]
            for s in set(scenes) - known.keys():
                known[s] = self._index.scene_facts(s, first - self._reach, stop + self._reach)
            yield replace(
                batch,
                frames=tuple(
                    replace(f, scene=s) for f, s in zip(batch.frames, scenes, strict=True)
                ),
                facts={s: f for s in set(scenes) if (f := known[s]) is not None},
            )

    def skip(self, segment: Segment) -> None:
        """The segment is not wanted; its frames are dropped when later ones are asked for."""

    def end(self, segment: Segment) -> Segment:
        """The segment as it turned out: the index knew it beforehand."""
        return segment

    def _with_halo(self, segment: Segment) -> tuple[int, int]:
        """The halo never reaches into another scene: frames there are never looked at."""
        past, future = self._halo
        scene_first = self._index.cuts[self._index.scene(segment.first)]
        first = max(segment.first - past, min(scene_first, segment.first))
        later = [c for c in self._index.cuts if c >= segment.stop]
        stop = min([segment.stop + future, *later[:1]])
        return first, stop

    def _span(self, first: int, stop: int) -> Iterator[FrameBatch]:
        for batch in list(self._held):
            yield from _inside(batch, first, stop)
        while not self._held or self._held[-1].frames[-1].index + 1 < stop:
            pulled = next(self._batches, None)
            if pulled is None:
                return
            self._held.append(pulled)
            yield from _inside(pulled, first, stop)
            # The next segment starts no earlier than a halo before the end of this one.
            needed = pulled.frames[0].index - sum(self._halo)
            while self._held[0].frames[-1].index < needed:
                self._held.popleft()


def _inside(batch: FrameBatch, first: int, stop: int) -> Iterator[FrameBatch]:
    start = batch.frames[0].index
    low, high = max(first - start, 0), min(stop - start, len(batch))
    if low < high:
        yield batch[low:high]


def first_alone(batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
    """The same frames, the first in a batch of its own: a network and an encoder begin with it."""
    first = next(batches, None)
    if first is not None:
        yield first[:1]
        if len(first) > 1:
            yield first[1:]
    yield from batches


def trim(batches: Iterable[FrameBatch], span: Span | None) -> Iterator[FrameBatch]:
    """Frames whose time lies in `span`, renumbered from 0; their times stay as they are."""
    count = 0
    for batch in batches:
        if span is None:
            yield batch
            continue
        times = [f.pts * batch.format.time_base for f in batch.frames]
        keep = [i for i, time in enumerate(times) if span.holds(time)]
        if keep:
            part = batch[keep[0] : keep[-1] + 1]
            frames = tuple(replace(f, index=count + i) for i, f in enumerate(part.frames))
            count += len(frames)
            yield replace(part, frames=frames)
        if span.end is not None and times[-1] >= span.end:
            return
