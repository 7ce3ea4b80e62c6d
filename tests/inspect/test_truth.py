"""Real files against what people see in them, frame by frame; skipped where they are not there.

The truth was made by looking at enlarged frames and edges of each file, not from what the program says. Borders may be off
by 4 samples a side, as their edges are soft; None: no truth (too dark, or text within the border).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from restore.inspect import inspection
from restore.inspect.dirt import Dirt
from restore.inspect.information import Information
from restore.inspect.inspection import inspect_source
from restore.inspect.picture import Reading
from restore.inspect.scratches import Scratches
from restore.inspect.sharpness import Sharpness

NEAR = 4
"""Samples."""


@dataclass(frozen=True)
class Truth:
    colour: str = "colour"
    aspect: Fraction = Fraction(1)
    border: tuple[int | None, int | None, int | None, int | None] = (0, 0, 0, 0)
    """Left, top, right, bottom."""
    scan: str = "progressive"
    repeats: tuple[int, int] = (0, 0)
    """From, to: frames that show the one before again."""


DARK = (None, None, None, None)

TRUTH = {
    "rm/fate_rv10_sipr5k0_160x112.rm": Truth(border=DARK),  # frame of the film, rounded corners
    "rm/fate_rv20_G2_with_SVT_320x240_BW.rm": Truth("tinted", border=(18, 0, 18, 0)),
    "rm/fate_rv20_sipr16k_128x96.rm": Truth(repeats=(0, 2)),
    "rm/fate_rv30_cook_352x240.rm": Truth(repeats=(0, 6)),  # begins black
    "rm/filestar_rv40_cook_gbk_vcd_352x288.rmvb": Truth(
        aspect=Fraction(12, 11), border=(3, 0, 2, 3), repeats=(0, 40)
    ),
    "rm/iams_rv20_ac3_640x480_synthetic.rm": Truth(),
    "odd_formats/divx_mpeg4_mp3_640x480.avi": Truth(),
    "odd_formats/mpeg1_es_320x240_25.mpg": Truth(border=DARK),  # stars on black
    "odd_formats/mpeg1_ps_mp2_500x281_2997_oddheight.mpg": Truth(repeats=(0, 30)),  # begins white
    "odd_formats/mpeg2_422_320x240_12fps.vob": Truth(),
    "odd_formats/mpeg2_ac3_640x480.vob": Truth(),
    "odd_formats/mpeg2_interlaced_fieldpics_pal_sar16-15.ts": Truth(
        aspect=Fraction(16, 15), border=(8, 0, 16, 2), scan="interlaced"
    ),
    "odd_formats/mpeg2_ts_352x288_interlaced_sar12-11.ts": Truth(aspect=Fraction(12, 11)),
    "odd_formats/msmpeg4v1_352x240.avi": Truth(border=(4, 0, 0, 4)),
    "odd_formats/sorenson_h263_flv_320x240.flv": Truth(border=(0, 29, 0, 29)),
    "odd_formats/svcd_480x480_sar4-3_interlaced.mpg": Truth(
        aspect=Fraction(4, 3), border=DARK, scan="unknown"
    ),  # five frames, of which nothing moves enough
    "odd_formats/synthetic_vcd_ntsc_352x240_pd1906.dat": Truth("mono", border=(3, 0, 3, 0)),
    "odd_formats/synthetic_vcd_ntsc_352x240_pd1906.mpg": Truth("mono", border=(3, 0, 3, 0)),
    "odd_formats/wmv8_vfr_320x240.wmv": Truth(border=(0, 19, 0, None)),
    "odd_formats/xvid_packed_bframes_544x352.avi": Truth(),
    "real_film/pd1903_great_train_robbery_480x368.mkv": Truth("mono"),
    "real_film/pd1906_market_street_480x368.mkv": Truth("mono", border=(3, 0, 3, 0)),
    "real_film/pd1910s_chaplin_640x360_pillarbox_h264_mp3.mp4": Truth("mono", border=(72, 0, 72, 0)),
    "real_film/pd1950s_usgov_a-bomb_blast_effects_432x320_h264.mp4": Truth("mono", border=(7, 0, 3, 0)),
    "real_film/raywzy001_chinese_war_film_579x340.mkv": Truth("tinted"),
}  # fmt: skip


def unread(*_: object, **__: object) -> Reading:
    """In place of the slow detectors, which are not asked about here."""
    return Reading(
        0, None, 0.0, 0.0, (0.0, 0.0), Dirt(0.0, 0.0, 0), Scratches(0, ()), Sharpness(None, None),
        Information(1.0, 1.0, 0.0), np.zeros((1, 1), np.float32), (),
    )  # fmt: skip


@pytest.mark.parametrize("name", TRUTH)
def test_a_real_file_is_seen_as_people_see_it(
    name: str, real: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, path = TRUTH[name], real(name)
    monkeypatch.setattr(inspection, "read", unread)
    seen = inspect_source([path])
    assert (seen.scan.kind, seen.tint.kind) == (truth.scan, truth.colour)
    assert seen.source.video.format.sample_aspect == truth.aspect
    found = (seen.crop.left, seen.crop.top, seen.crop.right, seen.crop.bottom)
    for side, wanted in zip(found, truth.border, strict=True):
        assert wanted is None or abs(side - wanted) <= NEAR, f"border {found}"
    assert truth.repeats[0] <= seen.seen.repeats <= truth.repeats[1]
