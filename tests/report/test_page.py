"""The page, in a browser: what moves, what is heard of errors, and whether it fits."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import pytest

from restore.errors import InputError, OutputError
from restore.pipeline import read_pipeline
from restore.report.report import Report, _as_recorded, read_record, report
from restore.run import local
from restore.run.job import Job, Listener, prepare
from tests.browser import Browser, find_chromium

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A film whose frames count themselves by brightness, the third of which comes late; its restoration, and the record of it."""
    folder = tmp_path_factory.mktemp("page")
    clip = folder / "<i>clip & co.mkv"
    steps = (
        ffmpeg.input("color=black:size=96x64:rate=50:duration=0.6", f="lavfi")
        .filter("geq", lum="40+6*N", cb="128", cr="128")
        .filter("setpts", "(2*N+gte(N,2))/50/TB")
    )
    steps.output(str(clip), vcodec="ffv1", pix_fmt="yuv420p", fps_mode="vfr").run(
        cmd=FFMPEG, quiet=True
    )
    (folder / "p.toml").write_text('[[stage]]\nkind = "upscale"\nmodel = "film_x2_fast"\n')
    spec = read_pipeline(folder / "p.toml", ["output.preset=ultrafast"])
    output, record = folder / "out.mkv", folder / "record.json"
    local.run(prepare(Job(spec, (clip,), output, threads=1, report=record)), Listener())
    return Report((clip,), output, folder / "page.html", stills=3, film=Fraction(1),
                  record=read_record(record), overwrite=True)  # fmt: skip


@pytest.fixture(scope="module")
def html(job: Report) -> Path:
    report(job, lambda _: None)
    return job.output


