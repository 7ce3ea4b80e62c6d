"""What flows through a pipeline: frames, their times, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from restore.color import ColorInfo, HdrMetadata

T = TypeVar("T")
Planes = tuple[Tensor, ...]
"""Y or (Y, Cb, Cr), each (T, 1, h, w) at its own resolution."""


class Chroma(Enum):
    """Chroma sampling, as (log2 vertical, log2 horizontal) subsampling."""

    C420 = (1, 1)
    C422 = (0, 1)
    C444 = (0, 0)
    C440 = (1, 0)
    C411 = (0, 2)
    C410 = (2, 2)


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """Constant for a whole stream; stages map one VideoFormat to another."""

    width: int
    height: int
    """Luma samples."""
    chroma: Chroma | None
    """None: grey, one plane."""
    depth: int
    """Bits per sample of the decoded or encoded codes, not of the tensors."""
    time_base: Fraction
    """Seconds per unit of FrameInfo.pts."""
    color: ColorInfo = field(default_factory=ColorInfo)
    sample_aspect: Fraction = Fraction(1)
    """Width of a sample over its height (SAR); scaling both axes alike leaves it as it is."""
    rgb_depth: int | None = None
    """Bits of the R, G, B that the planes were made of; None: they were Y, Cb, Cr or grey from the start."""
    hdr: HdrMetadata | None = None
    """What the source says of the screen it was graded on, beside its colour tags."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a video of {self.width}x{self.height} samples cannot exist")

    def plane_shapes(self) -> list[tuple[int, int]]:
        """(h, w) of each plane; odd luma sizes round chroma up."""
        shapes = [(self.height, self.width)]
        if self.chroma is not None:
            down, across = self.chroma.value
            shapes += [(-(-self.height >> down), -(-self.width >> across))] * 2
        return shapes

    def same_shape(self, sample_aspect: Fraction) -> bool:
        """Whether samples of `sample_aspect` show this picture in its shape: some containers hold ratios of 16 bits, which
        are off by less than one sample in ten thousand."""
        return abs(sample_aspect / self.sample_aspect - 1) < Fraction(1, 10_000)

    def squared(self) -> VideoFormat:
        """The same picture in square samples: the height stays, the width is rounded to an even number."""
        if self.sample_aspect == 1:
            return self
        width = max(2, 2 * round(self.width * self.sample_aspect / 2))
        return replace(self, width=width, sample_aspect=Fraction(1))

    def scaled(self, factor: int) -> VideoFormat:
        """The same video, `factor` times as wide and as high."""
        return replace(self, width=self.width * factor, height=self.height * factor)


@dataclass(frozen=True, slots=True)
class FrameInfo:
    """One frame's identity. Stages read it and never return it."""

    index: int
    """Position in display order, from 0."""
    pts: int
    """Presentation time in VideoFormat.time_base units, after repair (VFR-safe)."""
    duration: int
    """In the same units."""
    scene: int = 0
    """Frames may be mixed only with frames of the same scene."""
    picture_type: str = "?"
    """'I', 'P', 'B' as coded, '?' where the bitstream does not say."""
    damaged: bool = False
    """The decoder met an error in it and concealed what it could."""
    concealed: bool = False
    """Its picture was made, wholly or in part, from its neighbours (see restore.conceal)."""
    repeats: int | None = None
    """Index of the frame whose picture this one shows again; None: a picture of its own."""
    captions: bytes = b""
    """Closed captions (EIA-608 and 708) that came with it, for the encoder (see restore.io.captions)."""
    scaled: bool = False
    """It was decoded in another size than most and scaled to theirs."""


@dataclass(frozen=True, slots=True)
class QuantMap:
    """What the bitstream says about one frame's quantiser, in source luma samples."""

    steps: Tensor
    """(rows, columns) float32: quantiser step size of each cell, in 8-bit codes."""
    cell: int = 16
    """Side of a cell in luma samples."""
    origin: tuple[int, int] = (0, 0)
    """(down, right) place of the picture's top left sample on the map, in luma samples."""


@dataclass(frozen=True, slots=True)
class SceneFacts:
    """What the index measured over one scene, because a stage declared that it needs it."""

    grid: BlockGrid | None = None
    noise: float | None = None
    """Standard deviation of temporal-free luma noise, in 8-bit codes."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """What was measured frame by frame, by name, around the frames at hand."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What the index measured of each frame of a scene, or of the stretch of one that a stage may look at."""

    first: int
    """FrameInfo.index of the first frame."""
    values: Tensor
    """(frames, numbers of one) float32."""


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """A block structure found in the picture (SCIENCE E1): block edges lie at x = offset + k * period."""

    period: tuple[float, float]
    """(vertical, horizontal), luma samples; 8 for a first-generation 8x8 codec."""
    offset: tuple[float, float]
    """(vertical, horizontal), luma samples: index of the first sample after an edge."""
    strength: float
    """Mean excess of the step across block edges, in 8-bit codes: 0 where no edge is visible."""


