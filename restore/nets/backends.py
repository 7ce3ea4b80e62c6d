"""Which back end runs a network: asked for, kept from the run that is resumed, remembered, or measured.

BackEnds(device, threads)                        the first of the list, the same on every machine of a kind
BackEnds(device, threads, memo=default_memo())   the fastest: a trial of a second at most, once per network and size
BackEnds(device, threads, asked="torch-fp32")    this one
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from restore.errors import DeviceError
from restore.nets.engine import Engine, GraphEngine, Network, Precision, TorchEngine, native_bf16
from restore.nets.int8 import WORST_LOSS, loss
from restore.nets.ladder import Ladder, Note
from restore.nets.memo import recall, remember
from restore.nets.openvino_engine import OpenVinoEngine, capabilities
from restore.nets.plain import PlainSR
from restore.nets.recurrent import RecurrentSR
from restore.nets.tensorrt_engine import TensorRtEngine
from restore.nets.tensorrt_plan import Size, is_kept, load
from restore.nets.winograd_engine import WinogradEngine, can_run

AUTO = "auto"

LIMIT_CODES: dict[Precision, float] = {
    "fp32": 0.01,
    "fp16": 0.1,
    "bf16": 0.25,
    "int16": 0.5,
    "int8": 0.5,
}
"""Root mean square of the difference from float32 on the trial picture, in 8-bit codes, that a back end may have:
about what the precision costs. One that has more is broken here, and not used. Whole numbers are looked at more closely:
what they cost depends on the network (nets.int8.loss)."""

WORTH = 1.15
"""A back end must be this many times as fast as one before it on the list: what is measured on a busy machine swings,
and a choice that swings changes bytes."""

TRIAL_SECONDS = 1.0
TOGETHER = (1, 2, 4, 8, 16)
"""Frames that a network may be given at a time on a GPU."""
TRIAL_WORK = {"cpu": 2e9, "cuda": 4e11}
"""Multiplications per frame of a trial: 10 to 40 ms of two cores, a few of a GPU."""


@dataclass(frozen=True)
class BackEnd:
    """One way to run a network."""

    name: str
    precision: Precision
    build: Callable[[Network, torch.device, int, Size], Engine]
    """Of the device, threads of the CPU, and frames of about this size. RuntimeError: cannot run here."""
    slow_start: bool = False
    """Takes longer to begin than a choice may take: used when it is asked for, or where `kept`."""
    kept: Callable[[Network, torch.device, Size], bool] = lambda *_: False
    """Whether what makes a slow start slow is at hand from an earlier run, for frames of this size."""
    ready: bool = False
    """Has nothing to import or compile: tried before the others, whose start may take what time there is."""


@dataclass(frozen=True)
class Choice:
    """The back end of one network in one run."""

    name: str
    why: str
    """In a few words."""
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """Per frame of the trial, where there was one."""
    together: int | None = None
    """Frames that the network is given at a time; None: as they come."""

    def __str__(self) -> str:
        """'openvino-fp32, fastest when measured: openvino-fp32 12.1 ms, torch-fp32 40.3 ms'."""
        times = ", ".join(f"{name} {taken:.1f} ms" for name, taken in self.milliseconds.items())
        many = "" if self.together is None else f"; {self.together} frames at a time"
        return f"{self.name}, {self.why}{': ' if times else ''}{times}{many}"


def _torch(precision: Precision, compiled: bool = False) -> BackEnd:
    name = f"torch-compile-{precision}" if compiled else f"torch-{precision}"

    def build(network: Network, device: torch.device, threads: int, _: Size) -> Engine:
        return TorchEngine(network, device, threads, precision, compiled=compiled)

    return BackEnd(name, precision, build, compiled)


def _openvino(precision: Precision, memo: Path | None) -> BackEnd:
    return BackEnd(
        f"openvino-{precision}",
        precision,
        lambda network, _, threads, __: OpenVinoEngine(network, threads, precision, memo),
    )


def _winograd(memo: Path | None) -> BackEnd:
    return BackEnd(
        "winograd-int16",
        "int16",
        lambda network, _, threads, __: WinogradEngine(network, threads, memo),
        ready=True,
    )


def _graph(precision: Precision) -> BackEnd:
    return BackEnd(
        f"cuda-graph-{precision}",
        precision,
        lambda network, device, threads, _: GraphEngine(network, device, threads, precision),
    )


def _tensorrt(precision: Precision, memo: Path | None) -> BackEnd:
    folder = None if memo is None else plans_dir(memo)
    return BackEnd(
        f"tensorrt-{precision}",
        precision,
        lambda network, device, threads, size: TensorRtEngine(
            network, device, threads, precision, size, folder
        ),
        True,
        lambda network, device, size: is_kept(network, device, precision, size, folder),
    )


def plans_dir(memo: Path) -> Path:
    """Where plans of TensorRT are kept."""
    return memo.with_name("plans")


def candidates(network: Network, device: torch.device, memo: Path | None = None) -> list[BackEnd]:
    """What can run `network` on `device` here, the usual best first; whole numbers are never the first, for they cost a
    little of the result, nor is what begins slowly. `memo`: where ranges of activations are kept, and plans beside it."""
    plain = isinstance(network.net, PlainSR | RecurrentSR)
    if device.type == "cuda":
        halves: tuple[Precision, ...] = ("fp16", "bf16") if network.residual else ("fp16",)
        planned = plain and find_spec("tensorrt") is not None
        return [
            *(_graph(p) for p in halves),
            *(_torch(p) for p in halves),
            _torch("fp32"),
            *(_tensorrt(p, memo) for p in halves if planned),
            *(_torch(p, compiled=True) for p in halves),
        ]
    found, whole = [], network.residual and isinstance(network.net, PlainSR)
    able = _openvino_types(memo) if plain else frozenset()
    if "BF16" in able and network.residual:
        found.append(_openvino("bf16", memo))
    if able:
        found.append(_openvino("fp32", memo))
    if whole and can_run(network):
        found.append(_winograd(memo))
    if whole and "INT8" in able:
        found.append(_openvino("int8", memo))
    precision: Precision = "bf16" if native_bf16() and network.residual else "fp32"
    if precision == "bf16":
        found.append(_torch("bf16"))
    return [*found, _torch("fp32"), _torch(precision, compiled=True)]


def _openvino_types(memo: Path | None) -> frozenset[str]:
    """What OpenVINO can do on this CPU; nothing where it is not installed. Remembered, so that a run by something else need
    not import it."""
    if find_spec("openvino") is None:
        return frozenset()
    key = f"openvino {metadata.version('openvino')} can do, {processor()}"
    known = None if memo is None else recall(memo).get(key)
    if isinstance(known, list) and all(isinstance(name, str) for name in known):
        return frozenset(known)
    found = capabilities()
    if memo is not None:
        remember(memo, key, sorted(found))
    return found


class BackEnds:
    """Makes the engines of one run on one device, and says which it took."""

    def __init__(
        self,
        device: torch.device,
        threads: int,
        *,
        asked: str = AUTO,
        kept: Mapping[str, str] | None = None,
        kept_together: Mapping[str, int] | None = None,
        memo: Path | None = None,
        note: Note = lambda _: None,
    ) -> None:
        """`threads`: of the CPU, for networks. `asked`: the name of one, or 'auto'. `kept`: names by subject, of the run
        that is resumed, and how many frames each was given at a time. `memo`: where measurements are kept; None: measure nothing. `note` hears of what did not
        fit or came out wrong while networks ran (see nets.ladder)."""
        self.device, self.threads = device, threads
        self._asked, self._kept, self._memo, self._note = asked, dict(kept or {}), memo, note
        self._kept_together = dict(kept_together or {})
        self.choices: dict[str, Choice] = {}
        """By subject: the network and the size of its input, such as 'film_x2_fast 352x288'."""

    def engine(self, network: Network, height: int, width: int) -> Engine:
        """For inputs of about this size; any other works. DeviceError if what was asked for is not here."""
        subject = f"{network.name} {width}x{height}"
        able = {b.name: b for b in candidates(network, self.device, self._memo)}
        choice = self._choose(subject, network, height, width, able)
        args = network, self.device, self.threads, (height, width)
        try:
            engine = able[choice.name].build(*args)
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            if subject in self._kept or self._asked != AUTO:
                raise DeviceError(
                    f"--backend {choice.name}: cannot run {subject} on {self.device}: {why}; try --backend auto "
                    "in a new run, or see 'restore doctor'"
                ) from error
            usual = next(iter(able))
            self._note(f"{subject}: {choice.name} does not start ({why}); {usual} runs it instead")
            choice = Choice(usual, f"{choice.name} does not start")
            engine = able[usual].build(*args)
        together = self._together(subject, choice.name, engine, network, height, width)
        self.choices[subject] = replace(choice, together=together)
        return Ladder(network, engine, self.device, self.threads, self._note, together)

    def _together(
        self, subject: str, name: str, engine: Engine, network: Network, height: int, width: int
    ) -> int | None:
        """On a GPU, where something is to be measured at all: kept, remembered or measured now. A CPU runs frame by frame."""
        if subject in self._kept_together:
            return self._kept_together[subject]
        if self.device.type != "cuda" or self._memo is None or network.sequential or self._kept:
            return None
        key = f"{self._key(network, height, width, [])}, {name}, frames at a time"
        known = recall(self._memo).get(key)
        if isinstance(known, int) and known in TOGETHER:
            return known
        found = fastest_together(engine, network, self.device, (height, width))
        remember(self._memo, key, found)
        return found

    def _choose(
        self, subject: str, network: Network, height: int, width: int, able: Mapping[str, BackEnd]
    ) -> Choice:
        if subject in self._kept:
            return self._named(self._kept[subject], subject, "as the run began", able)
        if self._asked != AUTO:
            return self._named(self._asked, subject, "asked for", able)
        sizes = {(height, width), _trial_size(network, self.device, (height, width))}
        quick = [
            b
            for b in able.values()
            if not b.slow_start or all(b.kept(network, self.device, size) for size in sizes)
        ]
        if self._memo is None:
            return Choice(quick[0].name, "first of the list")
        key = self._key(network, height, width, quick)
        known = recall(self._memo).get(key)
        before: dict[str, float] = {}
        left = quick
        if isinstance(known, dict) and known.get("name") in able:
            before, untried = known.get("milliseconds", {}), known.get("untried", [])
            left = [b for b in quick if b.name in untried]
            if not left:
                return Choice(known["name"], "fastest when measured", before)
        found = trial(left, network, self.device, self.threads, (height, width))
        measured = {**before, **found.milliseconds}
        times = {b.name: measured[b.name] for b in quick if b.name in measured}
        # float32 by PyTorch is what the others are compared with: it needs no trial to be right.
        times = times or {"torch-fp32": 0.0}
        name = fastest(times)
        entry = {"name": name, "subject": subject, "milliseconds": times, "untried": found.untried}
        remember(self._memo, key, entry)
        why = "fastest, measured now"
        if found.untried:
            why = f"fastest so far ({', '.join(found.untried)} to be measured in a later run)"
        return Choice(name, why, times)

    def _named(self, name: str, subject: str, why: str, able: Mapping[str, BackEnd]) -> Choice:
        if name in able:
            return Choice(name, why)
        raise DeviceError(
            f"--backend {name}: cannot run {subject} on {self.device}, {why}; expected one of "
            f"{', '.join(able)}; see 'restore doctor'"
        )

    def _key(self, network: Network, height: int, width: int, able: list[BackEnd]) -> str:
        """All that the measurement depends on."""
        cuda = self.device.type == "cuda"
        versions = [f"torch {torch.__version__}"]
        if find_spec("openvino") is not None:
            versions.append(f"openvino {metadata.version('openvino')}")
        if any(b.name.startswith("tensorrt") for b in able):
            versions.append(f"tensorrt {load().__version__}")
        return ", ".join(
            [
                network.sha256[:16],
                f"{width}x{height}",
                torch.cuda.get_device_name(self.device) if cuda else processor(),
                f"{self.threads} threads",
                *versions,
                *(b.name for b in able),
            ]
        )


def processor() -> str:
    """The CPU's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def fastest(times: Mapping[str, float]) -> str:
    """The name of the quickest, where it is so by WORTH; the order of `times` is the order of preference."""
    best = ""
    for name, taken in times.items():
        if not best or taken * WORTH < times[best]:
            best = name
    return best


