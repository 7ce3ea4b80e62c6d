"""One hostile input through the media layer, in a process of its own with bounds on time and memory.

Forked from a parent that has imported everything, so a trial costs little more than its decoding.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

from restore.errors import RestoreError
from restore.io.decode import decode
from restore.io.probe import InputOptions, probe
from restore.io.samples import tally
from restore.io.sound import SoundCount, sound_of
from restore.io.streams import plan_streams
from restore.pipeline import read_pipeline
from restore.run.job import Job, Listener, prepare
from restore.run.local import run

CPU_SECONDS = 60
WALL_SECONDS = 240
MEMORY = 1 << 30
"""Bytes of address space a trial may take beyond its parent's."""
FRAMES = 8
"""Decoded of each input (the time repair reads 17 further)."""
SOUND_FRAMES = 64


@dataclass(frozen=True)
class Task:
    """What is asked of an input, beside its opening."""

    target: str
    """Container its streams are planned for: 'mkv'."""
    pipeline: Path | None = None
    """Of a whole run into such a container; None: no run."""
    start: float | None = None
    """Seconds, of a part."""
    end: float | None = None


@dataclass
class Finding:
    """What became of one input."""

    outcome: str = "crash"
    """ok; refused (a RestoreError before there was anything to lose); lost (one after the render); exception
    (any other); crash (a signal); hang; memory."""
    step: str = "start"
    """The last one begun."""
    frames: int = 0
    """Decoded, at most FRAMES."""
    text: str = ""
    """The error, or the end of the traceback."""
    seconds: float = 0.0
    """Processor time."""
    mib: float = 0.0
    """Peak memory beyond what the process began with."""


def try_input(path: Path, task: Task) -> Finding:
    """Open and decode `path`, plan its streams; with a pipeline file, the whole chain into a file beside it,
    verified."""
    faults = path.with_suffix(".fault")
    reading, writing = os.pipe()
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(path, task, writing, faults)
    os.close(writing)
    said, hung = _listen(reading, pid)
    _, status, usage = os.wait4(pid, 0)
    finding = Finding(**json.loads(said)) if said else Finding()
    code = os.waitstatus_to_exitcode(status)
    if hung or code == -signal.SIGXCPU:
        finding.outcome = "hang"
        finding.text = f"after {time.monotonic() - started:.0f} s: {_tail(faults, 60)}"
    elif code != 0 and finding.outcome != "memory":
        finding.outcome = "crash"
        finding.text = f"signal {-code}: " + _tail(faults)
    faults.unlink(missing_ok=True)
    finding.seconds = round(usage.ru_utime + usage.ru_stime, 3)
    finding.mib = round(max(0.0, usage.ru_maxrss / 1024 - finding.mib), 1)
    return finding


def _listen(reading: int, pid: int) -> tuple[str, bool]:
    """(the last whole line the child said, whether it had to be killed)."""
    said, deadline, hung = b"", time.monotonic() + WALL_SECONDS, False
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            os.kill(pid, signal.SIGABRT)  # which writes down where each thread is
            time.sleep(1)
            os.kill(pid, signal.SIGKILL)
            hung = True
            break
        part = os.read(reading, 1 << 16)
        if not part:
            break
        said += part
    os.close(reading)
    lines = said.decode("utf-8", "replace").split("\n")
    return (lines[-2] if len(lines) > 1 else ""), hung


def _child(path: Path, task: Task, writing: int, faults: Path) -> None:
    """Never returns."""
    finding = Finding(mib=_resident())
    fault_file = faults.open("w")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    faulthandler.enable(fault_file)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def say() -> None:
        os.write(writing, (json.dumps(asdict(finding)) + "\n").encode())

    def step(name: str) -> None:
        finding.step = name
        say()

    try:
        _exercise(path, task, finding, step)
        finding.outcome = "ok"
    except RestoreError as error:
        finding.outcome = "lost" if _rendered(path) else "refused"
        finding.text = str(error).replace(str(path), "FILE")[:300]
    except MemoryError:
        finding.outcome, finding.text = "memory", _where()
    except BaseException:
        finding.outcome, finding.text = "exception", _where()
    say()
    os._exit(0)


def _exercise(path: Path, task: Task, finding: Finding, step: Callable[[str], None]) -> None:
    step("probe")
    source = probe(path, InputOptions())
    step("decode")
    batches = decode(source, batch=4, quantisers=True)
    while finding.frames < FRAMES and (batch := next(batches, None)) is not None:
        finding.frames += len(batch)
    del batches
    step("sound")
    for stream in source.audio:
        for _ in islice(sound_of(source, stream.index, SoundCount()), SOUND_FRAMES):
            pass
    step("streams")
    plan_streams(source, task.target, "copy", task.start is not None)
    step("check")
    tally(source)
    if task.pipeline is not None:
        step("run")
        output = path.with_name(f"output.{task.target}")
        times = [None if t is None else Fraction(str(t)) for t in (task.start, task.end)]
        spec = read_pipeline(task.pipeline)
        run(prepare(Job(spec, (path,), output, "cpu", *times, threads=1)), Listener())
        if not output.is_file():
            raise AssertionError("run succeeded without an output")


def _rendered(path: Path) -> bool:
    """Whether there was more than a refusal: a segment was finished."""
    return any(path.parent.glob("output.*.parts/segment-*"))


def _where() -> str:
    kind, error, trace = sys.exc_info()
    frames = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(trace)[-4:]]
    return f"{kind.__name__ if kind else ''}: {str(error)[:200]} at {' > '.join(frames)}"


def _tail(faults: Path, count: int = 8) -> str:
    lines = faults.read_text(errors="replace").splitlines() if faults.exists() else []
    return " | ".join(line.strip() for line in lines[:count])[: 50 * count]


def _resident() -> float:
    """MiB in memory now; what a child shares with its parent and never touches is not counted."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def settle() -> None:
    """Before the first fork: what exists now is shared and stays where it is."""
    gc.collect()
    gc.freeze()