class Motion(Protocol):
    """The motion service, as stages see it (see restore.motion)."""

    def flow(self, target: int, reference: int, size: tuple[int, int]) -> Tensor:
        """(1, 2, H, W) displacement in samples of a `size` = (H, W) grid, x then y:
        target(p) looks like reference(p + flow(p)). Frames are named by FrameInfo.index."""
        ...

    def doubt(self, target: int, reference: int, size: tuple[int, int]) -> Tensor:
        """(1, 1, H, W): samples of a `size` grid by which the way to `reference` and back misses its start, or leads
        out of the picture: large where `reference` does not show what `target` does."""
        ...

    def once(self, target: int, reference: int, repairs: int, make: Callable[[], T]) -> T:
        """What `make` returns, asked once for this pair of frames after so many `repairs` (see FrameBatch) and remembered for
        as long as their motion: several stages want the frames beside one moved onto it, as they were decoded."""
        ...


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Consecutive frames. Between decoder, worker and encoder: integer codes (uint8, uint16).
    Inside a worker: nominal floats, Y in [0, 1] black to white, Cb and Cr in [-0.5, 0.5];
    values outside are legal (super-white, foot-room) and must survive a no-op."""

    planes: Planes
    frames: tuple[FrameInfo, ...]
    format: VideoFormat
    source: Planes | None = None
    """What stages compare with: the decoded planes these frames came from, as the last stage that repairs left them;
    None: `planes` are they."""
    source_format: VideoFormat | None = None
    """Format of `source`."""
    quant: tuple[QuantMap | None, ...] = ()
    """Per frame, where the codec exports it; empty: none known."""
    facts: Mapping[int, SceneFacts] = field(default_factory=dict)
    """By FrameInfo.scene."""
    motion: Motion | None = None
    repairs: int = 0
    """Stages that repaired `source`."""

    def __post_init__(self) -> None:
        want = [(len(self.frames), 1, h, w) for h, w in self.format.plane_shapes()]
        got = [tuple(p.shape) for p in self.planes]
        if got != want:
            raise ValueError(f"planes have shapes {got}, the format says {want}")
        if self.quant and len(self.quant) != len(self.frames):
            raise ValueError(f"{len(self.quant)} quantiser maps for {len(self.frames)} frames")
        if (self.source is None) != (self.source_format is None):
            raise ValueError("source and source_format go together")

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, span: slice) -> FrameBatch:
        return replace(
            self,
            planes=tuple(p[span] for p in self.planes),
            frames=self.frames[span],
            source=None if self.source is None else tuple(p[span] for p in self.source),
            quant=self.quant[span],
        )

    def original(self) -> tuple[Planes, VideoFormat]:
        """The source planes and their format (this batch's own before the first stage)."""
        if self.source is None or self.source_format is None:
            return self.planes, self.format
        return self.source, self.source_format

    def with_planes(self, planes: Planes, output: VideoFormat) -> FrameBatch:
        """The same frames with new planes; the source planes are remembered.
        ValueError if the planes do not fit `output`."""
        source, source_format = self.original()
        return replace(
            self, planes=planes, format=output, source=source, source_format=source_format
        )

    def repaired(self) -> FrameBatch:
        """The same frames, whose planes are the source from here on."""
        return replace(self, source=None, source_format=None, repairs=self.repairs + 1)

    @staticmethod
    def cat(batches: Sequence[FrameBatch]) -> FrameBatch:
        """The frames of all batches, in order; format, facts and motion of the first."""
        first = batches[0]
        if len(batches) == 1:
            return first
        source = None
        if first.source is not None:
            source = _cat([b.source for b in batches if b.source is not None])
        quant: tuple[QuantMap | None, ...] = ()
        if any(b.quant for b in batches):
            quant = tuple(q for b in batches for q in b.quant or (None,) * len(b))
        facts = {scene: f for b in batches for scene, f in b.facts.items()}
        return replace(
            first,
            planes=_cat([b.planes for b in batches]),
            frames=tuple(f for b in batches for f in b.frames),
            source=source,
            quant=quant,
            facts=facts,
        )


def _cat(parts: Sequence[Planes]) -> Planes:
    return tuple(torch.cat(p) for p in zip(*parts, strict=True))
