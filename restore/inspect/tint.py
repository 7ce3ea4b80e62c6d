"""Is there colour, one tint all over, or none?

Asked of the chroma planes as they are coded. No colour is neutral chroma. A tint (toned film, a colour cast on a
black-and-white scan) either is one hue, stronger here and weaker there, or follows from the brightness alone, because
whatever dyed the picture knew nothing else of it. All else is colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

TintKind = Literal["mono", "tinted", "colour", "unknown"]

NEUTRAL = 2.5
"""8-bit codes of chroma that no one sees; a codec's rounding leaves one or two."""
_OWN = 4.0
"""Codes of chroma that are neither of the one hue nor follow from luma, above which there is colour; coarse quantisers
leave up to 3 in a toned film, colour films that are nearly grey have 5 and more."""
_TAIL = 0.98
"""Quantile of the picture's samples that is looked at: a coloured detail is a small part of a picture."""


@dataclass(frozen=True, slots=True)
class Tint:
    kind: TintKind
    cast: tuple[float, float]
    """Mean Cb and Cr in 8-bit codes away from neutral."""
    colour: float
    """8-bit codes of chroma that no one tint explains, reached by 2 % of the samples."""


def tint_of(luma: NDArray[Any], blue: NDArray[Any], red: NDArray[Any]) -> Tint:
    """Of (T, h, w) planes of one size (luma shrunk to the chroma's), in 8-bit codes."""
    chroma = np.stack([blue, red]).astype(np.float32) - 128
    # Blocks of 4x4 keep what the eye takes for colour; noise of single samples is none.
    y, *c = (_blocks(p) for p in (luma.astype(np.float32), *chroma))
    cast = (float(c[0].mean()), float(c[1].mean()))
    if _reach(np.hypot(c[0], c[1])) <= NEUTRAL:
        return Tint("mono", cast, 0.0)
    dyed = np.hypot(*(p - _explained(y, p) for p in c))
    colour = min(_reach(dyed), _reach(_off_hue(c[0], c[1], cast)))
    return Tint("colour" if colour > _OWN else "tinted", cast, colour)


def vote(found: Sequence[Tint]) -> Tint:
    """Of a whole file, from its runs: colour where a tenth of them or more has any, as black-and-white runs occur in
    colour films but not the other way round."""
    if not found:
        return Tint("unknown", (0.0, 0.0), 0.0)
    order: list[TintKind] = ["colour", "tinted", "mono"]
    kind = next(k for k in order if sum(t.kind == k for t in found) >= 0.1 * len(found))
    own = [t for t in found if t.kind == kind]
    cast = (float(np.median([t.cast[0] for t in own])), float(np.median([t.cast[1] for t in own])))
    return Tint(kind, cast, float(np.median([t.colour for t in own])))


def _explained(luma: NDArray[Any], chroma: NDArray[Any]) -> NDArray[Any]:
    """The cubic of luma that is nearest to `chroma`."""
    scaled = (luma - 128) / 128
    curve = np.polynomial.Polynomial.fit(scaled.ravel(), chroma.ravel(), 3, domain=[-1, 1])
    return np.asarray(curve(scaled), np.float32)


def _off_hue(blue: NDArray[Any], red: NDArray[Any], cast: tuple[float, float]) -> NDArray[Any]:
    """Distance of (Cb, Cr) from the ray that goes out from neutral in the direction of `cast`."""
    length = max(1e-6, float(np.hypot(*cast)))
    x, y = cast[0] / length, cast[1] / length
    beside = np.abs(blue * y - red * x)
    return np.where(blue * x + red * y > 0, beside, np.hypot(blue, red))


def _reach(values: NDArray[Any]) -> float:
    return float(np.quantile(values, _TAIL))


def _blocks(plane: NDArray[Any]) -> NDArray[Any]:
    """(T, h, w) -> means of 4x4 samples, (T, h // 4, w // 4)."""
    t, h, w = plane.shape
    step = min(4, h, w)
    cut = plane[:, : h // step * step, : w // step * step]
    return np.asarray(cut.reshape(t, h // step, step, w // step, step).mean((2, 4)), np.float32)
