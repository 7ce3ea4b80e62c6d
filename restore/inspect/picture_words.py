"""Lines about the picture itself: codec, film, resolution, information, what was put on top."""

from __future__ import annotations

from collections.abc import Iterator

from restore.inspect import information
from restore.inspect.inspection import Inspection
from restore.inspect.line import Line
from restore.inspect.overlays import Box
from restore.inspect.sharpness import SOFT

FINE_STEP, COARSE_STEP = 6.0, 16.0
"""Quantiser steps in 8-bit codes: below the first nobody sees a codec's work, above the second everybody does."""


def blocks_line(seen: Inspection) -> Iterator[Line]:
    found, bits = seen.blocks, seen.bits
    rate = "" if bits is None else f", {bits:.2f} bits a sample"
    if found.step is None:
        if found.grid is None:
            yield Line("codec", f"no block edges{rate}", "nothing to be seen of the codec")
    else:
        whose = "quantiser step" if found.exported else "quantiser step by the look of the blocks"
        text = f"{whose} {found.step:.1f} codes{rate}"
        if found.step < FINE_STEP:
            yield Line("codec", text, "fine: the codec left the picture as it was")
        elif found.step < COARSE_STEP:
            yield Line("codec", text, "blocks and ringing in plain areas and at edges", "fault")
        else:
            yield Line("codec", text, "coarse: blocks, ringing, detail thrown away", "fault")
    if found.grid is not None:
        down, across = found.grid.period
        size = f"{across:g}x{down:g}, {found.grid.strength:.1f} codes high"
        whole = across == int(across) and down == int(down)
        meaning = (
            "block edges are seen" if whole else "block edges of an earlier, smaller or larger copy"
        )
        yield Line("block grid", size, meaning, "fault")


def film_lines(seen: Inspection) -> Iterator[Line]:
    film = seen.film
    if film.noisy:
        yield Line("noise", f"{film.noise:.1f} codes", "grain or noise is seen", "fault")
    else:
        yield Line("noise", f"{film.noise:.1f} codes", "not seen, or smoothed away by a codec")
    if film.flickers:
        yield Line(
            "flicker",
            f"{film.flicker:.1f} codes",
            "the brightness jumps from frame to frame",
            "fault",
        )
    else:
        yield Line("flicker", f"{film.flicker:.1f} codes", "steady")
    place = f"{film.weave[0]:.2f} across, {film.weave[1]:.2f} down, samples"
    if film.weaves:
        yield Line("weave", place, "the picture does not stand still", "fault")
    else:
        yield Line("weave", place, "steady")
    spots = f"{film.spots:.1f} spots a frame"
    if film.dirty:
        yield Line(
            "dirt",
            spots,
            "dust and dirt: spots that one frame has and its neighbours have not",
            "fault",
        )
    else:
        yield Line("dirt", spots, "clean")
    if film.scratches:
        meaning = (
            f"upright lines that stay while the scene moves, in {film.scratched:.0%} of the shots"
        )
        yield Line("scratches", f"up to {film.scratches}", meaning, "fault")
    else:
        yield Line("scratches", "none", "none that the scene's own lines do not hide")


def resolution_lines(seen: Inspection) -> Iterator[Line]:
    sharp, fmt = seen.sharpness, seen.source.video.layout.decoded
    if sharp.across is None or sharp.down is None:
        yield Line("resolution", "unknown", "too flat a picture to tell", "note")
    else:
        size = f"about {sharp.across * fmt.width:.0f}x{sharp.down * fmt.height:.0f} of {fmt.width}x{fmt.height}"
        if min(sharp.across, sharp.down) < SOFT:
            meaning = "detail ends early: enlarged, out of focus, or thrown away by a codec"
            yield Line("resolution", size, meaning, "note")
        else:
            yield Line("resolution", size, "detail up to the end")
    held = seen.information
    gain = information.expected_gain(seen.blocks.step, seen.bits)
    text = (
        f"PNG ratio {held.ratio:.1f} (luma {held.luma_ratio:.1f}), entropy {held.entropy:.1f} bits"
    )
    help_ = information.help_of(gain, held.ratio)
    more = "" if gain is None else f": about {gain:+.1f} dB over Lanczos"
    meaning = {
        "much": f"enlarging by a network can help much{more}",
        "some": f"enlarging by a network can help some{more}",
        "little": f"little is left of the picture: enlarging by a network can help little{more}",
    }[help_]
    yield Line("information", text, meaning)


def overlay_lines(seen: Inspection) -> Iterator[Line]:
    over = seen.overlays
    if over.logo is not None:
        yield Line("logo", f"at {_box(over.logo)}", "stays while the scenes change", "note")
    elif not over.logo_known:
        yield Line("logo", "unknown", "the scenes are too few or too alike to tell", "note")
    if over.subtitles is not None:
        share = f"{over.subtitled:.0%} of the shots"
        yield Line(
            "subtitles", f"at {_box(over.subtitles)}", f"text in the picture, in {share}", "note"
        )


def _box(box: Box) -> str:
    left, top, width, height = box
    return f"{left},{top} ({width}x{height})"
