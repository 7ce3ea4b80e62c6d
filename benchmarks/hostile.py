"""What restore opens for writing, and which sockets, when pipeline files, sidecars and inputs come from somebody who means harm.

python benchmarks/hostile.py [--show]

Each case runs `restore check`, `restore run` or `restore batch` in a folder of its own; strace (where it is installed) lists every file opened for
writing, made, renamed or removed, and every socket. Only the output's own names, the cache folder and a few devices may be among
them. Without strace the folders alone are compared before and after.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg

ROOT = Path(__file__).resolve().parents[1]
STRACE = shutil.which("strace")
CALLS = (
    *("open", "openat", "openat2", "creat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir"),
    *("mkdirat", "link", "linkat", "symlink", "symlinkat", "truncate", "mknod", "mknodat", "socket", "bind", "connect"),
)  # fmt: skip
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
_HARMLESS = re.compile(
    r"^(/dev/(null|tty|shm/.*)|/proc/(self|\d+)/.*|(.*/box/)?\.[0-9a-f]{16}\.part)$"
)
"""Devices, and the name under which an output's work is prepared in its folder."""

OPTIONS: list[tuple[str, str]] = [
    ("libx264", 'stats = "{evil}"'),
    ("libx264", 'passlogfile = "{evil}"'),
    ("libx264", 'flags = "+pass1"'),
    ("libx264", 'x264opts = "stats={evil}:pass=1"'),
    ("libx264", 'x264-params = "stats={evil}:pass=1"'),
    ("libx264", 'x264-params = "pass=1"'),
    ("libx264", 'x264-params = "dump-yuv={evil}"'),
    ("libx264", 'x264-params = "dump_yuv={evil}"'),
    ("libx264", 'x264-params = "keyint=10:dump-yuv={evil}"'),
    ("libx264", "x264-params = 'keyint=10\\:dump-yuv={evil}'"),
    ("libx264", "x264-params = \"'keyint=10':dump-yuv='{evil}'\""),
    ("libx264", 'x264-params = "zones=0,9,dump-yuv={evil}"'),
    ("libx264", 'x264-params = "keyint=10\\n:dump-yuv={evil}"'),
    ("libx264", 'tune = "grain:stats={evil}"'),
    ("libx264", 'deblock = "0:0:dump-yuv={evil}"'),
    ("libx264", 'level = "4:stats={evil}"'),
    ("libx264", '"x264-params " = "dump-yuv={evil}"'),
    ("libx264", 'dump_separator = "{evil}"'),
    ("libx264", 'vstats = "{evil}"'),
    ("libx264", 'report = "file={evil}"'),
    ("libx264rgb", 'x264-params = "dump-yuv={evil}"'),
    ("libx265", 'x265-params = "csv={evil}:csv-log-level=2"'),
    ("libx265", 'x265-params = "analysis-save={evil}:analysis-reuse-level=5"'),
    ("libx265", 'x265-params = "recon={evil}"'),
    ("libx265", 'x265-params = "stats={evil}:pass=1"'),
    ("libx265", 'x265-stats = "{evil}"'),
    ("libx265", 'flags = "+pass1"'),
    ("libsvtav1", 'svtav1-params = "stats={evil}:pass=1"'),
    ("libsvtav1", 'svtav1-params = "recon={evil}"'),
    ("libvpx-vp9", 'flags = "+pass1"'),
    ("libvpx-vp9", 'ts-parameters = "{evil}"'),
    ("mpeg4", 'flags = "+pass1"'),
    ("h264_v4l2m2m", 'b = "1M"'),
    ("h264_nvenc", 'x264-params = "dump-yuv={evil}"'),
]
"""Lines of [output.options], by codec; {evil} is a file that must not appear."""

SIDECARS = [
    'output = "{evil}.mkv"',
    'output = "../evil.mkv"',
    'output = "sub/evil.mkv"',
    "set = ['output.options.x264-params=dump-yuv={evil}']",
    "set = ['output.options.stats={evil}', 'output.options.flags=+pass1']",
    "set = ['output.codec=libx265', 'output.options.x265-params=csv={evil}']",
    'pipeline = "{evil}"',
    'pipeline = "/dev/stdin"',
]

INPUTS = {
    "list.mkv": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ntcp://127.0.0.1:9\n#EXT-X-ENDLIST\n",
    "concat.avi": "ffconcat version 1.0\nfile 'clip.avi'\nfile 'tcp://127.0.0.1:9'\n",
    "stream.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>http://127.0.0.1:9/a.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "script.ts": "rtsp://127.0.0.1:9/x\n",
    "http:127.0.0.1.mkv": "no video\n",
}


