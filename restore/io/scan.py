"""Are a picture's fields of one time or of two? Measured on the picture; the stream's word is a hint.

For each frame the top field is woven with its own bottom field and with those of the frames before and after
it, and each weave's combing is measured where something moves. Of one time: its own fields fit best. Of two,
top first: the own bottom field fits as badly as the one before it, and the next one worse; bottom first: the
other way round. Telecined: what does not fit its own frame fits a neighbour's without a trace of combing. The
idea is that of FFmpeg's idet and fieldmatch; here combing itself must be seen, not only the better fit, so that
animation on twos, cuts and stopping motion do not count as interlace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from restore.io.source import ScanPlan

Luma = npt.NDArray[np.int16]
"""(H, W) in 8-bit codes."""

Verdict = Literal["clean", "top", "bottom", "mixed top", "mixed bottom", "silent"]
"""clean: both fields of one time; top, bottom: of two, that one first; mixed: of two film frames, one of which a
neighbour's field completes; silent: nothing moves enough to say."""

NOTICEABLE = 10
"""Codes by which a sample must stand out from those above and below, or change in time."""
MOVING = 0.003
"""Share of the picture that must move for a frame to say anything."""
COMBED = 0.02
"""Share of what moves that must be combed for a frame to count so."""
FITS = 0.3
"""A field fits when its weave has less than this share of the combing of a wrong one."""
LEAST_FRAMES = 6
"""Frames that must speak for a decision."""


@dataclass(frozen=True, slots=True)
class ScanSurvey:
    """What was measured on samples of a file."""

    runs: tuple[tuple[Verdict, ...], ...] = ()
    """Of consecutive frames each."""
    flagged: bool = False
    """The stream marks most frames as interlaced."""
    top_first: bool | None = None
    """The order the stream states; None: none."""

    def counts(self) -> Counter[Verdict]:
        return Counter(v for run in self.runs for v in run)


_COMBED: tuple[Verdict, Verdict] = ("top", "bottom")
_MIXED: tuple[Verdict, Verdict] = ("mixed top", "mixed bottom")


def judge(before: Luma, frame: Luma, after: Luma) -> Verdict:
    """What three consecutive frames of one size say about the middle one."""
    height = frame.shape[0] // 2 * 2
    if height < 8:
        return "silent"
    before, frame, after = (f[:height] for f in (before, frame, after))
    moves = (np.abs(frame - before) > NOTICEABLE) | (np.abs(frame - after) > NOTICEABLE)
    moving = moves[::2] | moves[1::2]
    area = int(moving.sum())
    if area < MOVING * moving.size:
        return "silent"
    top = frame[::2]
    weaves = [combing(top, f[1::2], moving) for f in (frame, before, after)]
    combed, rough = zip(*weaves, strict=True)
    own, past, future = (c / area for c in combed)
    worst, low, high = max(own, past, future), min(rough), max(rough)
    if worst < COMBED or high - low < 0.1 * high:
        return "silent"
    # 1: the own fields fit clearly best; 0: no better than a neighbour's; -1: worse.
    lead = (min(rough[1:]) - rough[0]) / (high - low)
    if lead > 0.35 or own < 0.1 * worst:
        return "clean"
    if min(past, future) < FITS * own:
        return "mixed top" if past < future else "mixed bottom"
    if own < COMBED:
        return "silent"
    return "top" if rough[1] < rough[2] else "bottom"


def combing(top: Luma, bottom: Luma, where: npt.NDArray[np.bool_]) -> tuple[int, float]:
    """(combed samples, sum of vertical roughness) of two fields woven, counted on the top field's lines."""
    lines = top[1:-1]
    above, below = bottom[:-2], bottom[1:-1]
    over, under = lines - above, lines - below
    rough = np.abs(4 * lines + top[:-2] + top[2:] - 3 * (above + below))
    stands_out = ((over > NOTICEABLE) & (under > NOTICEABLE)) | (
        (over < -NOTICEABLE) & (under < -NOTICEABLE)
    )
    inside = where[1:-1]
    combed = stands_out & (rough > 6 * NOTICEABLE) & inside
    return int(combed.sum()), float(rough[inside].sum(dtype=np.int64))


