"""Stop runs at every kind of system call of their end and at random moments, fill disks, and give the same command again:
it must end, with the bytes of a run that nothing stopped, and leave nothing else.

python benchmarks/reliability.py --results FILE [--count 200] [--full 30] [--seed 0]

Needs Linux and strace; small disks are mounts of tmpfs, which need root. Cases that FILE holds already are not run again:
stopped, it goes on where it was. Segments are made of a few frames, so that short clips have several. Processes are forked
from one that has the libraries loaded: a stop while Python starts is what benchmarks/signals.py is for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg

FORMS = {
    "plain": [],
    "json": ["--json", "record.json"],
    "compare": ["--compare", "side.mp4"],
    "report": ["--report", "page.html"],
    "archive": ["--set", "output.use=archive", "--set", "output.codec=ffv1"],
    "all": ["--json", "record.json", "--compare", "side.mp4", "--report", "page.html"],
    "network": ["--json", "record.json"],
    "batch": ["--json", "../batch.json"],
}
CALLS = ("rename", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "fsync", "openat", "write")
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGSTOP)
SECONDS = 120
"""That one process may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200, help="interruptions")
    parser.add_argument("--full", type=int, default=30, help="full disks")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    done = read(options.results)
    # No TemporaryDirectory: the processes that are forked would take it away when they end.
    folder = Path(tempfile.mkdtemp(prefix="reliability-"))
    try:
        bench = Bench(folder)
        with options.results.open("a", encoding="utf-8") as out:
            for number in range(options.count + options.full):
                full = number >= options.count
                key = f"{'full' if full else 'stop'} {options.seed} {number - full * options.count}"
                if key in done:
                    continue
                found = bench.full(key) if full else bench.stop(key)
                done[key] = {"key": key, **found}
                print(json.dumps(done[key]), file=out, flush=True)
                print(key, *(f"{k}={v}" for k, v in found.items() if v), flush=True)
    finally:
        shutil.rmtree(folder)
    table(list(done.values()))
    raise SystemExit(any(row["wrong"] for row in done.values()))


def read(results: Path) -> dict[str, dict[str, Any]]:
    rows = results.read_text("utf-8").splitlines() if results.exists() else []
    return {row["key"]: row for row in map(json.loads, rows)}


