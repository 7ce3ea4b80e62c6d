"""Send signals to the commands at random times, once or repeatedly: each must end with 130 and one line, without a traceback
and in time; the same command must then go on and give the bytes of one that was left alone, with nothing beside them (it is
not called where nothing was changed).

python benchmarks/signals.py [--signals 100] [--seed 0] [--only run,batch]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
from measure import ROOT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LATEST = 8.0
"""Seconds between a signal and the end, at most: the five that tidying may take, on a loaded machine."""


@dataclass(frozen=True)
class Form:
    """One way to call the program; its folder holds the input."""

    words: tuple[str, ...]
    made: tuple[str, ...]
    """Files whose bytes must repeat."""
    also: tuple[str, ...] = ()
    """Files that must be there: they hold times and speeds."""
    again: tuple[str, ...] = ()
    """Words for the second call, where what is finished would be refused."""


X2 = ("run", "lanczos_x2", "clip.avi", "out.mkv", "--set=output.preset=veryfast")
FORMS = {
    "run": Form(X2, ("out.mkv",)),
    "network": Form(("run", "bw_film_x2_fast", "clip.avi", "out.mkv"), ("out.mkv",)),
    "record": Form((*X2, "--json", "r.json"), ("out.mkv",), ("r.json",)),
    "run compare": Form((*X2, "--compare", "side.mp4"), ("out.mkv", "side.mp4")),
    "archive": Form((*X2, "--set=output.use=archive"), ("out.mkv", "out.mkv.framemd5")),
    "batch": Form(
        ("batch", "clip*.avi", "lanczos_x2", "--out", "made", "--json", "b.json"),
        ("made/clip.mkv", "made/clip2.mkv"),
        ("b.json",),
    ),
    "compare": Form(("compare", "clip.avi", "clip2.avi", "both.mp4"), ("both.mp4",)),
    "report": Form(("report", "clip.avi", "clip2.avi", "page.html"), (), ("page.html",)),
    "preview": Form(("preview", "lanczos_x2", "clip.avi", "--out", "p"), (), ("p/sheet.png",)),
    "inspect": Form(
        ("inspect", "clip.avi", "--json", "i.json", "--suggest", "s.toml"),
        ("s.toml",),
        ("i.json",),
    ),
    "sample": Form(("sample", "film.rm", "--seconds", "1"), ("film.rm",)),
    "degrade": Form(
        (
            *("degrade", "clip.avi", "old", "--frames", "10"),
            *("--recipe", str(ROOT / "recipes" / "film_x2_fast.toml")),
        ),
        (),
        ("old",),
        ("--overwrite",),
    ),
    "evaluate": Form(
        (
            *("evaluate", "lanczos_x2", "--set", "set", "--recipe", "bicubic", "--frames", "3"),
            *("--measure", "psnr", "--json", "e.json"),
        ),
        (),
        ("e.json",),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(FORMS))
    options = parser.parse_args()
    names = options.only.split(",")
    draw, faults, tally = random.Random(options.seed), [], Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        stock = Path(folder) / "stock"
        make_inputs(stock)
        wanted = {name: left_alone(name, stock, Path(folder) / "alone") for name in names}
        slowest = 0.0
        for number in range(options.signals):
            name = names[number % len(names)]
            place = Path(folder) / "work"
            fresh(stock, place)
            seconds, bytes_wanted = wanted[name]
            text, took = interrupt(name, place, seconds, draw, tally)
            slowest = max(slowest, took)
            text += finish(name, stock, place, bytes_wanted)
            faults += [f"{number} {name}: {line}" for line in text]
            print(f"{number + 1} {name}: {'; '.join(text) or 'right'}", flush=True)
    print(f"{options.signals} signals ({', '.join(f'{n} {k}' for k, n in sorted(tally.items()))})")
    print(f"slowest end {slowest:.1f} s after the signal; {len(faults)} faults")
    for line in faults:
        print(line)
    raise SystemExit(1 if faults else 0)


def make_inputs(stock: Path) -> None:
    binary = imageio_ffmpeg.get_ffmpeg_exe()
    (stock / "set").mkdir(parents=True)
    for name, size in (("clip.avi", "176x144"), ("clip2.avi", "160x128")):
        picture = ffmpeg.input(f"testsrc2=size={size}:rate=25:duration=3", f="lavfi")
        sound = ffmpeg.input("sine=frequency=440:duration=3", f="lavfi")
        made = ffmpeg.output(
            picture, sound, str(stock / name), vcodec="mpeg4", acodec="mp2", **{"qscale:v": 4}
        )
        made.run(cmd=binary, quiet=True)
    picture = ffmpeg.input("testsrc2=size=128x96:rate=25:duration=0.2", f="lavfi")
    ffmpeg.output(picture, str(stock / "set" / "a.mkv"), vcodec="ffv1").run(cmd=binary, quiet=True)


def fresh(stock: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(stock, place)


def start(words: tuple[str, ...], place: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "restore", *words],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def left_alone(name: str, stock: Path, place: Path) -> tuple[float, dict[str, str]]:
    """Seconds and hashes of a call that nothing disturbs."""
    fresh(stock, place)
    began = time.monotonic()
    process = start(FORMS[name].words, place)
    out, err = process.communicate()
    seconds = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{name}: {out}{err}")
    return seconds, hashes(name, place)


def hashes(name: str, place: Path) -> dict[str, str]:
    found = {}
    for file in FORMS[name].made:
        path = place / file
        found[file] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
    for file in FORMS[name].also:
        found[file] = "there" if (place / file).exists() else "missing"
    return found


def interrupt(
    name: str, place: Path, seconds: float, draw: random.Random, tally: Counter[str]
) -> tuple[list[str], float]:
    """What was wrong with the end of one call, and how long it took after the signal."""
    kind, times = draw.choice(SIGNALS), draw.choice((1, 1, 2, 5, 10))
    after, gap = draw.uniform(0.0, draw.choice((0.5, seconds))), draw.uniform(0.0, 0.1)
    while True:
        process = start(FORMS[name].words, place)
        while process.poll() is None and not hears_signals(process.pid):
            time.sleep(0.002)
        time.sleep(after)
        if process.poll() is None:
            break
        process.communicate()
        after *= 0.8  # it was through before; on a noisy machine that happens
        fresh(place.with_name("stock"), place)
    began = time.monotonic()
    for _ in range(times):
        process.send_signal(kind)
        time.sleep(gap if times > 1 else 0.0)
    try:
        out, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return [f"{kind.name} x{times} at {after:.2f} s: did not end"], 30.0
    took = time.monotonic() - began - times * gap * (times > 1)
    tally[kind.name] += 1
    tally["early" if after < 0.5 else "late" if after > 0.9 * seconds else "midway"] += 1
    lines = [line for line in err.splitlines() if not is_status(name, line)]
    wrong = []
    if process.returncode != 130:
        wrong.append(f"exit code {process.returncode}")
    if len(lines) != 1 or not lines[0].startswith(("interrupted; ", "stopped")):
        wrong.append(f"stderr {err!r}")
    if "Traceback" in out + err or "terminate called" in err:
        wrong.append("a traceback")
    if took > LATEST:
        wrong.append(f"took {took:.1f} s")
    where = f"{kind.name} x{times} at {after:.2f} of {seconds:.2f} s: "
    return [where + text for text in wrong], took


def hears_signals(pid: int) -> bool:
    """Whether the program's own handlers are there; before, Python itself starts."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGHUP - 1) & 1)
    return False


