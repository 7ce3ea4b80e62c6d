"""How a clean picture is spoilt before it is restored: made smaller by bicubic, JPEG, or real video codecs.

Rates are those of 352x288 at 25 frames/s and scale with the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from restore.errors import EvaluateError, TrainError
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.options import hint
from restore.train.codecs import CIF_PIXELS, VCD_BUFFER_BITS, Codes, Generation, Step, encode
from restore.train.degrade import downscale

CIF_RATE = CIF_PIXELS * 25
_TOO_LARGE = "packets larger than 64 kB"
"""What FFmpeg's RealMedia writer says of a frame that a finer quantiser made too large for it."""


@dataclass(frozen=True)
class Recipe:
    """All are made smaller first, where the network enlarges."""

    title: str
    images: bool = False
    """Whether it is for images; `clips`: for clips."""
    clips: bool = False
    jpeg: int | None = None
    """Quality of a grey JPEG."""
    first: Step | None = None
    """First generation of a video codec."""
    second: int | None = None
    """Real rate in kb/s of an RV20 second generation."""


def mpeg1(kilobits: int) -> Step:
    """MPEG-1 with a VCD's buffer."""
    rate = kilobits * 1000
    limits = {"b:v": rate, "maxrate": rate, "bufsize": VCD_BUFFER_BITS}
    return Step("mpeg1video", {**limits, "g": 15, "bf": 2})


RECIPES: dict[str, Recipe] = {
    "bicubic": Recipe("bicubic", images=True, clips=True),
    **{f"jpeg_{q}": Recipe(f"JPEG quality {q}", images=True, jpeg=q) for q in (10, 20, 30, 40)},
    "near_clean": Recipe(
        "nearly clean", clips=True, first=Step("mpeg1video", {"q:v": 2, "g": 15, "bf": 2})
    ),
    "vcd": Recipe("VCD 1150k", clips=True, first=mpeg1(1150)),
    "mpeg1_600": Recipe("MPEG-1 600k", clips=True, first=mpeg1(600)),
    "mpeg1_350": Recipe("MPEG-1 350k", clips=True, first=mpeg1(350)),
    "rv20_450": Recipe("VCD -> RV20 450k", clips=True, first=mpeg1(1150), second=450),
    "rv20_250": Recipe("VCD -> RV20 250k", clips=True, first=mpeg1(1150), second=250),
}

CODEC_RECIPES = ("vcd", "mpeg1_600", "mpeg1_350", "rv20_450", "rv20_250")
"""What clips go through where nothing is said."""


def pick_recipes(names: Sequence[str], still: bool, scale: int) -> list[str]:
    """Keys of RECIPES that fit, in the order asked for; without `names` the usual ones: codecs for clips, bicubic
    for images, JPEG at scale 1. EvaluateError names every one that is unknown; those for the other kind of set are
    left out, unless none remains."""
    unknown = [
        f"--recipe {name}: unknown{hint(name, RECIPES)}" for name in names if name not in RECIPES
    ]
    if unknown:
        raise EvaluateError("\n".join(unknown))
    if not names:
        usual = ("bicubic",) if scale > 1 else ("jpeg_10",)
        return list(usual if still else CODEC_RECIPES)
    kind = "images" if still else "clips"
    fitting = [name for name in dict.fromkeys(names) if getattr(RECIPES[name], kind)]
    if not fitting:
        known = ", ".join(name for name, recipe in RECIPES.items() if getattr(recipe, kind))
        raise EvaluateError(f"--recipe {','.join(names)}: none is for {kind}; these are: {known}")
    if scale == 1 and "bicubic" in fitting:
        raise EvaluateError(
            "--recipe bicubic: changes nothing at scale 1; take one with a codec, such as jpeg_10 or vcd"
        )
    return fitting


def through_codecs(
    clean: Codes, recipe: Recipe, scale: int, folder: Path
) -> tuple[Path, Generation]:
    """(T, H, W), H and W multiples of 16 * scale -> the file that went through the recipe's codecs, in `folder`, and
    what its last generation was. Made smaller by FFmpeg's kernel (a = -0.6)."""
    if recipe.first is None:
        raise ValueError(f"{recipe.title}: no codec")
    codes = clean
    if scale > 1:
        small = [downscale(f.astype(np.float32), scale, "bicubic") for f in clean]
        codes = np.clip(np.rint(np.stack(small)), 0, 255).astype(np.uint8)
    path = folder / "first.mpg"
    done = encode(codes, recipe.first, path)
    if recipe.second is None:
        return path, done
    again = np.concatenate([b.planes[0][:, 0].numpy() for b in decode(probe(path, InputOptions()))])
    best: tuple[float, float] | None = None
    # One-pass rate control misses a short clip's target by half: find the quantiser that meets it.
    low, high = 2.0, 31.0
    for _ in range(7):
        q = round(math.sqrt(low * high), 2)
        try:
            rate = real_rate(encode(again, Step("rv20", {"q:v": q, "g": 100}), folder / "try.rm"))
        except TrainError as error:
            if _TOO_LARGE not in str(error):
                raise
            low = q
            continue
        miss = abs(math.log(rate / recipe.second))
        best = min(best or (miss, q), (miss, q))
        low, high = (q, high) if rate > recipe.second else (low, q)
    if best is None:
        raise EvaluateError(
            f"{recipe.title}: a frame of {clean.shape[2]}x{clean.shape[1]} does not fit into RealMedia; "
            "try smaller clips, or another --recipe"
        )
    path = folder / "second.rm"
    return path, encode(again, Step("rv20", {"q:v": best[1], "g": 100}), path)


def real_rate(done: Generation) -> float:
    """kb/s, as of 352x288 at 25 frames/s."""
    return done.bits_per_pixel * CIF_RATE / 1000