@pytest.fixture(scope="module")
def browser(html: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium here (apt-get install chromium); the page is tested in it")
    with Browser(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def loaded(browser: Browser, html: Path) -> Browser:
    browser.console.clear()
    browser.requests.clear()
    browser.open(html, 1280)
    browser.wait("document.getElementById('stacked').readyState >= 2")
    return browser


def border(browser: Browser, view: str) -> float:
    found = browser.run(f"document.getElementById('{view}').style.getPropertyValue('--at')")
    return float(str(found).rstrip("%"))


def test_it_needs_nothing_but_itself(loaded: Browser, html: Path) -> None:
    outside = [u for u in loaded.requests if not u.startswith(("file:", "data:", "blob:"))]
    assert outside == []
    assert [u for u in loaded.requests if u.startswith("file:")] == [html.as_uri()[:200]]
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", html.read_text("utf-8"))
    assert loaded.console == []


@pytest.mark.parametrize("view", ["stills", "film-view"])
def test_the_border_follows_pointer_keys_and_touch(view: str, loaded: Browser) -> None:
    loaded.run(f"document.getElementById('{view}').scrollIntoView()")
    box = loaded.run(
        f"(b => [b.x, b.y, b.width, b.height])(document.getElementById('{view}').getBoundingClientRect())"
    )
    x, y = box[0] + 0.25 * box[2], box[1] + 0.3 * box[3]
    assert border(loaded, view) == 50
    loaded.mouse("mousePressed", x, y, True)
    assert border(loaded, view) == pytest.approx(25, abs=0.6)
    loaded.mouse("mouseMoved", box[0] + 0.75 * box[2], y, True)
    loaded.mouse("mouseReleased", box[0] + 0.75 * box[2], y, False)
    assert border(loaded, view) == pytest.approx(75, abs=0.6)
    loaded.run(f"document.getElementById(document.getElementById('{view}').dataset.slide).focus()")
    loaded.key("ArrowLeft", 37)
    assert border(loaded, view) == pytest.approx(74.5, abs=0.6)
    loaded.key("Home", 36)
    assert border(loaded, view) == 0
    loaded.touch("touchStart", [(x, y)])
    loaded.touch("touchMove", [(x + 0.25 * box[2], y)])
    loaded.touch("touchEnd", [])
    assert border(loaded, view) == pytest.approx(50, abs=2)
    assert loaded.console == []


def test_a_button_shows_another_moment(loaded: Browser) -> None:
    shown = "document.querySelector('#stills img.before').src"
    first = loaded.run(shown)
    loaded.run("document.querySelectorAll('[data-still]')[1].click()")
    assert loaded.run(shown) != first
    assert loaded.run("document.querySelectorAll('[aria-pressed=true]').length") == 1
    assert loaded.run("document.querySelectorAll('#stills img').length") == 2


def levels(browser: Browser) -> list[int]:
    """Brightness in the middle of the canvases, before and after."""
    found = browser.run(
        "['film-before', 'film-after'].map(id => { const c = document.getElementById(id);"
        "const t = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});"
        "t.drawImage(c, c.width >> 1, c.height >> 1, 1, 1, 0, 0, 1, 1);"
        "return t.getImageData(0, 0, 1, 1).data[0] })"
    )
    return [int(v) for v in found]


def drawn(browser: Browser) -> list[int]:
    """The same, once the first frame is there."""
    end = time.monotonic() + 20
    while (found := levels(browser))[0] == 0:
        assert time.monotonic() < end, "the first frame is never drawn"
    return found


def test_the_films_play_in_step(loaded: Browser) -> None:
    """Each frame is 6 codes brighter than the one before it: a difference of one frame would show."""
    seen = set()
    loaded.run("document.getElementById('speed').value = '0.25'")
    loaded.run("document.getElementById('speed').dispatchEvent(new Event('change'))")
    loaded.run("document.getElementById('play').click()")
    assert not loaded.run("document.getElementById('stacked').paused")
    loaded.wait("document.getElementById('stacked').currentTime > 0.1")
    for _ in range(12):
        before, after = levels(loaded)
        assert abs(before - after) <= 3
        seen.add(before)
        loaded.run("new Promise(done => setTimeout(done, 120))")
    assert len(seen) > 3
    loaded.run("document.getElementById('play').click()")
    assert loaded.run("document.getElementById('stacked').paused")
    assert loaded.console == []


def test_one_frame_at_a_time(loaded: Browser) -> None:
    first = drawn(loaded)[0]

    def wait(frame: int, seconds: float) -> None:
        """Each frame is 6 codes brighter, 219 of which are 255 on the screen; drawn a moment after the film got there."""
        wanted = pytest.approx(first + 6 * frame * 255 / 219, abs=3)
        end = time.monotonic() + 20
        while (seen := levels(loaded)) != [wanted, wanted] and time.monotonic() < end:
            time.sleep(0.05)
        assert seen == [wanted, wanted], frame
        assert loaded.run("document.getElementById('time').textContent") == f"{seconds:.2f} s"

    for frame, seconds in enumerate((0.04, 0.1, 0.14), 1):
        loaded.run("document.getElementById('forth').click()")
        wait(frame, seconds)
    for frame, seconds in ((2, 0.1), (1, 0.04), (0, 0), (0, 0)):
        loaded.run("document.getElementById('back').click()")
        wait(frame, seconds)


@pytest.mark.parametrize("width", [375, 1280])
def test_it_fits_the_screen(width: int, browser: Browser, html: Path) -> None:
    browser.open(html, width)
    browser.wait("document.getElementById('stacked').readyState >= 2")
    assert browser.run("document.documentElement.scrollWidth") <= width
    small = browser.run(
        "[...document.querySelectorAll('button, input[type=range]')].filter(e => e.offsetParent && "
        "e.getBoundingClientRect().height < 44).length"
    )
    assert small == 0


def test_everything_has_a_name_without_a_mouse(loaded: Browser) -> None:
    unnamed = (
        "[...document.querySelectorAll('img:not([alt]), button, input, canvas, svg')].filter(e => "
        "e.tagName === 'IMG' || !(e.textContent.trim() || e.getAttribute('aria-label'))).length"
    )
    assert loaded.run(unnamed) == 0
    assert loaded.run("document.querySelectorAll('h1').length") == 1


def test_the_run_is_told(html: Path, job: Report) -> None:
    text = html.read_text("utf-8")
    assert job.record is not None
    assert job.record["pipeline"]["fingerprint"] in text
    assert job.record["input"]["files"][0]["sha256"] in text
    assert job.record["weights"][0]["sha256"] in text
    assert "film_x2_fast.safetensors" in text
    assert "&lt;i&gt;clip &amp; co.mkv" in text
    assert "<i>clip" not in text


def test_repairs_stand_on_the_timeline(job: Report, tmp_path: Path) -> None:
    repaired = {
        "index": 5,
        "pts_ms": 200.0,
        "action": "interpolated",
        "share": 0.5,
        "decoded": True,
    }
    record = {**(job.record or {}), "repaired_frames": [repaired]}
    other = replace(job, output=tmp_path / "p.html", record=record, film=Fraction(0))
    report(other, lambda _: None)
    text = other.output.read_text("utf-8")
    assert "0:00.2: interpolated" in text
    assert 'id="stacked"' not in text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"output": Path("page.txt")}, "ends in .html"),
        ({"output": Path("no/page.html")}, "folder that exists"),
        ({"overwrite": False}, "--overwrite"),
        ({"start": Fraction(50)}, "--offset"),
        ({"clean": Path("none")}, "--clean none"),
    ],
)
def test_mistakes_are_said(
    job: Report, html: Path, change: dict[str, object], expected: str
) -> None:
    before = html.read_bytes()
    with pytest.raises((InputError, OutputError), match=expected):
        report(replace(job, **change), lambda _: None)  # type: ignore[arg-type]
    assert html.read_bytes() == before


