"""`restore inspect` as a user runs it, on generated clips and on real ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

from restore.cli import main
from restore.inspect.document import VERSION, document
from restore.inspect.inspection import inspect_source

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["restore", "inspect", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture(scope="module")
def grey_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FFV1 with MP2, 96x64 of a grey picture within a pillarbox of 8, 25 frames a second, each fourth one a repeat."""
    path = tmp_path_factory.mktemp("inspect") / "grey.mkv"
    picture = (
        ffmpeg.input("testsrc2=size=80x64:rate=25:duration=1.2", f="lavfi")
        .filter("hue", s=0)
        .filter("select", "mod(n,4)")
        .filter("fps", 25)
        .filter("pad", 96, 64, 8, 0)
    )
    sound = ffmpeg.input("sine=frequency=440:duration=1", f="lavfi")
    options = {"vcodec": "ffv1", "acodec": "mp2"}
    ffmpeg.output(picture, sound, str(path), **options).run(cmd=FFMPEG, quiet=True)
    return path


def test_it_says_what_is_there(grey_clip: Path, call: Call) -> None:
    code, said, wrong = call(grey_clip, "--json", "found.json")
    assert code == 0, wrong
    assert "ffv1" in said
    found = json.loads(Path("found.json").read_text("utf-8"))
    assert (found["format"], found["version"]) == ("restore inspection", VERSION)
    assert [s["codec"] for s in found["streams"]] == ["ffv1", "mp2"]
    assert found["colour"]["kind"] == "mono"
    assert found["border"] == {"left": 8, "top": 0, "right": 8, "bottom": 0}
    assert found["scan"]["kind"] == "progressive"
    assert found["spacing"]["kind"] == "constant"
    assert found["spacing"]["rate"] == pytest.approx(25, abs=0.01)
    assert found["length"]["frames"] == found["repeats"]["of"] == 29
    assert found["repeats"]["frames"] >= 5
    assert not found["damage"]["damaged_seconds"]


def test_every_line_has_a_meaning(grey_clip: Path) -> None:
    found = document(inspect_source([grey_clip]))
    assert all(line["topic"] and line["found"] and line["meaning"] for line in found["summary"])


def test_a_file_that_exists_is_not_replaced(grey_clip: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text("mine")
    code, _, wrong = call(grey_clip, "--json", "found.json")
    assert (code, (tmp_path / "found.json").read_text()) == (2, "mine")
    assert "exists already" in wrong


def test_a_file_without_a_picture_is_one_clear_error(call: Call, tmp_path: Path) -> None:
    (tmp_path / "text.rm").write_text("This is not a video.\n" * 100)
    code, _, wrong = call("text.rm")
    assert code == 2
    assert wrong.count("error:") == 1
    assert "text.rm" in wrong