def watched(command: list[str], folder: Path) -> tuple[int, list[str]]:
    """(exit code, what was written or opened that is none of the output's), of `restore` with `command`."""
    trace = folder.parent / f"{folder.name}.strace"
    start = [sys.executable, "-m", "restore", *command]
    if STRACE:
        start = [
            STRACE,
            "-f",
            "-qq",
            "-y",
            "-s",
            "4096",
            "-e",
            f"trace={','.join(CALLS)}",
            "-o",
            str(trace),
            *start,
        ]
    cache = folder.parent / "cache"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(cache),
        "TMPDIR": str(cache),
    }
    cache.mkdir(exist_ok=True)
    before = {p for p in folder.parent.rglob("*") if cache not in p.parents}
    done = subprocess.run(
        start,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    allowed = (
        "out",
        str(folder / "out"),
        str(cache),
    )  # relative names without a folder: of the working folder
    strange = [
        f"left: {p}"
        for p in sorted({p for p in folder.parent.rglob("*") if cache not in p.parents} - before)
        if p != trace and not str(p).startswith(str(folder / "out"))
    ]
    for line in trace.read_text(errors="replace").splitlines() if STRACE else ():
        strange += _strange(line, allowed)
    if done.returncode not in (0, 2) or "Traceback" in done.stderr:
        strange.append(f"exit {done.returncode}: {done.stderr[-300:]}")
    return done.returncode, strange


def _strange(line: str, allowed: tuple[str, ...]) -> list[str]:
    call = re.match(r"\d+\s+(\w+)\((.*)", line)
    if call is None:
        return []
    name, rest = call.groups()
    if name in ("socket", "bind", "connect"):
        # One that holds an output's name while it is made: in Linux's abstract space, connected to nothing.
        lock = rest.startswith("AF_UNIX, SOCK_DGRAM") or (name == "bind" and 'sun_path=@"' in rest)
        return [] if lock and name != "connect" else [f"{name}({rest[:100]}"]
    if name.startswith("open") and not _WRITES.search(rest):
        return []
    places = re.findall(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', rest)
    paths = [str(Path(at, path)) for at, path in places]
    bad = [p for p in paths if not p.startswith(allowed) and not _HARMLESS.match(p)]
    return [f"{name} {p}" for p in bad]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="print every case")
    parser.add_argument("--only", choices=["pipelines", "sidecars", "inputs"])
    options = parser.parse_args()
    failures = cases = runs = 0
    with tempfile.TemporaryDirectory() as work:
        clip = Path(work) / "clip.avi"
        source = "testsrc2=s=64x48:r=25:d=0.4"
        subprocess.run(
            [
                imageio_ffmpeg.get_ffmpeg_exe(),
                "-v",
                "error",
                "-f",
                "lavfi",
                "-i",
                source,
                "-c:v",
                "mpeg4",
                str(clip),
            ],
            check=True,
        )
        for title, commands, prepare in _cases(clip, options.only):
            folder = Path(work) / f"case{cases}" / "box"
            folder.mkdir(parents=True)
            prepare(folder)
            cases += 1
            found: list[str] = []
            codes = []
            for command in commands:
                code, strange = watched(command, folder)
                codes.append(code)
                found += strange
                runs += 1
            failures += bool(found)
            if found or options.show:
                print(
                    f"{'BAD ' if found else 'ok  '}{codes} {title}",
                    *sorted(set(found)),
                    sep="\n    ",
                    flush=True,
                )
            shutil.rmtree(folder.parent)
    how = "strace" if STRACE else "folders only"
    print(f"{cases} cases, {runs} runs, {how}: {failures} opened or wrote what is not the output's")
    raise SystemExit(1 if failures else 0)


Case = tuple[str, list[list[str]], Callable[[Path], None]]
"""What it is, the commands, and what makes the folder ready."""


def _cases(clip: Path, only: str | None) -> Iterator[Case]:
    if only in (None, "pipelines"):
        for codec, line in OPTIONS:

            def pipeline(folder: Path, codec: str = codec, line: str = line) -> None:
                text = f'[output]\ncodec = "{codec}"\n[output.options]\n'
                (folder / "p.toml").write_text(text + line.replace("{evil}", str(folder / "evil")))

            yield (
                f"{codec}: {line}",
                [["check", "p.toml", str(clip)], ["run", "p.toml", str(clip), "out.mkv"]],
                pipeline,
            )
    if only in (None, "sidecars"):
        for line in SIDECARS:

            def sidecar(folder: Path, line: str = line) -> None:
                (folder / "in").mkdir()
                shutil.copy(clip, folder / "in" / "a.avi")
                (folder / "in" / "a.avi.toml").write_text(
                    line.replace("{evil}", str(folder / "evil"))
                )

            yield f"sidecar: {line}", [["batch", "lanczos_x2", "in", "--out", "out"]], sidecar
    if only in (None, "inputs"):
        for name, text in INPUTS.items():

            def given(folder: Path, name: str = name, text: str = text) -> None:
                (folder / name).write_text(text)
                shutil.copy(clip, folder / "clip.avi")

            yield (
                f"input: {name}",
                [["inspect", name], ["run", "lanczos_x2", name, "out.mkv"]],
                given,
            )
        named = "attachment named ../../evil, a title that is a path"

        def attached(folder: Path) -> None:
            (folder.parent / "font.ttf").write_bytes(b"\0\1\0\0" + bytes(100))
            command = [
                *(
                    imageio_ffmpeg.get_ffmpeg_exe(),
                    "-v",
                    "error",
                    "-i",
                    str(clip),
                    "-attach",
                    str(folder.parent / "font.ttf"),
                ),
                *(
                    "-metadata:s:t",
                    "mimetype=application/x-truetype-font",
                    "-metadata:s:t",
                    "filename=../../evil",
                ),
                *("-metadata", "title=/tmp/evil", "-c", "copy", str(folder / "film.mkv")),
            ]
            subprocess.run(command, check=True)

        yield (
            named,
            [["inspect", "film.mkv"], ["run", "lanczos_x2", "film.mkv", "out.mkv"]],
            attached,
        )


if __name__ == "__main__":
    main()
