"""What was seen of a file: every frame's time, damage, scene; segments; measured facts.

The index is built by a decode that runs ahead of the render. Nothing a header says is believed.
"""

from __future__ import annotations

import base64
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Set
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore.grid import find_grid, measure_noise
from restore.io.decode import DecodeLog, Event
from restore.measures import MEASURES
from restore.mending import Repair
from restore.scenes import DELAY, CutMarker, SceneOptions
from restore.video import BlockGrid, Curve, FrameBatch, FrameInfo, SceneFacts

SEGMENT_SECONDS = 10
"""A segment is the shortest run of whole scenes of at least this length ..."""
SEGMENT_CAP_SECONDS = 60
"""... but never longer than this: a longer scene is cut, and its pieces get a halo."""
FACT_FRAMES = 30
"""Frames of a scene, from its first, that its facts are measured on."""

_LARGEST = 60000.0
"""That a 16-bit float holds, nearly."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of frames: the unit of encoding, resume, retry and distribution."""

    number: int
    first: int
    stop: int
    """Frame indices, `stop` excluded."""


@dataclass
class Index:
    """Grows while it is built; `complete` once the whole file was seen."""

    time_base: Fraction
    pts: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    """Frame indices."""
    repeats: list[int] = field(default_factory=list)
    """Indices of frames that show the picture of an earlier one again."""
    cuts: list[int] = field(default_factory=lambda: [0])
    """Frame indices that start a scene, the first frame included."""
    segments: list[Segment] = field(default_factory=list)
    facts: dict[int, SceneFacts] = field(default_factory=dict)
    """By scene number."""
    curves: dict[str, bytearray] = field(default_factory=dict)
    """By name of the measure: its numbers of each frame, as 16-bit floats, one frame after the other."""
    log: DecodeLog = field(default_factory=DecodeLog)
    """What went wrong in the decode that the index was made from."""
    repairs: list[Repair] = field(default_factory=list)
    """What was done about damaged and lost frames."""
    captioned: int = 0
    """Frames that carry closed captions."""
    scaled: int = 0
    """Frames that were decoded in another size and scaled."""
    complete: bool = False

    def note(self, frames: Iterable[FrameInfo]) -> None:
        """Take down the next frames of the video."""
        for info in frames:
            self.pts.append(info.pts)
            self.durations.append(info.duration)
            self.types.append(info.picture_type)
            if info.damaged:
                self.damaged.append(info.index)
            if info.repeats is not None:
                self.repeats.append(info.index)
            self.captioned += bool(info.captions)
            self.scaled += info.scaled

    def add_cuts(self, frames: Iterable[int]) -> None:
        """Detectors may report one cut twice, and a late one after a later one."""
        for frame in set(frames) - set(self.cuts[-8:]):
            insort(self.cuts, frame)

    def scene(self, frame: int) -> int:
        """Scene number of a frame that lies in a finished segment."""
        return bisect_right(self.cuts, frame) - 1

    def scene_facts(self, scene: int, first: int, stop: int) -> SceneFacts | None:
        """What is known of a scene, and the curves of those of its frames that lie in [first, stop); None: nothing."""
        facts = self.facts.get(scene)
        if not self.curves:
            return facts
        later = self.cuts[scene + 1 : scene + 2]
        first, stop = max(first, self.cuts[scene]), min([stop, len(self.pts), *later])
        return replace(
            facts or SceneFacts(),
            curves={name: self._curve(name, first, stop) for name in sorted(self.curves)},
        )

    def _curve(self, name: str, first: int, stop: int) -> Curve:
        width = MEASURES[name].width
        # A slice is a copy: the index may grow in another thread.
        part = self.curves[name][2 * width * first : 2 * width * stop]
        values = np.frombuffer(bytes(part), "<f2").reshape(-1, width)
        return Curve(first, torch.from_numpy(values.astype(np.float32)))

    def seconds(self, frame: int) -> Fraction:
        """Time of a frame after the first one."""
        return (self.pts[frame] - self.pts[0]) * self.time_base

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last one seen."""
        if not self.pts:
            return Fraction(0)
        return self.seconds(-1) + self.durations[-1] * self.time_base

    def to_json(self) -> dict[str, Any]:
        curves = {name: base64.b64encode(c).decode() for name, c in self.curves.items()}
        return {**asdict(self), "time_base": str(self.time_base), "curves": curves}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Index:
        facts = {}
        for scene, fact in data["facts"].items():
            grid = fact["grid"]
            if grid is not None:
                grid = BlockGrid(tuple(grid["period"]), tuple(grid["offset"]), grid["strength"])
            facts[int(scene)] = SceneFacts(**{**fact, "grid": grid})
        frames = len(data["pts"])
        curves = {name: bytearray(base64.b64decode(c)) for name, c in data["curves"].items()}
        if any(len(c) != 2 * MEASURES[name].width * frames for name, c in curves.items()):
            raise ValueError("curves: expected the numbers of every frame")
        return Index(
            **{
                **data,
                "time_base": Fraction(data["time_base"]),
                "segments": [Segment(**s) for s in data["segments"]],
                "facts": facts,
                "curves": curves,
                "log": DecodeLog(
                    **{**data["log"], "events": [Event(**e) for e in data["log"]["events"]]}
                ),
                "repairs": [Repair(**r) for r in data["repairs"]],
            }
        )


def build_index(
    index: Index,
    batches: Iterable[FrameBatch],
    scenes: SceneOptions,
    needs: Set[str],
    look_ahead: int = 0,
) -> Iterator[Segment]:
    """Fill `index` from decoded batches (integer codes), yielding each segment as soon as it is closed.
    `needs` names the SceneFacts fields and the curves (restore.measures) to measure. Everything about a yielded segment is final, and so are
    the cuts among the `look_ahead` frames after it."""
    marker = CutMarker(scenes)
    curves = {name: MEASURES[name].begin() for name in sorted(needs & MEASURES.keys())}
    needs = needs - MEASURES.keys()
    pending: list[Tensor] = []
    sampled: dict[int, list[Tensor]] = {}
    base = seen = 0

    def settle(known: int, ahead: int) -> Iterator[Segment]:
        """Frames before `known` have their scene; segments end `ahead` of them."""
        nonlocal base, seen
        while seen < known:
            luma = pending.pop(0)
            scene = index.scene(seen)
            if needs and scene not in index.facts and seen - index.cuts[scene] < FACT_FRAMES:
                sampled.setdefault(scene, []).append(luma)
            seen += 1
        while base < known - ahead:
            if segment := _close(index, base):
                _measure(index, segment, sampled, needs)
                yield segment
            base += 1

    index.curves = {name: bytearray() for name in curves}
    for batch in batches:
        luma8 = _luma8(batch)
        for i, info in enumerate(batch.frames):
            for name, measured in curves.items():
                numbers = np.clip(measured(luma8[i, 0].numpy()), -_LARGEST, _LARGEST)
                index.curves[name] += numbers.astype("<f2").tobytes()
            index.note([info])
            index.add_cuts(marker.feed(luma8[i, 0].numpy()))
            pending.append(luma8[i : i + 1])
        yield from settle(len(index.pts) - DELAY, look_ahead)
    index.add_cuts(marker.finish())
    yield from settle(len(index.pts), 0)
    start = index.segments[-1].stop if index.segments else 0
    if start < len(index.pts):
        segment = Segment(len(index.segments), start, len(index.pts))
        index.segments.append(segment)
        _measure(index, segment, sampled, needs)
        index.complete = True
        yield segment
    index.complete = True


def _close(index: Index, frame: int) -> Segment | None:
    """The segment that ends just before `frame`, if one does."""
    first = index.segments[-1].stop if index.segments else 0
    if frame == first:
        return None
    length = (index.pts[frame] - index.pts[first]) * index.time_base
    starts_scene = index.cuts[index.scene(frame)] == frame
    if (starts_scene and length >= SEGMENT_SECONDS) or length >= SEGMENT_CAP_SECONDS:
        segment = Segment(len(index.segments), first, frame)
        index.segments.append(segment)
        return segment
    return None


def _measure(
    index: Index, segment: Segment, sampled: dict[int, list[Tensor]], needs: Set[str]
) -> None:
    if not needs:
        return
    for scene in range(index.scene(segment.first), index.scene(segment.stop - 1) + 1):
        if scene not in index.facts:
            # Not those that are known because the index looks ahead: how many depends on how the frames came.
            luma = torch.cat(sampled.pop(scene)[: segment.stop - index.cuts[scene]])
            index.facts[scene] = SceneFacts(
                find_grid(luma) if "grid" in needs else None,
                measure_noise(luma) if "noise" in needs else None,
            )


def _luma8(batch: FrameBatch) -> Tensor:
    """(T, 1, H, W) uint8 luma codes, for measuring only."""
    luma, depth = batch.planes[0], batch.format.depth
    return luma if depth == 8 else (luma.to(torch.int32) >> (depth - 8)).to(torch.uint8)
