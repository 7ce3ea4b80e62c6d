from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from films import INTERLACED_MPEG2, INTERLACED_X264, LOSSLESS, Film, pan, still, write_film

from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.scan import judge
from restore.io.source import ScanPlan, Source

AUTO = InputOptions()
TOP, BOTTOM = "tinterlace=interleave_top", "tinterlace=interleave_bottom"


def look(path: Path, options: InputOptions = AUTO) -> Source:
    return open_source([path], options)


def scan_of(path: Path, options: InputOptions = AUTO) -> ScanPlan:
    return look(path, options).video.layout.scan


def scan_notes(source: Source) -> list[str]:
    return [note for note in source.notes if note.startswith("scan:")]


def interlaced(path: Path, order: str, *encoder: str) -> Path:
    """50 fields a second of a pan as 25 frames a second."""
    weave = {"tff": TOP, "bff": BOTTOM}[order]
    film = pan(60)
    return write_film(path, film, "50", "-vf", f"format=yuv420p,{weave},setfield={order}", *encoder)


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("codec", ["mpeg2", "x264"])
def test_interlace_and_its_order_are_seen(tmp_path: Path, codec: str, order: str) -> None:
    encoder = INTERLACED_MPEG2 if codec == "mpeg2" else (*INTERLACED_X264, f"{order}=1")
    source = look(interlaced(tmp_path / "clip.ts", order, *encoder))
    scan = source.video.layout.scan
    assert (scan.deinterlace, scan.telecine, scan.top_first) == ("bwdif", "off", order == "tff")
    (note,) = scan_notes(source)
    side = "top" if order == "tff" else "bottom"
    assert note.startswith(f"scan: interlaced, {side} field first (28 of 28 moving frames combed")
    assert note.endswith("the stream says the same): deinterlaced with bwdif")


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_the_picture_overrules_a_wrong_flag(tmp_path: Path, order: str) -> None:
    wrong = "bff" if order == "tff" else "tff"
    weave = TOP if order == "tff" else BOTTOM
    filters = f"format=yuv420p,{weave},setfield={wrong}"
    clip = write_film(tmp_path / "clip.ts", pan(60), "50", "-vf", filters, *INTERLACED_MPEG2)
    source = look(clip)
    assert source.video.layout.scan.deinterlace == "bwdif"
    assert source.video.layout.scan.top_first is (order == "tff")
    assert "field first, the picture decides" in scan_notes(source)[0]


def test_interlace_without_any_flag_is_seen(tmp_path: Path) -> None:
    source = look(
        interlaced(tmp_path / "clip.mkv", "bff", *LOSSLESS, "-field_order", "progressive"), AUTO
    )
    assert source.video.layout.scan.deinterlace == "bwdif"
    assert source.video.layout.scan.top_first is False


def test_progressive_film_flagged_interlaced_is_left_alone(tmp_path: Path) -> None:
    """PAL film: 25 whole pictures a second, coded as interlaced."""
    flag = ("-vf", "format=yuv420p,setfield=tff")
    clip = write_film(tmp_path / "clip.ts", pan(40), "25", *flag, *INTERLACED_MPEG2)
    source = look(clip)
    assert not source.video.layout.scan.active
    assert scan_notes(source) == [
        "scan: progressive (0 of 38 moving frames combed; the stream says interlaced): left as it is"
    ]


def slides() -> Film:
    return np.concatenate([pan(1, seed=n) for n in range(40)])


def on_twos() -> Film:
    return np.repeat(pan(20, speed=5), 2, axis=0)


def striped() -> Film:
    """Lines of one sample, as in a resolution chart, behind a moving ball."""
    film = pan(40)
    film[:, ::2] = film[:, ::2] // 2
    return film


def half_striped() -> Film:
    """A still chart at the left, motion at the right."""
    film = pan(40)
    film[:, ::2, :80], film[:, 1::2, :80] = 30, 220
    return film


@pytest.mark.parametrize(
    "film", [lambda: pan(40), slides, on_twos, striped, half_striped, lambda: still(40)]
)
def test_progressive_pictures_are_left_alone(tmp_path: Path, film: Callable[[], Film]) -> None:
    source = look(write_film(tmp_path / "clip.mkv", film(), "25", *LOSSLESS))
    assert not source.video.layout.scan.active
    assert scan_notes(source) == []


def test_a_still_says_nothing(tmp_path: Path) -> None:
    flag = ("-vf", "format=yuv420p,setfield=tff")
    source = look(write_film(tmp_path / "c.ts", still(40), "25", *flag, *INTERLACED_MPEG2))
    assert not source.video.layout.scan.active
    assert scan_notes(source) == [
        "scan: undecided (only 0 of 38 frames move enough to tell; the stream says interlaced): "
        "left as it is; [input] deinterlace decides"
    ]


@pytest.mark.parametrize("first", ["top", "bottom"])
def test_telecine_is_seen(tmp_path: Path, first: str) -> None:
    pulldown = ("-vf", f"format=yuv420p,telecine=pattern=23:first_field={first}")
    clip = write_film(tmp_path / "c.ts", pan(40), "24000/1001", *pulldown, *INTERLACED_MPEG2)
    source = look(clip)
    scan = source.video.layout.scan
    assert (scan.telecine, scan.deinterlace, scan.top_first) == ("decimate", "off", first == "top")
    assert "scan: telecined (20 of 48 moving frames hold fields of two film frames" in "".join(
        scan_notes(source)
    )