def is_status(name: str, line: str) -> bool:
    """A log of evaluate tells each step on stderr."""
    return name == "evaluate" and not line.startswith(("interrupted", "stopped", "error"))


def finish(name: str, stock: Path, place: Path, wanted: dict[str, str]) -> list[str]:
    """What was wrong with the same call after it."""
    form = FORMS[name]
    if contents(place) == contents(stock):
        return []  # as it was before: nothing can be different
    if hashes(name, place) == wanted and not list(place.rglob("*.parts")):
        return others(name, stock, place)  # the signal came after the work
    process = start(form.words + form.again, place)
    err = process.communicate()[1]
    wrong = []
    if process.returncode:
        wrong.append(f"again: exit code {process.returncode}: {err}")
    found = hashes(name, place)
    wrong += [f"{file}: {found[file][:8]}" for file in found if found[file] != wanted[file]]
    return wrong + others(name, stock, place)


def contents(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def others(name: str, stock: Path, place: Path) -> list[str]:
    """Files that nobody asked for."""
    known = {p.relative_to(stock) for p in stock.rglob("*")}
    form = FORMS[name]
    asked = {Path(file).parts[0] for file in (*form.made, *form.also)}
    left = [p.relative_to(place) for p in place.rglob("*")]
    bad = [p for p in left if p not in known and p.parts[0] not in asked]
    return [f"left over: {', '.join(map(str, bad))}"] if bad else []


if __name__ == "__main__":
    main()
