"""What an output lacks of its source is said before the work, in the summary and in the record: the same by `run`, `check`
and `batch`, without -v."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import pytest

from restore.cli import main
from restore.io.join import open_source
from restore.io.probe import InputOptions
from restore.io.streams import plan_streams

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
PICTURE = "testsrc2=size=64x48:rate=25,trim=end_frame=10"


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([FFMPEG, "-nostdin", "-y", "-v", "error", *arguments], check=True)


def encoded(path: Path, *encoder: str | Path, picture: str = PICTURE) -> Path:
    ffmpeg("-f", "lavfi", "-i", picture, *encoder, path)
    return path


def transparent(folder: Path) -> Path:
    return encoded(folder / "in.mov", "-c:v", "prores_ks", "-pix_fmt", "yuva444p10le")


def transparent_vp9(folder: Path) -> Path:
    """Its alpha lies beside the picture; FFmpeg's own decoder does not see it."""
    options = ["-pix_fmt", "yuva420p", "-deadline", "realtime"]
    return encoded(folder / "in.webm", "-c:v", "libvpx-vp9", *options)


def turned(folder: Path) -> Path:
    plain = encoded(folder / "plain.mp4", "-c:v", "libx264")
    ffmpeg("-display_rotation", "45", "-i", plain, "-c", "copy", folder / "in.mp4")
    return folder / "in.mp4"


def of_two_sizes(folder: Path) -> Path:
    with (folder / "in.m2v").open("wb") as file:
        for size, count in (("64x48", 15), ("32x24", 10)):
            part = folder / "part.m2v"
            picture = f"testsrc2=size={size}:rate=25,trim=end_frame={count}"
            encoded(part, "-c:v", "mpeg2video", "-bf", "0", picture=picture)
            file.write(part.read_bytes())
    return folder / "in.m2v"


def full(folder: Path) -> Path:
    """With what a transport stream cannot hold."""
    words, chapters = folder / "words.srt", folder / "chapters.txt"
    words.write_text("1\n00:00:00,100 --> 00:00:00,300\nHello\n")
    chapters.write_text(
        ";FFMETADATA1\nREEL=7\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=One\n"
    )
    picture = ["-f", "lavfi", "-i", PICTURE, "-f", "lavfi", "-i", "sine=duration=0.4"]
    more = ["-i", words, "-i", chapters, "-map", "0", "-map", "1", "-map", "2"]
    codecs = ["-map_metadata", "3", "-c:v", "mpeg4", "-c:a", "flac", "-c:s", "srt"]
    ffmpeg(*picture, *more, *codecs, folder / "in.mkv")
    return folder / "in.mkv"


def hdr(folder: Path) -> Path:
    params = "log-level=none:max-cll=1000,400"
    tags = ["-color_trc", "smpte2084", "-color_primaries", "bt2020", "-colorspace", "bt2020nc"]
    options = ["-pix_fmt", "yuv420p10le", *tags, "-preset", "ultrafast", "-x265-params", params]
    return encoded(folder / "in.mkv", "-c:v", "libx265", *options)


def described(folder: Path) -> Path:
    """Its user data, written here by hand, says how much of the picture counts (ETSI TS 101 154, B.3), and what is said
    in it (ATSC A/53-4)."""
    clip = encoded(folder / "in.m2v", "-c:v", "mpeg2video", "-bf", "0")
    slices = b"\0\0\1\1"
    data = b"DTG1\x41\xfa", b"GA94\3\x41\xff\xfc\x20\x41\xff"
    user_data = b"".join(b"\0\0\1\xb2" + each for each in data)
    clip.write_bytes(clip.read_bytes().replace(slices, user_data + slices))
    return clip