def test_fields_of_film_that_were_shifted_are_seen(tmp_path: Path) -> None:
    """PAL film whose fields were paired wrongly: every frame is combed, and nothing is lost."""
    shift = ("-vf", "format=yuv420p,phase=mode=b,setfield=tff")
    clip = write_film(tmp_path / "c.ts", pan(40), "25", *shift, *INTERLACED_MPEG2)
    scan = scan_of(clip)
    assert (scan.telecine, scan.deinterlace) == ("match", "off")


def test_what_is_asked_for_is_done(tmp_path: Path) -> None:
    clip = interlaced(tmp_path / "clip.ts", "tff", *INTERLACED_MPEG2)
    off = look(clip, InputOptions(deinterlace="off"))
    assert not off.video.layout.scan.active
    assert off.video.layout.scan.interlaced
    assert "left as it is, as [input] says" in scan_notes(off)[0]
    forced = InputOptions(deinterlace="w3fdif", field_order="bff", deinterlace_rate="field")
    scan = scan_of(clip, forced)
    assert (scan.deinterlace, scan.top_first, scan.per_field) == ("w3fdif", False, True)
    scan = scan_of(clip, InputOptions(telecine="on", deinterlace="off"))
    assert (scan.deinterlace, scan.telecine, scan.top_first) == ("off", "decimate", True)


def test_a_codec_without_interlace_needs_strong_evidence(tmp_path: Path) -> None:
    """Half of it combed is enough for MPEG-2, not for MPEG-1, which knows no fields."""
    moving, film = pan(60, 96, 320), np.repeat(pan(20, 96, 320), 2, axis=0)
    for codec, expected in (("mpeg2video", "bwdif"), ("mpeg1video", "off")):
        weave = ("-vf", f"format=yuv420p,{TOP}", "-c:v", codec, "-q:v", "2")
        clip = write_film(tmp_path / f"{codec}.mpg", np.concatenate([moving, film]), "50", *weave)
        assert scan_of(clip).deinterlace == expected


def woven(film: Film, first: int) -> Film:
    """Frames of film[0] with film[1], film[2] with film[3] ...; the field of lines `first` (0 or 1) is earlier."""
    frames = film[0::2].copy()
    frames[:, 1 - first :: 2] = film[1::2, 1 - first :: 2]
    return frames


def test_three_frames_are_judged() -> None:
    film = pan(6, speed=4)
    cases = [
        (film, "clean"),
        (woven(film, 0), "top"),
        (woven(film, 1), "bottom"),
        (still(3), "silent"),
    ]
    shifted = film[:-1].copy()
    shifted[:, 1::2] = film[1:, 1::2]
    cases += [(shifted, "mixed top"), (film[:, :6, :6], "silent")]
    for frames, verdict in cases:
        before, frame, after = frames[:3].astype(np.int16)
        assert judge(before, frame, after) == verdict


# Real files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "deinterlace", "note"),
    [
        ("mpeg2_interlaced_fieldpics_pal_sar16-15.ts", "bwdif", "interlaced, bottom field first"),
        # Flagged so, but every picture is of one time; what looks combed are coding errors by field.
        ("mpeg2_ts_352x288_interlaced_sar12-11.ts", "off", "progressive (6 of 124"),
        # Five frames of smoke that stands still.
        ("svcd_480x480_sar4-3_interlaced.mpg", "off", "undecided"),
    ],
)
def test_real_files_flagged_interlaced(
    real: Callable[[str], Path], name: str, deinterlace: str, note: str
) -> None:
    source = look(real(f"odd_formats/{name}"))
    assert source.video.layout.scan.deinterlace == deinterlace
    assert scan_notes(source)[0].startswith(f"scan: {note}")


@pytest.mark.parametrize(
    "name",
    [
        "odd_formats/divx_mpeg4_mp3_640x480.avi",
        "odd_formats/mpeg1_es_320x240_25.mpg",
        "odd_formats/mpeg1_ps_mp2_500x281_2997_oddheight.mpg",
        "odd_formats/mpeg2_422_320x240_12fps.vob",
        "odd_formats/mpeg2_ac3_640x480.vob",
        "odd_formats/msmpeg4v1_352x240.avi",
        "odd_formats/sorenson_h263_flv_320x240.flv",
        "odd_formats/synthetic_vcd_ntsc_352x240_pd1906.dat",
        "odd_formats/wmv8_vfr_320x240.wmv",
        "odd_formats/xvid_packed_bframes_544x352.avi",
        "real_film/pd1903_great_train_robbery_480x368.mkv",
        "real_film/pd1910s_chaplin_640x360_pillarbox_h264_mp3.mp4",
        "real_film/pd1950s_usgov_a-bomb_blast_effects_432x320_h264.mp4",
        "rm/fate_rv10_sipr5k0_160x112.rm",
        "rm/fate_rv20_G2_with_SVT_320x240_BW.rm",
        "rm/fate_rv30_cook_352x240.rm",
        "rm/filestar_rv40_cook_gbk_vcd_352x288.rmvb",
    ],
)
def test_real_progressive_files(real: Callable[[str], Path], name: str) -> None:
    source = look(real(name))
    assert not source.video.layout.scan.active
    assert scan_notes(source) == []
