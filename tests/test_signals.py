"""Whatever a signal finds the program doing, it ends with 130 and one line, soon, and the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

ROOT = Path(__file__).resolve().parents[1]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

RUN = ("run", "lanczos_x2", "clip.avi", "out.mkv", "--set=output.preset=ultrafast")

_PATIENCE = 240.0
"""Seconds for a start on a machine that has much else to do."""

WORDS = {
    signal.SIGINT: "interrupted; ",
    signal.SIGTERM: "stopped by a request to end (SIGTERM); ",
    signal.SIGHUP: "stopped: the terminal was closed; ",
}

SHORT_SEGMENTS = "import restore.run.onepass as one; one.SEGMENT_FRAMES = 10"

HANGS = {
    # A generator, so in the thread that decodes.
    "decoder": """
import restore.run.local as local, restore.io.encode, time, pathlib
first = local.decode
def decode(*given, **named):
    for number, batch in enumerate(first(*given, **named)):
        if number == 1:
            pathlib.Path("here").touch()
            time.sleep(1000)
        yield batch
local.decode = decode
""",
    # In the thread that encodes, after a segment was finished.
    "encoder": """
import restore.run.onepass as one, restore.io.encode as encode, time, pathlib
one.SEGMENT_FRAMES = 10
first = encode.SegmentEncoder.encode
def hang(self, frames):
    if "00001" in str(self._path):
        pathlib.Path("here").touch()
        time.sleep(1000)
    first(self, frames)
encode.SegmentEncoder.encode = hang
""",
    # The main thread, in C, where no handler of Python runs: a mutex that it holds already.
    "native": """
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
import restore.interrupts, restore.run.local as local, ctypes, pathlib
restore.interrupts._GRACE = 0.5
def hang(*given):
    pathlib.Path("here").touch()
    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)
local.finish = hang
""",
    # A destructor drops what is raised in it.
    "destructor": """
import restore.run.local as local, time, pathlib
class Slow:
    def __del__(self):
        pathlib.Path("here").touch()
        time.sleep(1000)
def hang(*given):
    Slow()
    time.sleep(1000)
local.finish = hang
""",
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    picture = ffmpeg.input("testsrc2=size=64x48:rate=25:duration=1", f="lavfi")
    ffmpeg.output(picture, str(path), vcodec="mpeg4", **{"qscale:v": 3}).run(cmd=FFMPEG, quiet=True)
    return path


PATIENT = "import restore.interrupts; restore.interrupts._GRACE = 60.0\n"
"""Before a double: what is seen then is not the watch from beside."""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(clip: Path, tmp_path: Path) -> Iterator[Start]:
    """start(words..., double=""): the program in `tmp_path`, where the clip is; `double`: code that runs before it."""
    (tmp_path / "clip.avi").write_bytes(clip.read_bytes())
    started: list[subprocess.Popen[str]] = []

    def go(*words: str, double: str = "") -> subprocess.Popen[str]:
        code = f"import sys\n{PATIENT}{double}\nfrom restore.__main__ import main\nmain()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield go
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def until(met: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + _PATIENCE
    while not met():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.01)


def hears_signals(process: subprocess.Popen[str]) -> bool:
    """Whether the program's own handlers are there; before, Python itself starts."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGHUP - 1) & 1)
    return False


def ended(process: subprocess.Popen[str], kind: signal.Signals) -> str:
    """What is said to be kept; that the end is what it should be."""
    out, err = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 130, (out, err)
    assert err.startswith(WORDS[kind])
    assert len(err.splitlines()) == 1, err
    assert "Traceback" not in out
    return err.removeprefix(WORDS[kind]).rstrip()


@pytest.mark.parametrize("after", [0.0, 0.05, 0.15, 0.3])
def test_a_signal_during_the_imports_ends_at_once(
    after: float, start: Start, tmp_path: Path
) -> None:
    for kind in WORDS if after == 0.15 else [signal.SIGINT]:
        process = start(*RUN)
        until(lambda process=process: hears_signals(process), process)
        time.sleep(after)
        process.send_signal(kind)
        ended(process, kind)
        assert [p.name for p in tmp_path.iterdir()] == ["clip.avi"]


