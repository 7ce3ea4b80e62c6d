"""Which back end runs a network: asked for, kept from the run that is resumed, or the fastest by a table of measurements.

BackEnds(device, threads)                        by the table (nets.table), of those that give the right picture here (nets.trial)
BackEnds(device, threads, asked="torch-fp32")    this one

Nothing that a clock measures during a run takes part, nor the threads, nor what else the machine does: the same version on the same class
of machine chooses the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from restore.errors import DeviceError
from restore.faults import out_of_memory
from restore.machine import cpu_level
from restore.nets import table
from restore.nets.candidates import BackEnd, candidates
from restore.nets.engine import Engine, Network
from restore.nets.ladder import Ladder, Note
from restore.nets.tensorrt_plan import Size
from restore.nets.trial import trial

AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """The back end of one network in one run."""

    name: str
    why: str
    """In a few words."""
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """Per frame by the table, where it was asked."""
    together: int | None = None
    """Frames that the network is given at a time; None: as they come."""
    plan: str = ""
    """Hash of what was itself made by trial (TensorRT)."""

    def __str__(self) -> str:
        """'openvino-fp32, fastest by the table (plain 32x8 at 352x288 on avx2): openvino-fp32 12.1 ms, torch-fp32 40.3 ms'."""
        times = ", ".join(f"{name} {taken:.1f} ms" for name, taken in self.milliseconds.items())
        many = "" if self.together is None else f"; {self.together} frames at a time"
        return f"{self.name}, {self.why}{': ' if times else ''}{times}{many}"


class BackEnds:
    """Makes the engines of one run on one device, and says which it took."""

    def __init__(
        self,
        device: torch.device,
        threads: int,
        *,
        asked: str = AUTO,
        kept: Mapping[str, str] | None = None,
        kept_plans: Mapping[str, str] | None = None,
        plans: Path | None = None,
        tile: int = 0,
        note: Note = lambda _: None,
    ) -> None:
        """`threads`: of the CPU, for networks; they change no picture. `asked`: the name of one, or 'auto'. `kept`: names by subject, of
        the run that is resumed, and `kept_plans` the hashes of their plans. `plans`: where TensorRT's are kept; None: nowhere. `tile`: side of the tiles in which networks are run, in input samples;
        0: whole frames. `note` hears of what came out wrong while networks ran (see nets.ladder)."""
        self.device, self.threads, self.tile = device, threads, tile
        self._asked, self._kept, self._plans, self._note = asked, dict(kept or {}), plans, note
        self._kept_plans = dict(kept_plans or {})
        self.choices: dict[str, Choice] = {}
        """By subject: the network and the size of its input, such as 'film_x2_fast 352x288'."""

    def engine(self, network: Network, height: int, width: int) -> Engine:
        """For inputs of about this size; any other works. DeviceError if what was asked for is not here, and where there is not even
        memory to begin."""
        subject = f"{network.name} {width}x{height}"
        able = candidates(network, self.device, self._plans)
        together = frames_together(network, self.device, height, width)
        try:
            choice, engine = self._chosen(subject, network, (height, width), able)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise DeviceError(
                f"{subject}: not enough memory to begin; close other programs, and run the same command again"
            ) from error
        plan = getattr(engine, "plan", "")
        if self._kept_plans.get(subject, plan) != plan:
            raise DeviceError(
                f"{subject}: {choice.name} has another plan than the run began with, and would change the picture in the "
                "middle; start afresh, without what is kept of that run"
            )
        self.choices[subject] = replace(choice, together=together, plan=plan)
        tile = self.tile or None
        return Ladder(network, engine, self.device, self.threads, self._note, together, tile)

    def _chosen(
        self, subject: str, network: Network, size: Size, able: Sequence[BackEnd]
    ) -> tuple[Choice, Engine]:
        if subject in self._kept:
            choice = Choice(self._kept[subject], "as the run began")
            return choice, self._named(choice, subject, network, size, able)
        if self._asked != AUTO:
            choice = Choice(self._asked, "asked for")
            return choice, self._named(choice, subject, network, size, able)
        quick = {b.name: b for b in able if not b.slow_start}
        rows, whose = table.read_rows(machine_of(self.device))
        row = table.nearest(rows, network.weights, *size)
        times = {} if row is None else {n: t for n, t in row.milliseconds.items() if n in quick}
        why = f"fastest by {whose} ({row})" if times else "first of the list"
        refused = ""
        for name in table.order(list(quick), times):
            engine, fault = trial(quick[name], network, self.device, self.threads, size)
            if engine is not None:
                return Choice(name, f"{why}{refused}", times), engine
            refused += f"; {name} {fault}"
        # float32 by PyTorch is what the others are compared with: it needs no trial to be right.
        last = {b.name: b for b in able}.get("torch-fp32", able[0])
        engine = last.build(network, self.device, self.threads, size)
        return Choice(last.name, f"none gives its picture{refused}"), engine

    def _named(
        self, choice: Choice, subject: str, network: Network, size: Size, able: Sequence[BackEnd]
    ) -> Engine:
        name, known = choice.name, {b.name: b for b in able}
        if name not in known:
            raise DeviceError(
                f"--backend {name}: cannot run {subject} on {self.device}, {choice.why}; expected one of "
                f"{', '.join(known)}; see 'restore doctor'"
            )
        try:
            return known[name].build(network, self.device, self.threads, size)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            said = str(error).splitlines()[0]
            raise DeviceError(
                f"--backend {name}: cannot run {subject} on {self.device}: {said}; try --backend auto "
                "in a new run, or see 'restore doctor'"
            ) from error


def machine_of(device: torch.device) -> str:
    """The class of machine that rows of the table are about: the CPU's, or the name of the card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(cpu_level())


_SHARE = 0.25
"""Of a card's memory that the activations of a network may take."""
_SETS = 3
"""Of its widest layer's activations, of 4 bytes each, that there are at a time, and what libraries need on the way."""
_MOST = 16


def frames_together(network: Network, device: torch.device, height: int, width: int) -> int | None:
    """Frames that a network is given at a time. On a card other numbers may give other last bits, so it depends on nothing but the card, the
    network and the size. None, as they come, on a CPU, where engines take them one by one."""
    if device.type != "cuda":
        return None
    if network.sequential:
        return 1
    room = _SHARE * torch.cuda.get_device_properties(device).total_memory
    each = 4 * _SETS * network.widest * height * width
    return max(1, min(_MOST, int(room // each)))
