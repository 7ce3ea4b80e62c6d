"""Encoders, containers, tags, uses: whole runs, read by the static FFmpeg, which shares no code with us."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from restore.errors import OutputError, PipelineFileError
from restore.pipeline import read_pipeline
from restore.run import local
from restore.run.job import Job, Listener, Progress, prepare

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

Run = Callable[..., Path]
Line = Callable[[Path], str]
Ask = Callable[..., bytes]

# No guess gives these tags: 525-line colour on a picture of 144 lines at 25 frames a second.
TAGGED = "setparams=color_primaries=smpte240m:color_trc=bt709:colorspace=smpte170m"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six frames of 256x144: 8-bit 4:2:0 with tags; full range; SAR 16:11; all small."""
    folder = tmp_path_factory.mktemp("clips")
    made = {}
    for name, filters in {
        "limited": f"{TAGGED}:range=limited,setsar=1",
        "full": f"scale=out_range=full,format=yuv420p,{TAGGED}:range=full,setsar=1",
        "wide": f"{TAGGED}:range=limited,setsar=16/11",
    }.items():
        made[name] = folder / f"{name}.mkv"
        picture = f"testsrc2=size=256x144:rate=25,format=yuv420p,{filters}"
        subprocess.run(
            [
                *(FFMPEG, "-v", "error", "-f", "lavfi", "-i", picture),
                *("-frames:v", "6", "-c:v", "ffv1"),
                *(("-color_range", "pc") if name == "full" else ()),
                made[name],
            ],
            check=True,
        )
    return made


PAIRS = [
    ("libx264", "mkv", "yuv420p"),
    ("libx264", "mp4", "yuv420p"),
    ("libx264", "mov", "yuv420p"),
    ("libx265", "mkv", "yuv420p"),
    ("libx265", "mp4", "yuv420p"),
    ("libx265", "mov", "yuv420p"),
    ("libsvtav1", "mkv", "yuv420p"),
    ("libsvtav1", "mp4", "yuv420p"),
    ("libvpx-vp9", "mkv", "yuv420p"),
    ("libvpx-vp9", "mp4", "yuv420p"),
    ("ffv1", "mkv", "yuv420p"),
    ("prores_ks", "mov", "yuv422p10le"),
    ("prores_ks", "mkv", "yuv422p10le"),
    ("mpeg2video", "mkv", "yuv420p"),
    ("libvpx-vp9", "webm", "yuv420p"),
    ("libx264", "ts", "yuv420p"),
    ("libx265", "ts", "yuv420p"),
    ("mpeg2video", "ts", "yuv420p"),
    ("libx264", "avi", "yuv420p"),
]


@pytest.mark.parametrize(("codec", "ending", "samples"), PAIRS)
@pytest.mark.parametrize("range_", ["limited", "full"])
def test_every_pair_says_every_tag(
    clips: dict[str, Path],
    codec: str,
    ending: str,
    samples: str,
    range_: str,
    run_empty: Run,
    video_line: Line,
) -> None:
    settings = (f"output.codec={codec}", "output.preset=ultrafast")
    line = video_line(run_empty(clips[range_], f"out.{ending}", *settings))
    # ProRes and MPEG-2 know no full range: the picture is converted and says so.
    full = range_ == "full" and codec not in ("prores_ks", "mpeg2video")
    name = samples.replace("yuv", "yuvj") if full and "libx26" in codec else samples
    assert re.search(rf"{name}\({'pc' if full else 'tv'}, smpte170m/smpte240m/bt709[,)]", line), (
        line
    )


def test_full_range_is_converted_where_it_cannot_be_said(
    clips: dict[str, Path], run_empty: Run, ask: Ask
) -> None:
    out = run_empty(clips["full"], "out.mov", "output.codec=prores_ks")

    def luma(path: Path) -> bytes:
        scaled = ("-vf", "scale=in_range=auto:out_range=full,format=gray", "-f", "rawvideo", "-")
        return ask("-v", "error", "-i", path, *scaled)

    before, after = luma(clips["full"]), luma(out)
    assert len(before) == len(after) > 0
    assert sum(abs(a - b) for a, b in zip(before, after, strict=True)) / len(before) < 2


# Uses -----------------------------------------------------------------------------------------------


def test_preview_is_what_every_player_shows(
    clips: dict[str, Path], run_empty: Run, video_line: Line
) -> None:
    line = video_line(run_empty(clips["limited"], "out.mp4", "output.use=preview"))
    assert "h264" in line
    assert "yuv420p(" in line


