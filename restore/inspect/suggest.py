"""A pipeline for what was found, with the reason for each stage and each value.

Only what exists is suggested; what was found beyond that is named as not treated. Where a file is clean little is done:
no stage is put in on suspicion.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore.errors import OutputError
from restore.faults import cannot_write
from restore.inspect.inspection import Inspection
from restore.inspect.picture_words import FINE_STEP
from restore.inspect.sharpness import SOFT
from restore.io.text import printable
from restore.writing import write_whole

_SMALL = 576
"""Lines up to which a picture is enlarged."""
_WORTH_CUTTING = 0.02
"""Share of the frame that a border must take to be cut off."""


@dataclass(frozen=True, slots=True)
class Setting:
    key: str
    value: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Suggested:
    kind: str
    reason: str
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggestion:
    input: tuple[Setting, ...]
    stages: tuple[Suggested, ...]
    untreated: tuple[str, ...]
    """What was found that no stage treats."""


def suggest(seen: Inspection) -> Suggestion:
    """What fits to what was seen."""
    stages = list(_stages(seen))
    return Suggestion(tuple(_input(seen)), tuple(stages), tuple(_untreated(seen, stages)))


def to_toml(made: Suggestion, name: str) -> str:
    """A pipeline file; `name` of the video that it was made for."""
    rows = [f"# Made by `restore inspect --suggest` for {' '.join(name.split())}.", ""]
    if made.untreated:
        rows += ["# Found, not treated:", *(f"# - {text}" for text in made.untreated), ""]
    if made.input:
        rows += ["[input]", *_settings(made.input), ""]
    if not made.stages:
        rows += ["# No stage: nothing was found that one would mend.", ""]
    for stage in made.stages:
        rows += [f"# {stage.reason}", "[[stage]]", f'kind = "{stage.kind}"']
        rows += [*_settings(stage.settings), ""]
    rows += ["[output]", 'use = "delivery"            # x264, crf 18; "archive" is lossless']
    rows += [
        'audio = "copy"              # bit for bit where the container takes it, else lossless FLAC'
    ]
    return "\n".join(rows) + "\n"


def _settings(settings: tuple[Setting, ...]) -> Iterator[str]:
    for setting in settings:
        yield f"{setting.key} = {json.dumps(setting.value)}".ljust(28) + f"# {setting.reason}"


def _input(seen: Inspection) -> Iterator[Setting]:
    scan, fmt, crop = seen.scan, seen.source.video.layout.decoded, seen.crop
    order = "tff" if scan.top_first else "bff"
    if scan.kind == "interlaced":
        yield Setting("deinterlace", "bwdif", "each frame shows two moments")
        yield Setting(
            "field_order", order, f"the {'top' if scan.top_first else 'bottom'} field is earlier"
        )
    elif scan.kind == "telecined":
        yield Setting("telecine", "on", "film frames are put together again, each fifth is dropped")
        yield Setting(
            "field_order", order, f"the {'top' if scan.top_first else 'bottom'} field is earlier"
        )
    left = (fmt.width - crop.left - crop.right) * (fmt.height - crop.top - crop.bottom)
    if left < (1 - _WORTH_CUTTING) * fmt.width * fmt.height:
        yield Setting("crop", str(crop), "borders that stay dark in all samples")
    if seen.levels.full_range and not fmt.color.full_range:
        yield Setting("range", "full", "the picture uses codes below black and above white")


def is_coded(seen: Inspection) -> bool:
    """Whether a codec's work is seen in the picture."""
    step = seen.blocks.step
    return step is not None and step >= FINE_STEP


