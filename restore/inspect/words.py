"""What was found, in words: a line for each topic, with what it means for who wants to see the film."""

from __future__ import annotations

from collections.abc import Iterator

from restore.inspect.inspection import Inspection
from restore.inspect.levels import is_clipped
from restore.inspect.line import Line, State
from restore.inspect.picture_words import blocks_line, film_lines, overlay_lines, resolution_lines


def lines(seen: Inspection) -> list[Line]:
    """In the order in which a restorer asks."""
    parts = (
        *(_streams, _length, _spacing, _damage, _scan, _repeats, _border, _tint, _levels),
        *(blocks_line, film_lines, resolution_lines, overlay_lines),
    )
    return [line for part in parts for line in part(seen)]


def _streams(seen: Inspection) -> Iterator[Line]:
    for stream in seen.streams:
        rate = "" if stream.bit_rate is None else f", {stream.bit_rate / 1000:.0f} kb/s"
        meaning = "what is restored" if stream.index == seen.source.video.index else "comes along"
        state: State = "fine"
        if stream.packets == 0 and stream.kind in ("audio", "video"):
            meaning, state = "named in the header, but there is nothing of it in the file", "fault"
        detail = f": {stream.detail}" if stream.detail else ""
        yield Line(
            f"stream {stream.index}", f"{stream.kind} {stream.codec}{detail}{rate}", meaning, state
        )


def _length(seen: Inspection) -> Iterator[Line]:
    length = seen.length
    frames = f"{length.frames} frames" if length.counted else f"about {length.frames} frames"
    if length.found is None:
        yield Line("length", frames, "no times to tell how long it is", "note")
        return
    found = f"{length.found:.2f} s, {frames}"
    if length.claimed is None:
        yield Line("length", found, "the header says nothing of it")
    elif abs(length.claimed - length.found) > max(1.0, 0.02 * length.found):
        meaning = f"the header claims {length.claimed:.1f} s: it is wrong, the frames count"
        yield Line("length", found, meaning, "fault")
    else:
        yield Line("length", found, "as the header says")


def _spacing(seen: Inspection) -> Iterator[Line]:
    gap, claimed = seen.spacing, seen.length.claimed_rate
    rate = "unknown" if gap.rate is None else f"{gap.rate:.5g} frames/s"
    said, state = "", "fine"
    if claimed is not None and gap.rate is not None and abs(claimed - gap.rate) > 0.02 * gap.rate:
        said, state = f"; the header's {claimed:.5g} is wrong", "note"
    if gap.kind == "unknown":
        yield Line("spacing", rate, "too few time stamps to tell", "note")
    elif gap.kind == "constant":
        yield Line("spacing", rate, f"constant{said}", "note" if state == "note" else "fine")
    elif gap.kind == "gaps":
        meaning = f"constant, but frames were left out in {gap.gaps} places, up to {gap.longest * 1000:.0f} ms{said}"
        yield Line("spacing", rate, meaning, "note")
    else:
        meaning = f"variable, up to {gap.longest * 1000:.0f} ms between frames; kept as it is{said}"
        yield Line("spacing", f"usually {rate}", meaning, "note")


def _damage(seen: Inspection) -> Iterator[Line]:
    look = seen.seen
    base = seen.source.video.layout.decoded.time_base
    of = f"of {look.frames}" + ("" if look.whole else " looked at")
    if look.damaged:
        times = ", ".join(f"{float(t * base):.2f}" for t in look.damaged[:6])
        more = ", ..." if len(look.damaged) > 6 else ""
        meaning = f"at {times}{more} s; repaired from their neighbours"
        yield Line("damage", f"{len(look.damaged)} frames {of}", meaning, "fault")
    refused, stamps = look.log.counts.get("packet", 0), look.log.counts.get("stamp", 0)
    if refused:
        yield Line(
            "damage", f"{refused} packets cannot be decoded", "frames are put in for them", "fault"
        )
    if stamps:
        yield Line("damage", f"{stamps} time stamps cannot be true", "they are repaired", "fault")
    if look.log.counts.get("size", 0):
        meaning = "scaled to the size of most"
        yield Line("damage", "the picture changes its size or shape midway", meaning, "note")
    for seconds, text in seen.faults[:5]:
        at = "" if seconds is None else f"{seconds:.2f} s: "
        yield Line("damage", "the container is broken", f"{at}{text}", "fault")
    if not (look.damaged or refused or stamps or seen.faults):
        yield Line("damage", f"none in {look.frames} frames", "sound")