def test_an_archive_has_checksums_and_a_log(
    clips: dict[str, Path], run_empty: Run, ask: Ask, tmp_path: Path
) -> None:
    out = run_empty(clips["wide"], "out.mkv", "output.use=archive")
    sidecar = (tmp_path / "out.mkv.framemd5").read_text()
    oracle = ask("-v", "error", "-i", out, "-map", "0:v:0", "-f", "framemd5", "-").decode()

    def hashes(text: str) -> list[str]:
        return [line.split(",")[-1].strip() for line in text.splitlines() if line[0] != "#"]

    assert len(hashes(sidecar)) == 6
    assert hashes(sidecar) == hashes(oracle)
    header = [line for line in oracle.splitlines() if re.match("#(dim|sar|media|codec|ver)", line)]
    assert all(line in sidecar for line in header)
    # Nothing was lost either: the source's frames have the same checksums.
    source = ask("-v", "error", "-i", clips["wide"], "-f", "framemd5", "-").decode()
    assert hashes(source) == hashes(oracle)

    log = tmp_path / "log.json"
    subprocess.run(
        [FFMPEG, "-v", "error", "-dump_attachment:t:0", log, "-i", out, "-f", "null", "-"],
        check=True,
    )
    told = json.loads(log.read_text())
    assert told["input"]["files"][0]["name"] == "wide.mkv"
    assert told["pipeline"]["settings"]["output"]["codec"] == "ffv1"
    assert told["frames"] == {"count": 6, "damaged at ms": [], "repeats": 0}


