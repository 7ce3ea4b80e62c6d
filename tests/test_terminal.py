"""What reaches a terminal: names and titles are shown as they are, never obeyed."""

import io
import os
import shutil
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from rich.progress import Progress as Bar
from rich.table import Table

from restore.cli import main
from restore.cli.console import Terminal, cells
from restore.progress import Display, Pace
from restore.run.job import Progress

EVIL = "\x1b[31mvil\x1b]0;owned\x07[red]b\\[red]x\r\u202e"
GBK = os.fsdecode("电影".encode("gbk"))


def terminal(width: int = 200) -> tuple[Terminal, io.StringIO]:
    """One that believes in a screen, and what it wrote there."""
    console, written = Terminal(), io.StringIO()
    console.file, console.width, console._force_terminal = written, width, True
    return console, written


def test_text_is_only_text() -> None:
    console, written = terminal()
    console.print(EVIL)
    table = Table(EVIL, title=EVIL)
    table.add_row(*cells(f"{EVIL}\nforged", GBK))
    console.print(table)
    with console.status(EVIL) as status:
        status.update(EVIL)
        assert str(status.renderable.text) == EVIL.replace("\x07", "").replace("\r", "")
    text = written.getvalue()
    assert "\x1b[31m" not in text
    assert "\x1b]0" not in text
    # Rich drops bells and carriage returns itself.
    assert text.count("\\x1b[31mvil\\x1b]0;owned[red]b\\[red]x") == 3
    assert "│ 电影" in text
    assert not any("│ forged" in line for line in text.splitlines())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its title, its language and an attachment's name would take over a terminal."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w", metadata_errors="surrogateescape") as file:
        file.metadata["title"] = EVIL
        stream = file.add_stream("mpeg4", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata.update({"title": EVIL, "language": "\x1b[2J"})
        file.add_attachment(EVIL, "text/plain", b"hello")
        for _ in range(5):
            file.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", [f"{EVIL}.mkv", f"{GBK}.mkv"], ids=["controls", "gbk"])
def test_any_name_works_everywhere(
    name: str,
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "in" / name
    source.parent.mkdir()
    try:
        shutil.copy(film, source)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    commands: list[tuple[int, list[str]]] = [
        (0, ["check", "lanczos_x2", f"in/{name}"]),
        (
            0,
            [
                *("run", "lanczos_x2", f"in/{name}", name, "-v"),
                *("--json", f"{name}.json", "--report", f"{name}.html"),
                *("--compare", f"c{name}"),
            ],
        ),
        (0, ["run", "lanczos_x2", f"in/{name}", f"a{name}", "--set", "output.use=archive"]),
        (0, ["inspect", f"in/{name}", "--json", f"i{name}.json", "--suggest", f"{name}.toml"]),
        (0, ["compare", f"in/{name}", name, f"cc{name}"]),
        (0, ["report", f"in/{name}", name, f"r{name}.html", "--record", f"{name}.json"]),
        (0, ["preview", "lanczos_x2", f"in/{name}", "--count", "1"]),
        (0, ["batch", "in", "lanczos_x2", "--out", "out", "--json", "batch.json"]),
        (2, ["run", "lanczos_x2", f"in/{name}", name]),
        (2, ["run", "lanczos_x2", f"no/{name}", f"x{name}"]),
        (2, ["run", name, f"in/{name}", f"x{name}"]),
        (2, ["run", "lanczos_x2", f"in/{name}", f"x{name}", f"--{name}"]),
        (2, ["run", "lanczos_x2", f"in/{name}", f"x{name}", "--set", name]),
    ]
    for code, arguments in commands:
        monkeypatch.setattr(sys, "argv", ["restore", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capfd.readouterr()
        text = shown.out + shown.err
        assert int(ended.value.code or 0) == code, (arguments, text)
        assert "\x1b" not in text, arguments
        assert "\r" not in text, arguments
        assert "\x07" not in text, arguments
        assert "\u202e" not in text, arguments
        assert "internal error" not in text, arguments
    assert not [p.name for p in tmp_path.iterdir() if ".part" in p.name]


def progress(frames: int, seconds: int, total: int = 100) -> Progress:
    costs = {"stage 1 (deblock)": 1.0, "stage 2 (upscale)": 8.0, "stage 3 (preserve_color)": 1.0}
    return Progress(frames, frames, Fraction(seconds), Fraction(total), costs)


@pytest.mark.parametrize("width", [60, 80, 110, 200])
def test_what_matters_fits_any_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    console, written = terminal(width)
    now = [0.0]
    monkeypatch.setattr("restore.progress.time.monotonic", lambda: now[0])
    with Display(console, verbose=False) as display:
        for step in range(1, 6):
            now[0] = 20.0 + 2 * step
            display.progress(progress(25_000 + 50 * step, 40 + step))
        assert isinstance(display._bar, Bar)
        display._bar.refresh()
    last = [line for line in written.getvalue().splitlines() if "restoring" in line][-1]
    assert " 45%" in last
    assert "left" in last
    assert "25250 frames" in last
    assert "…" not in last


def test_the_rate_is_that_of_late() -> None:
    pace = Pace()
    assert pace.rate is None
    pace.add(30.0, 2)  # half a minute until the first frames: it does not come again
    assert pace.rate is None
    pace.add(31.0, 22)
    assert pace.rate == pytest.approx(20)
    assert not pace.settled
    pace.add(34.0, 82)
    assert pace.rate == pytest.approx(20)
    assert pace.settled
    for second in range(200):
        pace.add(34.0 + second, 82 + 5 * second)
    assert pace.rate == pytest.approx(5, rel=0.02)
