"""A run of damaged frames mended from the good frames on either side, where these agree.

A decoder hides an error with what it has: the frames before. With the frame after as well, a better picture can be
made: both neighbours are moved onto the frame along the motion between them (Jiang et al. 2018, equation 4, with DIS
flow) and where they agree with each other, but not with the decoder, their mean takes the decoder's place. What the
decoder got right stays, whatever the flag says.

Where the neighbours are of different scenes, or no motion makes them agree, the decoder's picture stays if it
resembles one of them at all; otherwise the nearest good frame is shown again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from restore.blending import (
    Between,
    Guess,
    Picture,
    Plane,
    mend,
    resemblance,
    spread,
    strange,
)
from restore.video import FrameInfo, QuantMap

SAME_SCENE = 0.6
"""Share of the picture over which the neighbours, moved onto a frame, must agree."""
PLAUSIBLE = 0.5
"""Share of a damaged picture that must resemble a neighbour for the decoder's picture to stay."""
VISIBLE = 0.004
"""Share of a picture below which a repair is left alone."""

Action = Literal["interpolated", "concealed", "repeated", "kept"]
"""interpolated: made from both neighbours; concealed: parts of it were; repeated: the nearest good frame is shown
again; kept: the decoder's picture is the best there is."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done about one frame."""

    pts: int
    action: Action
    share: float
    """Of the picture that was replaced, 0 to 1."""
    inserted: bool = False
    """The frame was never decoded."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a run."""

    info: FrameInfo
    planes: tuple[Tensor, ...] | None
    """Codes, (1, h, w) each; None: never decoded."""
    quant: QuantMap | None

    @property
    def broken(self) -> bool:
        return self.planes is None or self.info.damaged


@dataclass(frozen=True, slots=True)
class _Span:
    first: int
    last: int
    """Times of the two frames."""
    between: Between

    def at(self, pts: int) -> Guess:
        return self.between.at((pts - self.first) / (self.last - self.first))


def mended(
    run: Sequence[Frame], good: Frame | None, after: Frame | None, depth: int, log: list[Repair]
) -> list[Frame]:
    """The run between the good frames `good` and `after`, of which at least one is broken: first what was decoded is
    mended, then what was not is made. Codes of `depth` bits; `log` gets what was done."""
    done = list(run)
    between = _between(good, after, depth)
    masks: dict[int, Plane | None] = {}
    # B frames before the damage refer to it, so they come after it.
    first = next(n for n, f in enumerate(run) if f.broken)
    for n in [*range(first, len(run)), *range(first - 1, -1, -1)]:
        frame, better, masks[n] = run[n], None, None
        if frame.planes is None:
            continue
        if between is not None:
            source = n - 1 if n > first else n + 1
            where = None if frame.broken else masks.get(source)
            far = min(n, len(run) - 1 - n)
            # Those next to it that are whole or mended by now.
            beside = [done[n - 1]] if n > first else [good] if n == first else [done[n + 1], good]
            beside += [after] if n == len(run) - 1 else []
            better, masks[n] = _blended(frame, between, far, where, beside, depth, log)
        done[n] = better or _chosen(frame, good, after, depth, log)
    for n, frame in enumerate(done):
        if frame.planes is None:
            later = [f for f in [*done[n + 1 :], after] if f is not None and f.planes]
            before = done[n - 1] if n else good
            done[n] = _made(frame, before, later[0] if later else None, depth, log)
    return [f for f in done if f.planes is not None]


def _between(first: Frame | None, last: Frame | None, depth: int) -> _Span | None:
    if first is None or last is None or first.planes is None or last.planes is None:
        return None
    one, other = Picture.of(first.planes, depth), Picture.of(last.planes, depth)
    return _Span(first.info.pts, last.info.pts, Between(one, other))


def _made(
    lost: Frame, before: Frame | None, after: Frame | None, depth: int, log: list[Repair]
) -> Frame:
    """A frame that was never decoded, from those beside it."""
    span = _between(before, after, depth)
    guess = None if span is None else span.at(lost.info.pts)
    if guess is not None and guess.agreement >= SAME_SCENE:
        log.append(Repair(lost.info.pts, "interpolated", 1.0, True))
        return replace(lost, planes=guess.picture.codes(depth))
    sides = [f for f in (before, after) if f is not None and f.planes]
    if not sides:
        return lost  # a hole before any picture
    log.append(Repair(lost.info.pts, "repeated", 1.0, True))
    near = min(sides, key=lambda f: abs(f.info.pts - lost.info.pts))
    return replace(lost, planes=near.planes, quant=near.quant)


def _blended(
    frame: Frame,
    span: _Span,
    far: int,
    where: Plane | None,
    beside: Sequence[Frame | None],
    depth: int,
    log: list[Repair],
) -> tuple[Frame | None, Plane | None]:
    """The frame, None where the neighbours do not agree; and where damage can be in the frame beside it.
    What also one of the frames `beside` it shows is no damage: something that passed while the ends of the
    run did not see it."""
    guess = span.at(frame.info.pts)
    if guess.agreement < SAME_SCENE:
        return None, None
    mine = Picture.of(frame.planes, depth)
    others = [Picture.of(f.planes, depth) for f in beside if f is not None and f.planes]
    picture, mask = mend(mine, guess, far, strange(mine, others, where))
    share = float(mask.mean())
    if share < VISIBLE:
        if frame.broken:
            log.append(Repair(frame.info.pts, "kept", 0.0))
        return frame, spread(mask)
    whole = share > 0.95
    log.append(Repair(frame.info.pts, "interpolated" if whole else "concealed", share))
    quant = None if whole else frame.quant
    info = replace(frame.info, concealed=True)
    return Frame(info, picture.codes(depth), quant), spread(mask)


def _chosen(
    frame: Frame, good: Frame | None, after: Frame | None, depth: int, log: list[Repair]
) -> Frame:
    """The decoder's picture where it resembles a neighbour, else the picture of the one it resembles more."""
    if not frame.info.damaged or frame.planes is None:
        return frame
    mine = Picture.of(frame.planes, depth)
    sides = [f for f in (good, after) if f is not None and f.planes]
    sides.sort(key=lambda f: abs(f.info.pts - frame.info.pts))
    alike = [resemblance(mine, Picture.of(f.planes, depth)) for f in sides]
    if max(alike, default=1.0) >= PLAUSIBLE:
        log.append(Repair(frame.info.pts, "kept", 0.0))
        return frame
    log.append(Repair(frame.info.pts, "repeated", 1.0))
    other = sides[alike.index(max(alike))]
    return Frame(replace(frame.info, concealed=True), other.planes, other.quant)