def test_archives_repeat_to_the_byte(clips: dict[str, Path], run_empty: Run) -> None:
    files = [run_empty(clips["limited"], f"{n}.mkv", "output.use=archive") for n in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


class _StopError(Exception):
    pass


class _StopsAt(Listener):
    def __init__(self, frame: int) -> None:
        self.frame = frame

    def progress(self, now: Progress) -> None:
        if now.frames >= self.frame:
            raise _StopError


def test_an_archive_that_was_interrupted_is_the_same(tmp_path: Path) -> None:
    clip = tmp_path / "long.mkv"
    picture = "testsrc2=size=64x48:rate=4:duration=24,negate=enable='gte(t,11)'"
    command = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", picture, "-c:v", "ffv1", clip]
    subprocess.run(command, check=True)
    pipeline = tmp_path / "p.toml"
    pipeline.write_text('[[stage]]\nkind = "align"\nradius = 1\n[output]\nuse = "archive"\n')
    spec = read_pipeline(pipeline)
    files = {}
    for name, stop in (("whole", 10**6), ("cut", 70)):
        (tmp_path / name).mkdir()
        output = tmp_path / name / "out.mkv"
        job = Job(spec, (clip,), output, threads=1)
        try:
            local.run(prepare(job), _StopsAt(stop))
        except _StopError:
            kept = local.run(prepare(job), Listener()).kept
            assert kept == 1
        files[name] = output.read_bytes(), (tmp_path / name / "out.mkv.framemd5").read_text()
    assert files["whole"] == files["cut"]


def test_a_damaged_slice_is_found(clips: dict[str, Path], run_empty: Run) -> None:
    """What slicecrc is for; without it FFmpeg decodes the wrong picture in silence."""
    out = run_empty(clips["limited"], "out.mkv", "output.use=archive")
    data = bytearray(out.read_bytes())
    data[len(data) // 2] ^= 0x55
    out.write_bytes(data)
    done = subprocess.run(
        [FFMPEG, "-v", "error", "-i", out, "-f", "null", "-"], capture_output=True, check=False
    )
    assert b"CRC mismatch" in done.stderr or b"slice" in done.stderr.lower()


def test_old_checksums_are_not_overwritten(
    clips: dict[str, Path], run_empty: Run, tmp_path: Path
) -> None:
    (tmp_path / "out.mkv.framemd5").write_text("mine")
    with pytest.raises(OutputError, match="framemd5: exists already"):
        run_empty(clips["limited"], "out.mkv", "output.use=archive")


def test_an_archive_is_a_matroska_file(clips: dict[str, Path], run_empty: Run) -> None:
    with pytest.raises(PipelineFileError, match=r"use: expected an \.mkv file for an archive"):
        run_empty(clips["limited"], "out.mp4", "output.use=archive", "output.codec=libx264")


# Square pixels --------------------------------------------------------------------------------------


def test_square_pixels_keep_the_height_and_the_shape(
    clips: dict[str, Path], run_empty: Run, video_line: Line, ask: Ask
) -> None:
    out = run_empty(clips["wide"], "out.mkv", "input.square_pixels=true", "output.crf=2")
    line = video_line(out)
    assert "372x144" in line  # 256 * 16 / 11 = 372.4
    assert "SAR 16:11" not in line

    def luma(path: Path, *filters: str) -> bytes:
        chain = ",".join([*filters, "format=gray"])
        return ask("-v", "error", "-i", path, "-vf", chain, "-f", "rawvideo", "-")

    scaled = luma(clips["wide"], "scale=372:144:flags=lanczos+accurate_rnd")
    ours = luma(out)
    assert len(scaled) == len(ours) > 0
    assert sum(abs(a - b) for a, b in zip(scaled, ours, strict=True)) / len(ours) < 1.5


def test_square_samples_are_left_alone(
    clips: dict[str, Path], run_empty: Run, video_line: Line
) -> None:
    out = run_empty(clips["limited"], "out.mkv", "input.square_pixels=true")
    assert "256x144" in video_line(out)


# HDR ------------------------------------------------------------------------------------------------

DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


@pytest.fixture(scope="module")
def hdr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hdr") / "hdr.mkv"
    picture = "testsrc2=size=256x144:rate=25,format=yuv420p10le,"
    tags = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=limited"
    params = f"log-level=none:master-display={DISPLAY}:max-cll=1000,400"
    subprocess.run(
        [
            *(FFMPEG, "-v", "error", "-f", "lavfi", "-i", picture + tags, "-frames:v", "4"),
            *("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", params, path),
        ],
        check=True,
    )
    return path


@pytest.mark.parametrize(
    ("codec", "wish"),
    [("libx265", "refuse"), ("libx264", "refuse"), ("libsvtav1", "refuse"), ("libx264", "drop")],
)
def test_hdr_metadata_goes_along(
    hdr: Path, codec: str, wish: str, run_empty: Run, video_line: Line
) -> None:
    settings = [f"output.codec={codec}", "output.preset=ultrafast", f"input.hdr={wish}"]
    out = run_empty(hdr, "out.mkv", *settings)
    assert "yuv420p10le(tv, bt2020nc/bt2020/smpte2084" in video_line(out)
    command = [FFMPEG, "-hide_banner", "-i", out, "-vf", "showinfo", "-f", "null", "-"]
    told = subprocess.run(command, capture_output=True, check=True).stderr.decode()
    assert re.search(r"r\(0\.6800,? ?0\.3200\) g\(0\.2650,? ?0\.6900\)", told), told
    assert re.search(r"max_luminance=1000\.0+", told)
    assert re.search(r"MaxCLL=1000, MaxFALL=400", told)


def test_hdr_metadata_is_not_lost_in_silence(hdr: Path, run_empty: Run) -> None:
    with pytest.raises(PipelineFileError, match="ffv1 cannot carry the source's HDR metadata"):
        run_empty(hdr, "out.mkv", "output.codec=ffv1")
    assert run_empty(hdr, "out.mkv", "output.codec=ffv1", "input.hdr=drop").exists()


# Refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("out.mp4", ["output.codec=prores_ks"], "mp4 cannot hold prores_ks"),
        ("out.mov", ["output.codec=libvpx-vp9"], "mov cannot hold libvpx-vp9"),
        (
            "out.mkv",
            ["output.codec=h264_nvenc"],
            "h264_nvenc does not open: it needs an NVIDIA GPU with an encoder",
        ),
        (
            "out.mkv",
            ["output.codec=prores_ks", "output.pixel_format=yuv420p"],
            "prores_ks cannot encode 'yuv420p'",
        ),
        (
            "out.mkv",
            ["output.codec=libx265", "output.options.tun=grain"],
            "options.tun: expected an option of libx265 that shapes the picture and does nothing else, got 'tun'; "
            "did you mean 'tune'",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_render(
    clips: dict[str, Path],
    tmp_path: Path,
    name: str,
    settings: list[str],
    message: str,
) -> None:
    pipeline = tmp_path / "empty.toml"
    pipeline.write_text("")
    job = Job(read_pipeline(pipeline, settings), (clips["limited"],), tmp_path / name)
    with pytest.raises(PipelineFileError, match=re.escape(message)):
        prepare(job)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.toml"]