def _stages(seen: Inspection) -> Iterator[Suggested]:
    coded, film, fmt = is_coded(seen), seen.film, seen.source.video.layout.decoded
    enlarged = _enlarges(seen)
    model, why = _model(seen)
    if (
        coded and not enlarged
    ):  # else the network behind it, which has learned blocks, gains nothing from it
        step = seen.blocks.step
        source = "the bitstream says" if seen.blocks.exported else "the blocks look like"
        strength = Setting("strength", 1.0, "no network follows")
        yield Suggested(
            "deblock",
            f"Block edges and ringing: {source} a quantiser step of {step:.0f} codes.",
            (strength,),
        )
    if coded or film.noisy:
        found = "what the codec changed" if coded else f"noise of {film.noise:.1f} codes"
        reason = f"Neighbouring frames agree on the picture, not on {found}: their average has less of it."
        yield Suggested("align", reason, (Setting("radius", 2, "two frames on each side"),))
    if enlarged:
        reason = f"{fmt.width}x{fmt.height} is small for a screen of today."
        yield Suggested(
            "upscale",
            reason,
            (Setting("factor", 2, "more would invent"), Setting("model", model, why)),
        )
    if coded or film.noisy or enlarged:
        yield Suggested(
            "preserve_color", "Brightness and colour, the tint too, stay those of the source."
        )


def _enlarges(seen: Inspection) -> bool:
    sharp = [s for s in (seen.sharpness.across, seen.sharpness.down) if s is not None]
    # What a codec threw away can come back; what was enlarged before has nothing more to give.
    empty = len(sharp) == 2 and max(sharp) < SOFT and not is_coded(seen)
    return seen.source.video.layout.decoded.height <= _SMALL and not empty


def _model(seen: Inspection) -> tuple[str, str]:
    film = seen.film
    if is_coded(seen) or film.noisy or film.dirty or film.scratches:
        return (
            "film_x2_multi",
            "trained on small pictures that MPEG-1 and RealVideo spoilt; film_x2_fast: a quarter of the work, gains less",
        )
    return (
        "clean_x2",
        "trained on clean pictures: nothing was found that it would sharpen by mistake",
    )


def _untreated(seen: Inspection, stages: list[Suggested]) -> Iterator[str]:
    film, over = seen.film, seen.overlays
    if film.flickers:
        yield f"flicker of {film.flicker:.1f} codes"
    if film.weaves:
        yield f"weave of {max(film.weave):.2f} samples"
    if film.dirty:
        yield f"dirt, {film.spots:.1f} spots a frame"
    if film.scratches:
        yield f"scratches, up to {film.scratches} in a shot"
    if seen.levels.faded:
        yield f"faded contrast, codes {seen.levels.black:.0f} to {seen.levels.white:.0f}"
    if seen.tint.kind == "tinted":
        yield "one tint all over: it is kept"
    if over.logo is not None:
        yield f"a logo at {over.logo[0]},{over.logo[1]}"
    if over.subtitles is not None:
        yield "subtitles in the picture: they are enlarged with it"
    if seen.scan.kind == "shifted fields":
        yield 'fields shifted by one: put together by [input] telecine = "auto", which is the default'
    sharp = seen.sharpness
    if (
        not any(s.kind == "upscale" for s in stages)
        and sharp.across is not None
        and sharp.across < SOFT
    ):
        yield "detail that ends early: the picture was enlarged before, or is out of focus"


def check_target(path: Path, overwrite: bool) -> None:
    """Raises OutputError where the pipeline file cannot or must not be written."""
    if path.suffix.lower() != ".toml" or path.is_dir() or not path.absolute().parent.is_dir():
        raise OutputError(
            f"--suggest {path}: expected the name of a .toml file in a folder that exists"
        )
    if path.exists() and not overwrite:
        raise OutputError(
            f"--suggest {path}: exists already; choose another name or pass --overwrite"
        )


def write_pipeline(path: Path, text: str, *, overwrite: bool) -> None:
    """The file appears whole or not at all, in place of another with `overwrite` only. Raises OutputError."""
    try:
        write_whole(path, printable(text).encode(), overwrite=overwrite)
    except OSError as error:
        raise cannot_write(
            f"--suggest {path}", error, "it was made meanwhile, and stays as it is"
        ) from error
