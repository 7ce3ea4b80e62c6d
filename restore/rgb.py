"""R, G, B to Y, Cb, Cr and back, such that nothing is lost (H.273 eq. 38 to 40).

Y, Cb, Cr get more bits than R, G, B have. Rounding them errs by half a code at most, and in R, G or B that
comes to half of (1 + 2 (1 - K)) codes of the deeper planes, K being the smaller luma weight: below 1.44. With
`inner_depth` that is 0.01 codes of 8-bit R, G, B and 0.42 of 16-bit ones, less than the half that would
change one, so the way back gives the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from restore.color import LUMA_WEIGHTS, Matrix
from restore.planes import code_scale
from restore.video import Planes, VideoFormat


def inner_depth(rgb_depth: int) -> int:
    """Bits of Y, Cb, Cr that hold R, G, B of `rgb_depth` bits exactly."""
    return 16 if rgb_depth <= 14 else 18


def ycbcr_codes(
    rgb: Sequence[npt.NDArray[np.integer[Any]]], rgb_depth: int, fmt: VideoFormat
) -> list[npt.NDArray[np.float32]]:
    """Full-range codes of R, G, B, each (h, w), as whole numbers that are codes of `fmt`: its depth, matrix
    and range. ValueError for a matrix that is not linear."""
    k_r, k_b = _weights(fmt.color.matrix)
    peak = np.float32((1 << rgb_depth) - 1)
    red, green, blue = (plane.astype(np.float32) / peak for plane in rgb)
    luma = np.float32(k_r) * red + np.float32(1 - k_r - k_b) * green + np.float32(k_b) * blue
    cb = (blue - luma) * np.float32(0.5 / (1 - k_b))
    cr = (red - luma) * np.float32(0.5 / (1 - k_r))
    codes = []
    for number, plane in enumerate((luma, cb, cr)):
        offset, scale = code_scale(fmt.depth, bool(fmt.color.full_range), number > 0)
        codes.append(np.rint(plane * np.float32(scale) + np.float32(offset)))
    return codes


def to_gbr(planes: Planes, matrix: Matrix) -> Planes:
    """Nominal Y, Cb, Cr of one size -> (G, B, R), 0 black to 1 full, the order in which FFmpeg keeps them;
    excursions are kept. ValueError for a matrix that is not linear."""
    k_r, k_b = _weights(matrix)
    luma, cb, cr = planes
    red: Tensor = luma + 2 * (1 - k_r) * cr
    blue: Tensor = luma + 2 * (1 - k_b) * cb
    green: Tensor = (luma - k_r * red - k_b * blue) / (1 - k_r - k_b)
    return green, blue, red


def to_ycbcr(gbr: Planes, matrix: Matrix) -> Planes:
    """The way back from `to_gbr`, by any matrix. ValueError for one that is not linear."""
    k_r, k_b = _weights(matrix)
    green, blue, red = gbr
    luma: Tensor = k_r * red + (1 - k_r - k_b) * green + k_b * blue
    return luma, (blue - luma) * (0.5 / (1 - k_b)), (red - luma) * (0.5 / (1 - k_r))


def _weights(matrix: Matrix) -> tuple[float, float]:
    found = LUMA_WEIGHTS.get(matrix)
    if found is None:
        raise ValueError(f"no R, G, B by matrix {matrix.name}")
    return found
