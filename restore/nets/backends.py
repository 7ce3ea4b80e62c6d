"""Which back end runs a network: asked for, kept from the run that is resumed, remembered, or measured.

BackEnds(device, threads)                        the first of the list, the same on every machine of a kind
BackEnds(device, threads, memo=default_memo())   the fastest: a trial of a second at most, once per network and size
BackEnds(device, threads, asked="torch-fp32")    this one
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch

from restore.errors import DeviceError
from restore.nets.candidates import BackEnd, candidates, processor
from restore.nets.engine import Engine, Network
from restore.nets.ladder import Ladder, Note
from restore.nets.memo import recall, remember
from restore.nets.tensorrt_plan import load
from restore.nets.trial import TOGETHER, fastest, fastest_together, trial, trial_size

AUTO = "auto"


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
        sizes = {(height, width), trial_size(network, self.device, (height, width))}
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
        name = fastest(times) or "torch-fp32"
        entry = {"name": name, "subject": subject, "milliseconds": times, "untried": found.untried}
        remember(self._memo, key, entry)
        why = "fastest, measured now"
        if not times:
            why = "none gives its picture when tried"
        elif found.untried:
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
