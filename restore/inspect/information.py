"""How much picture there is in the picture, and how much enlarging by a network can therefore help.

Old films that reach us through several codecs hold little: the file of a frame compressed without loss is small, its
histogram narrow, its quantiser coarse. Where there is little, a network has nothing to work on and invents; Lanczos
does as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Help = Literal["much", "some", "little"]

_BY_STEP = (1.89, -0.339)
"""dB of gain, and more for each doubling of the quantiser step above 4 codes. Least squares over the 36 gains of
`bw_film_x2` over Lanczos in docs/quality.md (benchmarks/expected_gain.py), whose files have steps of 4 to 60. With each clip left
out in turn the error is 0.51 dB where gains spread by 0.61: the content counts for more than the codec."""
_BY_BITS = (1.54, 0.275)
"""The same from bits a sample, 0.1 to 3, and doublings of one bit, where no step is known; error 0.55 dB."""
_MUCH, _SOME = 0.9, 0.5
"""dB over Lanczos."""
_EMPTY = 10.0
"""PNG ratio above which the study of old films that this follows saw no effect of a network at all; at 3 it was clear."""


@dataclass(frozen=True, slots=True)
class Information:
    ratio: float
    """Raw bytes of R, G, B over those of a PNG of them; grey counts as three equal planes."""
    luma_ratio: float
    """The same of the luma alone."""
    entropy: float
    """Bits a sample of the luma's histogram, 0 to 8."""


def information(luma: NDArray[np.uint8], rgb: NDArray[np.uint8] | None) -> Information:
    """Of one frame, (H, W), and the same as (H, W, 3) where it has colour."""
    colour = np.repeat(luma[..., None], 3, 2) if rgb is None else rgb
    share = np.bincount(luma.ravel(), minlength=256) / luma.size
    held = share[share > 0]
    entropy = float(-(held * np.log2(held)).sum())
    return Information(_ratio(colour), _ratio(luma), entropy)


def _ratio(picture: NDArray[np.uint8]) -> float:
    done, file = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    return picture.size / file.size if done else 1.0


def typical(found: Sequence[Information]) -> Information:
    """Median of all shots; titles and black frames, which have next to none, are few."""
    if not found:
        return Information(1.0, 1.0, 0.0)
    return Information(
        *(
            float(np.median(values))
            for values in zip(*((f.ratio, f.luma_ratio, f.entropy) for f in found), strict=True)
        )
    )


def expected_gain(step: float | None, bits: float | None) -> float | None:
    """dB of Y-PSNR that the chain for old film gains over Lanczos on average, from the quantiser step (8-bit codes), or
    the bits a sample of the stream where no step is known; None where neither is."""
    if step is not None:
        constant, each = _BY_STEP
        return max(0.0, constant + each * math.log2(min(max(step, 4.0), 64.0) / 4))
    if bits is not None and bits > 0:
        constant, each = _BY_BITS
        return max(0.0, constant + each * math.log2(min(max(bits, 0.08), 4.0)))
    return None


def help_of(gain: float | None, ratio: float) -> Help:
    """What a gain, and the PNG ratio of R, G, B, mean to who watches."""
    if ratio >= _EMPTY or (gain is not None and gain < _SOME):
        return "little"
    return "much" if gain is None or gain >= _MUCH else "some"