class Trial(NamedTuple):
    """What was measured."""

    milliseconds: dict[str, float]
    """Per frame, of those that give the picture of float32, in the order of the list."""
    untried: list[str]
    """Those for which there was no time."""


def fastest_together(
    engine: Engine,
    network: Network,
    device: torch.device,
    size: Size,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Of TOGETHER, the fewest frames at a time that take within a twentieth of the shortest time each. One count after the other,
    until TRIAL_SECONDS are over or memory ends."""
    began = clock()
    picture = torch.zeros(1, network.planes, *size, device=device)
    times: dict[int, float] = {}
    with torch.inference_mode():
        for count in TOGETHER:
            given = picture.expand(count, -1, -1, -1)
            try:
                taken = min(_seconds(engine, given, clock) for _ in range(3))
            except RuntimeError:
                break  # no room for so many
            times[count] = taken / count
            if clock() - began > TRIAL_SECONDS:
                break
    best = min(times.values(), default=0.0)
    return next((count for count, taken in times.items() if taken <= 1.05 * best), 1)


def _seconds(engine: Engine, given: Tensor, clock: Callable[[], float]) -> float:
    """One call, waited for."""
    started = clock()
    engine(given)
    if given.device.type == "cuda":
        torch.cuda.synchronize(given.device)
    return clock() - started


def trial(
    able: list[BackEnd],
    network: Network,
    device: torch.device,
    threads: int,
    size: Size,
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Of each back end on a picture of `size` or smaller (TRIAL_WORK). One always counts; once TRIAL_SECONDS are over, no
    other is begun. A CPU runs one frame per thread at a time."""
    began = clock()
    picture = trial_picture(network, device, size)
    together = threads if device.type == "cpu" else 4
    picture = picture.expand(1 if network.sequential else together, -1, -1, -1)
    times: dict[str, float] = {}
    untried = sorted(able, key=lambda b: not b.ready)
    with torch.inference_mode():
        wanted = TorchEngine(network, device, threads)(picture)
        while untried and not (times and clock() - began > TRIAL_SECONDS):
            back_end = untried.pop(0)
            found = _timed(back_end, network, device, threads, picture, wanted, clock)
            if found is not None:
                times[back_end.name] = round(found, 3)
    ordered = {b.name: times[b.name] for b in able if b.name in times}
    return Trial(ordered, [b.name for b in untried])


def _timed(
    back_end: BackEnd,
    network: Network,
    device: torch.device,
    threads: int,
    picture: Tensor,
    wanted: Tensor,
    clock: Callable[[], float],
) -> float | None:
    """Milliseconds per frame, the best of three; None if it cannot run here or gives another picture."""
    try:
        size = (picture.shape[-2], picture.shape[-1])
        engine = back_end.build(network, device, threads, size)
        error = (engine(picture) - wanted).square().mean().sqrt() * 255
        if not float(error) <= LIMIT_CODES[back_end.precision]:
            return None
        if back_end.precision in ("int16", "int8") and loss(network, engine) > WORST_LOSS:
            return None
        best = min(_seconds(engine, picture, clock) for _ in range(3))
    except RuntimeError:
        return None  # a driver without this type, or no room: the others are tried
    return 1000 * best / len(picture)


def trial_picture(network: Network, device: torch.device, size: Size) -> Tensor:
    """(1, planes, h, w): soft shapes and a little noise, the same every time."""
    height, width = _trial_size(network, device, size)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(
        1, network.planes, -(-height // 8) + 1, -(-width // 8) + 1, generator=generator
    )
    soft = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    noise = 0.02 * torch.randn(1, network.planes, height, width, generator=generator)
    return (0.8 * soft + 0.1 + noise).to(device)


def _trial_size(network: Network, device: torch.device, size: Size) -> Size:
    """`size`, or less where that would be more than TRIAL_WORK."""
    height, width = size
    share = (TRIAL_WORK[device.type] / max(1, network.weights) / (height * width)) ** 0.5
    return size if share >= 1 else (max(32, round(height * share)), max(32, round(width * share)))