def _scan(seen: Inspection) -> Iterator[Line]:
    scan = seen.scan
    flag = "; the stream says interlaced" if scan.flagged else ""
    order = f"{'top' if scan.top_first else 'bottom'} field first"
    if scan.kind == "progressive":
        state: State = "note" if scan.flagged else "fine"
        yield Line("scan", "progressive", f"whole pictures{flag}", state)
    elif scan.kind == "unknown":
        yield Line("scan", "unknown", f"nothing moves enough to tell{flag}", "note")
    elif scan.kind == "interlaced":
        said = "" if scan.flagged else "; the stream says progressive"
        yield Line("scan", f"interlaced, {order}", f"each frame shows two moments{said}", "fault")
    elif scan.kind == "telecined":
        meaning = "film spread over video fields; put together again it has a fifth fewer frames"
        yield Line("scan", f"telecined, {order}", meaning, "fault")
    else:
        meaning = "film whose fields were shifted by one; they can be put together again"
        yield Line("scan", "shifted fields", meaning, "fault")


def _repeats(seen: Inspection) -> Iterator[Line]:
    look = seen.seen
    if look.repeats == 0:
        yield Line("repeats", "none", "every frame looked at is a picture of its own")
        return
    share = look.repeats / max(1, look.frames)
    meaning = "frames that show the one before again; restored once, kept in time"
    yield Line("repeats", f"{look.repeats} of {look.frames} frames ({share:.0%})", meaning, "note")


def _border(seen: Inspection) -> Iterator[Line]:
    if not seen.crop:
        yield Line("border", "none", "the picture fills the frame, or is too dark to tell")
        return
    fmt, crop = seen.source.video.layout.decoded, seen.crop
    width, height = fmt.width - crop.left - crop.right, fmt.height - crop.top - crop.bottom
    found = f"{crop} (left, top, right, bottom)"
    yield Line("border", found, f"dark all along; the picture is {width}x{height}", "note")


def _tint(seen: Inspection) -> Iterator[Line]:
    cast = f"Cb {seen.tint.cast[0]:+.1f}, Cr {seen.tint.cast[1]:+.1f} codes"
    if seen.tint.kind == "mono":
        yield Line("colour", "none", "black and white, neutral")
    elif seen.tint.kind == "tinted":
        meaning = "black and white in one tint: toned film, or a cast from the transfer"
        yield Line("colour", f"one tint, {cast}", meaning, "note")
    elif seen.tint.kind == "colour":
        yield Line("colour", f"yes, mean {cast}", "a colour film")
    else:
        yield Line("colour", "unknown", "no frame to look at", "note")


def _levels(seen: Inspection) -> Iterator[Line]:
    found, tagged = seen.levels, bool(seen.source.video.layout.decoded.color.full_range)
    codes = f"{found.black:.0f} to {found.white:.0f}"
    if found.full_range and not tagged:
        meaning = "the codes of full range, but tagged or taken as limited: blacks and whites would be cut off"
        yield Line("levels", codes, meaning, "fault")
    elif found.faded:
        yield Line("levels", codes, "faded: neither black nor white is reached", "fault")
    else:
        yield Line("levels", codes, "full range" if tagged else "limited range")
    for share, what in ((found.crushed, "black"), (found.blown, "white")):
        if is_clipped(share):
            meaning = f"detail there is lost, or the scene is that {'dark' if what == 'black' else 'bright'}"
            yield Line("levels", f"{share:.1%} of the picture is {what}", meaning, "note")