def table(rows: list[dict[str, Any]]) -> None:
    for kind in ("stop", "full"):
        mine = [row for row in rows if row["key"].startswith(kind)]
        wrong = Counter(word for row in mine for word in row["wrong"])
        print(f"{kind}: {len(mine)} cases, wrong: {dict(wrong) or 'none'}")
        print(f"  forms {dict(Counter(row['form'] for row in mine))}")
        print(f"  how {dict(Counter(row['how'] for row in mine))}")
        print(f"  then {dict(Counter(row['then'] for row in mine))}")


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs = folder / "in"
        self.inputs.mkdir()
        for n, seconds in enumerate((1.6, 1.2)):
            picture = ffmpeg.input(f"testsrc2=size=64x48:rate=25:duration={seconds}", f="lavfi")
            sound = ffmpeg.input(f"sine=frequency={440 + n}:duration={seconds}", f="lavfi")
            options = {"vcodec": "mpeg4", "acodec": "mp2", "qscale:v": 4}
            clip = ffmpeg.output(picture, sound, str(self.inputs / f"{n}.avi"), **options)
            clip.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), quiet=True)
        load()
        self.wanted: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, Counter[str]] = {}
        self.bytes: dict[str, int] = {}
        for form in FORMS:
            out = self.fresh(f"whole-{form}")
            started = time.monotonic()
            code, said = self.run(form, out)
            if code:
                raise SystemExit(f"{form}: {said}")
            self.seconds[form] = time.monotonic() - started
            self.wanted[form] = contents(out)
            self.bytes[form] = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
            self.calls[form] = self.count(form)

    def fresh(self, name: str) -> Path:
        """An empty folder for what is made."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def command(self, form: str, out: Path) -> list[str]:
        if form == "batch":
            files = ["batch", str(self.inputs), "lanczos_x2", "--out", str(out / "made")]
        else:
            pipeline = "bw_film_x2_fast" if form == "network" else "lanczos_x2"
            files = ["run", pipeline, str(self.inputs / "0.avi"), "film.mkv"]
        sets = ["--set", "output.preset=ultrafast"] if form != "archive" else []
        return [*files, "--threads", "1", *sets, *FORMS[form]]

    def start(self, form: str, out: Path, log: Path) -> int:
        """A process that runs the command in `out`; it waits for SIGCONT before it begins."""
        child = os.fork()
        if child:
            os.waitpid(child, os.WUNTRACED)
            return child
        try:
            os.setsid()
            work = out / "made" if form == "batch" else out
            work.mkdir(exist_ok=True)
            os.chdir(work)
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.argv = ["restore", *self.command(form, out)]
            os.kill(os.getpid(), signal.SIGSTOP)
            from restore.__main__ import main as restore

            restore()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(99)
        os._exit(98)

    def run(self, form: str, out: Path) -> tuple[int, str]:
        """(exit code, what it said) of the command, with nothing in its way."""
        log = self.folder / "log.txt"
        child = self.start(form, out, log)
        os.kill(child, signal.SIGCONT)
        return wait(child), log.read_text("utf-8", "replace")

    def traced(self, form: str, out: Path, *what: str) -> tuple[int, str, str]:
        """(exit code, what it said, strace's log) of the command under strace."""
        log, trace = self.folder / "log.txt", self.folder / "trace.txt"
        child = self.start(form, out, log)
        command = ["strace", "-f", "-o", str(trace), *what, "-p", str(child)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr is not None
        tracer.stderr.readline()  # it says that it is attached
        os.kill(child, signal.SIGCONT)
        code = wait(child)
        tracer.communicate()
        return code, log.read_text("utf-8", "replace"), trace.read_text("utf-8", "replace")

    def count(self, form: str) -> Counter[str]:
        """Calls that the command's first thread makes."""
        out = self.fresh("count")
        code, said, trace = self.traced(form, out, "-e", f"trace={','.join(CALLS)}")
        if code:
            raise SystemExit(f"{form} under strace: {said}")
        first = trace.split(maxsplit=1)[0]
        found = re.findall(rf"^{first}\s+(\w+)\(", trace, re.M)
        return Counter(found)

    def stop(self, key: str) -> dict[str, Any]:
        """One interruption, and what became of the same command."""
        moments = random.Random(key)
        for _ in range(20):
            form = moments.choice(list(FORMS))
            out = self.fresh("stop")
            if moments.random() < 0.6:
                call = moments.choice([c for c in CALLS if self.calls[form][c]])
                # Files are opened and lines are written all the way; the end is what is asked here.
                most = self.calls[form][call]
                least = max(1, most - 60) if call in ("openat", "write") else 1
                nth = moments.randint(least, most)
                how = f"KILL at {call}"
                inject = f"inject={call}:signal=KILL:when={nth}"
                code, said, _ = self.traced(form, out, "-e", f"trace={call}", "-e", inject)
            else:
                sent = moments.choice(SIGNALS)
                how = sent.name
                code, said = self.signalled(form, out, sent, moments.uniform(0, self.seconds[form]))
            if code == 0 and how != "SIGSTOP":
                continue  # it was through before
            row = {"form": form, "how": how, "code": code}
            return {**row, **self.judged(form, out, said, stopped=code != 0)}
        raise SystemExit(f"{key}: no run could be stopped")

    def signalled(
        self, form: str, out: Path, sent: signal.Signals, after: float
    ) -> tuple[int, str]:
        log = self.folder / "log.txt"
        child = self.start(form, out, log)
        os.kill(child, signal.SIGCONT)
        time.sleep(after)
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return 0, ""
        os.kill(child, sent)
        if sent == signal.SIGSTOP:
            time.sleep(0.2)
            os.kill(child, signal.SIGCONT)
        return wait(child), log.read_text("utf-8", "replace")

    def judged(self, form: str, out: Path, said: str, *, stopped: bool) -> dict[str, Any]:
        """Give the command again where it is not through, and look at what there is then."""
        wrong = ["traceback"] if "Traceback" in said or "internal error" in said else []
        then = "through"
        if stopped and self.faults(form, out):
            code, said = self.run(form, out)
            then = "finished" if "finished by an earlier call" in said else "went on"
            if code:
                wrong.append("refused")
            if "Traceback" in said or "internal error" in said:
                wrong.append("traceback")
        wrong += self.faults(form, out)
        return {"then": then, "wrong": wrong, "said": said[-600:] if wrong else ""}

    def faults(self, form: str, out: Path) -> list[str]:
        found, wanted = contents(out), self.wanted[form]
        wrong = []
        if wanted.keys() - found.keys():
            wrong.append("missing")
        if found.keys() - wanted.keys():
            wrong.append("left over")
        if any(found[name] != wanted[name] for name in wanted.keys() & found.keys()):
            wrong.append("other bytes")
        return wrong

    def full(self, key: str) -> dict[str, Any]:
        """One disk that is full, then has room."""
        moments = random.Random(key)
        for _ in range(20):
            form = moments.choice(list(FORMS))
            disk = self.fresh("disk")
            size = moments.randint(8, 2 * self.bytes[form] // 1024 + 40)
            with mounted(disk, size):
                code, said = self.run(form, disk)
                if code == 0:
                    continue
                left = [p.name for p in disk.rglob("*.part")] + [
                    p.name for p in disk.rglob("*.tmp")
                ]
                row = {"form": form, "how": "tmpfs", "code": code, "kib": size}
                wrong = ["unfinished left"] if left else []
                if "No space left" not in said or "Traceback" in said or code != 2:
                    wrong.append("wording")
                subprocess.run(
                    ["mount", "-o", "remount,size=64m", str(disk)], check=True, capture_output=True
                )
                first = said
                rest = self.judged(form, disk, said, stopped=True)
                rest["wrong"] = [*wrong, *rest["wrong"]]
                rest["said"] = first[-600:] + rest["said"] if rest["wrong"] else ""
                return {**row, **rest}
        raise SystemExit(f"{key}: no disk was full")


@contextmanager
def mounted(disk: Path, kib: int) -> Iterator[None]:
    options = ["-t", "tmpfs", "-o", f"size={kib}k", "none", str(disk)]
    subprocess.run(["mount", *options], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def load() -> None:
    """Import what a run imports, and make its segments short."""
    import restore.__main__
    import restore.cli
    import restore.index
    import restore.progress
    import restore.report.report
    import restore.run.batch
    import restore.run.commit
    import restore.run.local
    import restore.run.onepass

    restore.run.onepass.SEGMENT_FRAMES = 12
    restore.index.SEGMENT_SECONDS = 1
    restore.index.SEGMENT_CAP_SECONDS = 1


def contents(out: Path) -> dict[str, str]:
    """By name, what must be equal in every run: of a record and a page, what no clock measured."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.is_dir():
            if name != "made":
                found[f"{name}/"] = ""
        elif path.suffix == ".json":
            found[name] = told(path)
        elif path.suffix == ".html":
            text = path.read_text("utf-8")
            found[name] = f"whole {text.rstrip().endswith('</html>')}, {len(text) // 20000}"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def told(path: Path) -> str:
    with suppress(ValueError, KeyError):
        record = json.loads(path.read_text("utf-8"))
        if isinstance(record, list):
            return str([entry["error"] for entry in record])
        return str([record["outcome"], record["frames"], (record["output"] or {}).get("sha256")])
    return "no JSON"


def wait(child: int) -> int:
    """Exit code of a process; it is killed where it takes too long."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 97


if __name__ == "__main__":
    main()