def decide(
    survey: ScanSurvey,
    *,
    deinterlace: Literal["auto", "off", "bwdif", "w3fdif"],
    telecine: Literal["auto", "off", "on"],
    field_order: Literal["auto", "tff", "bff"],
    per_field: bool,
    unlikely: bool,
) -> tuple[ScanPlan, str | None]:
    """What is done about the fields, and a line that says why; None where there is nothing to say.
    `unlikely`: the codec or the size has no interlace in its standard: the evidence must be overwhelming."""
    count = survey.counts()
    mixed, combed = (count[a] + count[b] for a, b in (_MIXED, _COMBED))
    spoke = sum(count.values()) - count["silent"]
    top_first, order_text = _order(survey, count, field_order)
    order = f"{'top' if top_first else 'bottom'} field first"
    if telecine == "on":
        return ScanPlan("off", "decimate", top_first), f"scan: telecined, as [input] says; {order}"
    if deinterlace in ("bwdif", "w3fdif"):
        plan = ScanPlan(deinterlace, "off", top_first, per_field, interlaced=True)
        return plan, f"scan: deinterlaced with {deinterlace}, as [input] says; {order}"
    if spoke < LEAST_FRAMES:
        if not survey.flagged:
            return ScanPlan(top_first=top_first), None
        seen = f"only {spoke} of {sum(count.values())} frames move enough to tell"
        return (
            ScanPlan(top_first=top_first),
            f"scan: undecided ({seen}; the stream says interlaced): left as it is; [input] deinterlace decides",
        )
    if telecine == "auto" and mixed >= LEAST_FRAMES and mixed > combed:
        found = f"{mixed} of {spoke} moving frames hold fields of two film frames; {order_text}"
        if _is_periodic(survey.runs):
            plan = ScanPlan("off", "decimate", top_first)
            return plan, f"scan: telecined ({found}): film frames put together, each fifth dropped"
        if mixed > 0.7 * spoke:
            plan = ScanPlan("off", "match", top_first)
            return plan, f"scan: film with shifted fields ({found}): film frames put together"
    likely = 0.8 if unlikely else 0.3 if survey.flagged else 0.5
    one_way = max(count[v] for v in _COMBED) >= 0.8 * combed
    if combed >= (20 if unlikely else LEAST_FRAMES) and combed >= likely * spoke and one_way:
        found = (
            f"scan: interlaced, {order} ({combed} of {spoke} moving frames combed; {order_text})"
        )
        if deinterlace == "off":
            plan = ScanPlan(top_first=top_first, interlaced=True)
            return plan, f"{found}: left as it is, as [input] says"
        plan = ScanPlan("bwdif", "off", top_first, per_field, interlaced=True)
        return plan, f"{found}: deinterlaced with bwdif"
    if not survey.flagged and combed < likely * spoke / 2:
        return ScanPlan(top_first=top_first), None
    said = "interlaced" if survey.flagged else "progressive"
    return (
        ScanPlan(top_first=top_first),
        f"scan: progressive ({combed} of {spoke} moving frames combed; the stream says {said}): left as it is",
    )


def _order(
    survey: ScanSurvey, count: Counter[Verdict], asked: Literal["auto", "tff", "bff"]
) -> tuple[bool, str]:
    """(top field first, where that is known from): the picture's order where it shows one, else the stream's,
    else the usual one."""
    if asked != "auto":
        return asked == "tff", "order as [input] says"
    top, bottom = (count[a] + count[b] for a, b in zip(_COMBED, _MIXED, strict=True))
    stated = survey.top_first
    if max(top, bottom) >= LEAST_FRAMES and max(top, bottom) >= 0.8 * (top + bottom):
        found = top > bottom
        if not survey.flagged:
            return found, "the stream says progressive"
        if stated is None or stated == found:
            return (
                found,
                "the stream says the same" if stated == found else "the stream says no order",
            )
        return (
            found,
            f"the stream says {'top' if stated else 'bottom'} field first, the picture decides",
        )
    if stated is None:
        return True, "no order known, taken as top field first"
    return stated, "order as the stream says"


def _is_periodic(runs: Sequence[Sequence[Verdict]]) -> bool:
    """Mixed frames lie in the same one or two places of each five: 3:2 pulldown."""
    inside = total = 0
    for run in runs:
        at = [n % 5 for n, verdict in enumerate(run) if verdict in _MIXED]
        # A run on 30 frames or video within film has none or no pattern: it must not decide for others.
        inside += max((sum(a in (p, (p + 1) % 5) for a in at) for p in range(5)), default=0)
        total += len(at)
    speaking = sum(len(run) for run in runs if set(run) & set(_MIXED))
    return total > 0 and inside >= 0.85 * total and total <= 0.55 * speaking
