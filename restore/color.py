"""What a video's numbers mean: H.273 code points, range, chroma siting.

Values are the numbers of ITU-T H.273 (tables 2 to 4), which every container and FFmpeg use as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from fractions import Fraction


class Primaries(IntEnum):
    """H.273 table 2."""

    BT709 = 1
    UNSPECIFIED = 2
    BT470M = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    FILM = 8
    BT2020 = 9
    SMPTE428 = 10
    SMPTE431 = 11
    SMPTE432 = 12
    EBU3213 = 22


class Transfer(IntEnum):
    """H.273 table 3."""

    BT709 = 1
    UNSPECIFIED = 2
    GAMMA22 = 4
    GAMMA28 = 5
    SMPTE170M = 6
    SMPTE240M = 7
    LINEAR = 8
    LOG = 9
    LOG_SQRT = 10
    IEC61966_2_4 = 11
    BT1361 = 12
    SRGB = 13
    BT2020_10 = 14
    BT2020_12 = 15
    PQ = 16
    SMPTE428 = 17
    HLG = 18


class Matrix(IntEnum):
    """H.273 table 4."""

    RGB = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    YCGCO = 8
    BT2020_NCL = 9
    BT2020_CL = 10


LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT470BG: (0.299, 0.114),
    Matrix.SMPTE170M: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020_NCL: (0.2627, 0.0593),
}
"""(K_R, K_B) of H.273 table 4, for the matrices that are one linear map of non-linear R, G, B."""


class Siting(Enum):
    """Where a subsampled chroma sample lies, as (vertical, horizontal) distance in luma samples from the
    first luma sample of the block it belongs to; CENTER is MPEG-1 and JPEG, LEFT is MPEG-2 and later."""

    LEFT = (0.5, 0.0)
    CENTER = (0.5, 0.5)
    TOP_LEFT = (0.0, 0.0)
    TOP = (0.0, 0.5)
    BOTTOM_LEFT = (1.0, 0.0)
    BOTTOM = (1.0, 0.5)


@dataclass(frozen=True, slots=True)
class ColorInfo:
    """The colour tags of a stream. After `resolve` nothing is UNSPECIFIED."""

    matrix: Matrix = Matrix.UNSPECIFIED
    primaries: Primaries = Primaries.UNSPECIFIED
    transfer: Transfer = Transfer.UNSPECIFIED
    full_range: bool | None = None
    """True: 0..255 in 8 bits; False: luma 16..235, chroma 16..240; None: the stream does not say."""
    siting: Siting | None = None
    """None: the stream does not say, or chroma is not subsampled."""

    def resolve(self, height: int, frame_rate: Fraction | None, siting: Siting) -> ColorInfo:
        """Unknown tags filled by one rule: BT.2020 with a PQ or HLG transfer; else up to 576 lines BT.601 (625-line tags when the height is 288 or
        576, or the rate is a multiple of 25; else 525-line), above that BT.709; limited range; `siting` as
        the codec defines it. The three tags follow each other only where they are unknown."""
        transfer: Transfer
        if self.transfer in (Transfer.PQ, Transfer.HLG):
            matrix, primaries, transfer = Matrix.BT2020_NCL, Primaries.BT2020, self.transfer
        elif height > 576:
            matrix, primaries, transfer = Matrix.BT709, Primaries.BT709, Transfer.BT709
        elif height in (288, 576) or (frame_rate is not None and _is_pal(frame_rate)):
            # H.273 lists 625-line material as BT.470 B/G primaries with the BT.601 (SMPTE 170M) curve.
            matrix, primaries, transfer = Matrix.BT470BG, Primaries.BT470BG, Transfer.SMPTE170M
        else:
            matrix, primaries, transfer = Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M
        return ColorInfo(
            matrix if self.matrix is Matrix.UNSPECIFIED else self.matrix,
            primaries if self.primaries is Primaries.UNSPECIFIED else self.primaries,
            transfer if self.transfer is Transfer.UNSPECIFIED else self.transfer,
            bool(self.full_range),
            self.siting or siting,
        )


Point = tuple[Fraction, Fraction]
"""CIE 1931 (x, y)."""


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """The screen a film was graded on (SMPTE ST 2086)."""

    primaries: tuple[Point, Point, Point]
    """Red, green, blue."""
    white: Point
    luminance: tuple[Fraction, Fraction]
    """(least, greatest), cd/m2."""


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """What HDR material carries beside its tags."""

    mastering: MasteringDisplay | None = None
    light: tuple[int, int] | None = None
    """(MaxCLL, MaxFALL), cd/m2: the brightest sample, and the brightest frame on average (CTA-861.3)."""
    dynamic: tuple[str, ...] = ()
    """Names of metadata that change from frame to frame, such as 'Dolby Vision': true only of the picture
    they were made for."""
    may_go: bool = False
    """What an encoder cannot carry of it may be dropped."""


def _is_pal(rate: Fraction) -> bool:
    return min(abs(rate - r) for r in (Fraction(25, 2), 25, 50)) < Fraction(1, 100)