KEPT = {
    "decoder": "nothing was kept: no segment was finished; the same command begins again",
    "encoder": "finished segments are kept in out.mkv.parts; the same command goes on",
    "native": "finished segments are kept in out.mkv.parts; the same command goes on",
    "destructor": "finished segments are kept in out.mkv.parts; the same command goes on",
}


@pytest.mark.parametrize("where", HANGS)
def test_what_hangs_does_not_hold_up_the_end(where: str, start: Start, tmp_path: Path) -> None:
    process = start(*RUN, double=HANGS[where])
    until((tmp_path / "here").exists, process)
    if where == "encoder":
        until((tmp_path / "out.mkv.parts" / "segment-00000.nut").exists, process)
    if where == "native":
        process.send_signal(signal.SIGHUP)  # ignored from the start, as nohup has it
    for _ in range(5 if where == "encoder" else 1):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    began = time.monotonic()
    assert ended(process, signal.SIGINT) == KEPT[where]
    assert time.monotonic() - began < 50  # without the watch from beside, where that has 60 s
    left = {p.name for p in tmp_path.iterdir()} - {"here"}
    assert left == ({"clip.avi"} if where == "decoder" else {"clip.avi", "out.mkv.parts"})
    if where == "encoder":
        assert not list((tmp_path / "out.mkv.parts").glob("*.part"))
        again = start(*RUN, double=SHORT_SEGMENTS)
        out, err = again.communicate(timeout=_PATIENCE)
        assert (again.returncode, err) == (0, "")
        assert "kept from before" in out
        assert {p.name for p in tmp_path.iterdir()} == {"clip.avi", "here", "out.mkv"}


LATE = {
    # While files get their names: it waits for the last one.
    "naming": """
import restore.run.commit as commit, os, signal
first = commit._give_names
def late(*given, **named):
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
    first(*given, **named)
commit._give_names = late
""",
    "closing": """
import restore.progress, os, signal
def late(*given):
    os.kill(os.getpid(), signal.SIGTERM)
    raise ValueError("not reached")
restore.progress.closing_table = late
""",
}


@pytest.mark.parametrize("where", LATE)
def test_a_late_signal_finds_the_work_done(where: str, start: Start, tmp_path: Path) -> None:
    process = start(*RUN, "--json", "r.json", double=LATE[where])
    assert ended(process, signal.SIGTERM) == "out.mkv is complete"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.avi", "out.mkv", "r.json"]
    assert '"outcome": "done"' in (tmp_path / "r.json").read_text()


def test_a_batch_stops_with_the_table_so_far(start: Start, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "clip2.avi").write_bytes(clip.read_bytes())
    words = ("batch", "clip*.avi", "lanczos_x2", "--out", "made", "--json", "b.json")
    hang = HANGS["decoder"].replace("number == 1", 'pathlib.Path("made/clip.mkv").exists()')
    process = start(*words, double=hang)
    until((tmp_path / "here").exists, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 130
    expected = (
        "interrupted; stopped after 1 of 2 files; the same command goes on where it stopped\n"
    )
    assert err == expected
    assert "restored" in out
    assert '"state": "done"' in (tmp_path / "b.json").read_text()


# Standard output and error ------------------------------------------------------------------------


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = line.replace("restore", f"{sys.executable} -m restore", 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("restore {run} | true", 0, ""),
        ("restore {run} > /dev/full", 2, "standard output cannot be written: No space left on"),
        ("restore {run} 0<&- >&- 2>&-", 0, ""),
        ("restore stages | head -1", 0, ""),
        ("restore run nothing clip.avi out.mkv 2> /dev/full", 2, ""),
    ],
)
def test_a_lost_reader_does_not_stop_the_work(
    line: str, code: int, said: str, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "clip.avi").write_bytes(clip.read_bytes())
    done = shell(line.format(run=" ".join(RUN)), tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == (1 if said else 0)
    if "{run}" in line:
        info = subprocess.run(
            [FFMPEG, "-i", tmp_path / "out.mkv"], capture_output=True, check=False
        )
        assert b"Duration: 00:00:01.00" in info.stderr
        assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.avi", "out.mkv"]
