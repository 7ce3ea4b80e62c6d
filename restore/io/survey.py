"""Samples of a file, spread over its length: what a first look at the picture can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from restore.errors import InputError
from restore.io.borders import LineLevels
from restore.io.picture import luma_codes
from restore.io.reader import frames_of, open_input
from restore.io.scan import ScanSurvey, Verdict, judge
from restore.io.side_data import travelling
from restore.io.source import Part, Source

RUNS = 8
RUN = 20
"""Consecutive frames of a sample: four cycles of telecine."""
BIG = 720 * 576
"""Luma samples above which fewer and shorter runs are taken: decoding them costs more."""
WHOLE = 200
"""Frames read from the start of a file that is short, or in which seeking does not work."""
PARTS = 4
"""Files looked at of a source of many."""
IMAGES = 24
"""Images looked at of a sequence."""
_COLUMNS = 360
"""Columns judged: combing is vertical, so that others can be left out."""
_BORDER_STEP = 4
"""Of so many frames one is looked at for borders, which do not move."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What samples show; by itself nothing."""

    scan: ScanSurvey = field(default_factory=ScanSurvey)
    lines: tuple[LineLevels, ...] = ()
    """Of some of the frames of `size`."""
    size: tuple[int, int] | None = None
    """(width, height) that most sampled frames have."""
    aspect: Fraction | None = None
    """Sample aspect ratio that the bitstream states for them."""
    other_sizes: tuple[int, int] = (0, 0)
    """(frames of another size, frames looked at)."""
    side_data: frozenset[str] = frozenset()
    """What some of the frames carry along (see restore.io.side_data)."""


def survey(source: Source) -> Survey:
    """Look at samples of a source that has no layout yet. The same file gives the same survey on every machine:
    its bounds are counts of frames, never time."""
    parts = source.parts[:: -(-len(source.parts) // PARTS)]
    looks = [look for part in parts for look in _looks_at(part, source.video.index)]
    looks = [look for look in looks if look.frames]
    if not looks:
        return Survey()
    sizes = sum((look.sizes for look in looks), Counter[tuple[int, int]]())
    size = max(sizes, key=lambda s: sizes[s])  # of equally many, the first that was met
    flagged = sum(look.flagged for look in looks)
    frames = sum(look.frames for look in looks)
    runs = tuple(run for look in looks for run in look.runs())
    return Survey(
        ScanSurvey(runs, 2 * flagged > frames, looks[-1].top_first),
        tuple(lines for look in looks for lines in look.lines if lines.size == size),
        size,
        next((look.aspects[size] for look in looks if look.aspects.get(size)), None),
        (frames - sizes[size], frames),
        frozenset().union(*(look.side_data for look in looks)),
    )


def _looks_at(part: Part, index: int) -> list[_Look]:
    if part.images:
        step = -(-len(part.files) // IMAGES)
        return [look for file in part.files[::step] for look in _image_look(file)]
    number = index if part.streams is None else part.streams[index]
    looks = _looks(part.files, number, spread=True)
    if sum(look.frames for look in looks) < WHOLE // 4:
        looks = _looks(part.files, number, spread=False)
    return looks


def _image_look(file: Path) -> list[_Look]:
    """Of one image: those a step apart are no consecutive frames."""
    try:
        return _looks((file,), 0, spread=False)
    except InputError:  # said when its turn comes
        return []


class _Look:
    """What consecutive frames show; nothing but a few numbers is kept of them."""

    def __init__(self, frames: Iterator[av.VideoFrame], stream: VideoStream) -> None:
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.aspects: dict[tuple[int, int], Fraction] = {}
        self.flagged = 0
        self.side_data: set[str] = set()
        self.verdicts: list[Verdict] = []
        self.lines: list[LineLevels] = []
        held: list[npt.NDArray[np.int16]] = []
        for frame in frames:
            luma = luma_codes(frame)
            if self.frames % _BORDER_STEP == 0 and not frame.is_corrupt:
                self.lines.append(LineLevels.of(luma))
            self.sizes[frame.width, frame.height] += 1
            if said := stream.codec_context.sample_aspect_ratio:
                self.aspects.setdefault((frame.width, frame.height), Fraction(said))
            self.flagged += frame.interlaced_frame
            self.side_data |= travelling(frame)
            step = max(1, frame.width // _COLUMNS)
            held = [*held[-2:], luma[:, ::step].astype(np.int16)]
            if len(held) == 3:
                same = held[0].shape == held[1].shape == held[2].shape
                self.verdicts.append(judge(*held) if same else "silent")
        # AVFieldOrder: top or bottom field shown first; known once frames were decoded.
        self.top_first = {2: True, 5: True, 3: False, 4: False}.get(
            stream.codec_context.field_order
        )

    @property
    def frames(self) -> int:
        return self.sizes.total()

    def runs(self) -> list[tuple[Verdict, ...]]:
        """Short ones, so that an edit within a long one does not hide a pattern."""
        return [tuple(self.verdicts[i : i + RUN]) for i in range(0, len(self.verdicts), RUN)]


def _looks(files: Sequence[Path], number: int, *, spread: bool) -> list[_Look]:
    with open_input(*files) as container:
        stream = container.streams[number]
        if not isinstance(stream, VideoStream):
            return []
        if not spread:
            return [_Look(_decoded(container, stream, WHOLE), stream)]
        big = stream.codec_context.width * stream.codec_context.height > BIG
        count, length = (RUNS // 2, RUN * 3 // 4) if big else (RUNS, RUN)
        return [_Look(run, stream) for run in spread_runs(container, stream, count, length)]


def spread_runs(
    container: InputContainer, stream: VideoStream, count: int, length: int
) -> Iterator[Iterator[av.VideoFrame]]:
    """`count` runs of `length` frames from all over the file; each must be read before the next. None where the file
    is short, or says no length; fewer where seeking leads nowhere or twice to the same place."""
    base, rate = Fraction(stream.time_base or 0), stream.guessed_rate or stream.average_rate
    if not base or not rate or not stream.duration or stream.duration * base * rate <= WHOLE:
        return
    met = set()
    for k in range(count):
        target = (stream.start_time or 0) + stream.duration * (2 * k + 1) // (2 * count)
        try:
            container.seek(target, stream=stream)
        except av.FFmpegError:
            continue
        run = _decoded(container, stream, length)
        first = next(run, None)
        if first is not None and (first.pts, first.dts) not in met:
            met.add((first.pts, first.dts))
            yield chain([first], run)


def _decoded(container: InputContainer, stream: VideoStream, count: int) -> Iterator[av.VideoFrame]:
    return islice(frames_of(container, stream, lambda *_: None), count)