CASES = {
    "AFD and captions": (
        described,
        "out.mkv",
        ["--set", "output.codec=prores_ks"],
        [
            "closed captions (EIA-608, 708): prores_ks has no place for them",
            "active format description (AFD): no encoder here writes it",
        ],
    ),
    "alpha": (transparent, "out.mkv", [], ["transparency: yuva444p12le carries it"]),
    "VP9 alpha": (transparent_vp9, "out.mkv", [], ["transparency: the file has it beside"]),
    "rotation": (turned, "out.mkv", [], ["by no multiple of 90 degrees"]),
    "sizes": (of_two_sizes, "out.mkv", [], ["10 of 24 frames looked at are of another size"]),
    "streams": (
        full,
        "out.ts",
        [],
        [
            "stream 1 (audio, flac) is converted to aac: mpegts cannot hold flac",
            "stream 2 (subtitle, subrip) is dropped: mpegts cannot hold it",
            "chapters: mpegts has none",
            "metadata (REEL): mpegts has no place for it",
        ],
    ),
    "HDR": (
        hdr,
        "out.mkv",
        ["--set", "output.codec=ffv1", "--set", "input.hdr=drop"],
        ["HDR metadata (content light level 1000, 400): ffv1 cannot carry it"],
    ),
}  # fmt: skip


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[str, list[str]]:
    """(standard output, the warnings on standard error)."""
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(sys, "argv", ["restore", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 0, printed.err
    start = "warning: lost: "
    lines = [n for n in printed.err.splitlines() if n.startswith(start)]
    return printed.out, [n.removeprefix(start) for n in lines]


@pytest.mark.parametrize("case", CASES)
def test_losses_are_said_by_every_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: str,
) -> None:
    make, name, settings, wanted = CASES[case]
    (tmp_path / "in").mkdir()
    clip = make(tmp_path / "in")
    for other in clip.parent.iterdir():
        if other != clip:
            other.unlink()
    (tmp_path / "p.toml").write_text("")
    out = tmp_path / name
    more = [tmp_path / "p.toml", clip]
    _, checked = command(monkeypatch, capsys, "check", *more, "--output", out, *settings)
    record = tmp_path / "run.json"
    shown, warned = command(monkeypatch, capsys, "run", *more, out, "--json", record, *settings)
    # What is counted is told again in the numbers of the whole.
    assert warned[: len(checked)] == checked
    assert len(checked) == len(wanted)
    for text, found in zip(wanted, checked, strict=True):
        assert text in found
    told = json.loads(record.read_text())["losses"]
    assert set(warned) - set(told) == ({checked[0]} if case == "sizes" else set())
    assert all(loss in shown for loss in told)
    if case == "sizes":
        assert told == ["10 of 24 frames are of another size and were scaled to 64x48"]
    batch = ["batch", clip.parent, tmp_path / "p.toml", "--out", tmp_path / "out"]
    record = tmp_path / "batch.json"
    container = ["--container", out.suffix, "--json", record]
    _, batched = command(monkeypatch, capsys, *batch, *container, *settings)
    assert batched == warned
    assert json.loads(record.read_text())[0]["losses"] == told


def test_nothing_lost_is_said_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = encoded(tmp_path / "in.mkv", "-c:v", "mpeg4")
    (tmp_path / "p.toml").write_text("")
    shown, warned = command(
        monkeypatch, capsys, "run", tmp_path / "p.toml", clip, tmp_path / "out.mkv"
    )
    assert warned == []
    assert any(line.split() == ["lost", "nothing"] for line in shown.splitlines())


def test_sound_that_was_not_wanted_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = full(tmp_path)
    (tmp_path / "p.toml").write_text("")
    arguments = [tmp_path / "p.toml", clip, "--output", tmp_path / "out.ts"]
    more = ["--set", "output.audio=none"]
    _, warned = command(monkeypatch, capsys, "check", *arguments, *more)
    assert not any("audio" in loss for loss in warned)


def test_a_file_that_would_hold_it_is_named_only_where_it_would(tmp_path: Path) -> None:
    """A stream of data that no container knows: Matroska neither."""
    clip = encoded(tmp_path / "in.mov", "-c:v", "libx264", "-timecode", "01:02:03:04")
    words = full(tmp_path)
    source = open_source([words], InputOptions())
    reasons = [s.reason for s in plan_streams(source, "ts", "copy").streams]
    assert [r.endswith("; try an .mkv file") for r in reasons] == [False, True]
    for container in ("mp4", "mov", "ts", "mkv"):
        plan = plan_streams(open_source([clip], InputOptions()), container, "copy")
        assert not any("mkv" in s.reason for s in plan.streams)


def test_what_begins_late_is_found_by_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nothing to be measured, only the first frame is looked at beforehand."""
    params = "log-level=none"
    for name, light in (("a.hevc", "1000,400"), ("b.hevc", "600,200")):
        told = f"{params}:max-cll={light}"
        encoded(tmp_path / name, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", told)
    clip = tmp_path / "in.hevc"
    clip.write_bytes((tmp_path / "a.hevc").read_bytes() + (tmp_path / "b.hevc").read_bytes())
    (tmp_path / "p.toml").write_text(
        '[input]\ndeinterlace = "off"\ntelecine = "off"\nfield_order = "tff"\n'
    )
    arguments = [tmp_path / "p.toml", clip]
    _, checked = command(monkeypatch, capsys, "check", *arguments)
    assert checked == []
    shown, warned = command(monkeypatch, capsys, "run", *arguments, tmp_path / "out.mkv")
    assert warned == [
        "HDR metadata that begins or changes midway: the output has that of the first frame throughout"
    ]
    assert warned[0] in shown