def test_a_record_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="restore run --json"):
        read_record(tmp_path / "r.json")


@pytest.mark.parametrize("text", ["[" * 200_000, "9" * 6_000, "[]", "3", "\udcff", None])
def test_what_is_no_record_is_one_error(tmp_path: Path, text: str | None) -> None:
    record = tmp_path / "r.json"
    if text is None:
        os.mkfifo(record)  # would be waited for
    else:
        record.write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(InputError, match=r"--record .*r\.json: "):
        read_record(record)


@pytest.mark.parametrize(
    "change",
    [
        {"versions": []},
        {"timing": None, "pipeline": {}},
        {"input": {"files": ["a"]}},
        {"weights": 3},
        {"output": "a"},
        {"repaired_frames": [{"pts_ms": "1", "decoded": True, "action": ""}]},
        {"repaired_frames": 1},
    ],
)
def test_a_record_is_checked_before_the_work(
    tmp_path: Path, job: Report, change: dict[str, object]
) -> None:
    (tmp_path / "whole.json").write_text(json.dumps(job.record))
    (tmp_path / "link.json").symlink_to(tmp_path / "whole.json")
    assert read_record(tmp_path / "link.json") == job.record
    (tmp_path / "r.json").write_text(json.dumps({**(job.record or {}), **change}))
    with pytest.raises(InputError, match="restore run --json"):
        read_record(tmp_path / "r.json")


def test_the_record_says_where_a_part_lies(job: Report) -> None:
    record = {
        "asked": {"start": "20", "end": None},
        "pipeline": {"settings": {"input": {"crop": "8:0:8:0"}}},
    }
    known = _as_recorded(replace(job, record=record))
    assert known.offset == 20
    assert known.input.crop == "8:0:8:0"
    assert _as_recorded(replace(known, offset=Fraction(1))).offset == 1
    whole = {**record, "asked": {"start": None, "end": None}}
    assert _as_recorded(replace(job, record=whole)).offset is None
    starts = [
        {**record, "asked": {"start": s, "end": None}} for s in ("x", "1/0", "1e9999999999", 2e9)
    ]
    for broken in ({}, {"asked": 3}, *starts):
        with pytest.raises(InputError, match="--record: expected what 'restore run --json' wrote"):
            _as_recorded(replace(job, record=broken))
