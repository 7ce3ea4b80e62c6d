"""The contract every stage keeps, and how a stage is found by its name."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from restore import stages
from restore.nets.backends import BackEnds
from restore.options import Options
from restore.video import FrameBatch, Planes, VideoFormat


class Window(NamedTuple):
    """Neighbours a stage must see to make one frame."""

    past: int = 0
    future: int = 0


class Stage(Options, ABC):
    """One step of a pipeline: `past + n + future` frames in, `n` frames' planes out.
    Its fields are its settings; making one is cheap and touches no device."""

    @property
    def needs(self) -> frozenset[str]:
        """What the index must measure for it: names of SceneFacts fields, or of `restore.measures`."""
        return frozenset()

    @property
    def curve_reach(self) -> int:
        """Frames of its scene on each side of one that it looks at in SceneFacts.curves."""
        return 0

    @property
    def reads_quantisers(self) -> bool:
        """Whether it looks at FrameBatch.quant; where no stage does, the decoder is not asked for it."""
        return False

    @property
    def repairs(self) -> bool:
        """Whether it takes damage out of the picture, so that for stages behind it its result is the source
        (FrameBatch.original). Such a stage keeps the format, and stands before any that changes the size."""
        return False

    @property
    def window(self) -> Window:
        return Window()

    @property
    def run_in(self) -> int:
        """Frames before the first wanted one that a stage with memory must pass through (0: no memory).
        Its state starts at zero at the run-in of every segment, so every engine gives the same picture."""
        return 0

    def output_format(self, source: VideoFormat) -> VideoFormat:
        """The format this stage makes from `source`; ValueError if it cannot take it."""
        return source

    def assets(self) -> tuple[Path, ...]:
        """Files, such as weights, whose content decides the picture. Raises ModelError."""
        return ()

    def load(self, source: VideoFormat, backends: BackEnds) -> None:
        """Put weights where `backends` runs them. Called once, in the process that will run `process`. Raises
        ModelError and DeviceError."""

    def reset(self) -> None:
        """Forget everything: the next clip starts a new scene."""

    @abstractmethod
    def process(self, clip: FrameBatch) -> Planes:
        """Planes for the middle `len(clip) - past - future` frames of `clip`, in the
        output format. Must not depend on how a scene was cut into clips, must work on any
        size, on grey or Y, Cb, Cr, on any device, and must not write to its input.
        At the ends of a scene the window is filled with repeats of the edge frame (same index)."""


def stage_names() -> list[str]:
    """Every kind a pipeline file may name: the modules of restore.stages."""
    return sorted(m.name for m in pkgutil.iter_modules(stages.__path__))


def find_stage(kind: str) -> type[Stage]:
    """The class STAGE in restore/stages/<kind>.py; KeyError if there is no such file."""
    if kind not in stage_names():
        raise KeyError(kind)
    found: type[Stage] = import_module(f"restore.stages.{kind}").STAGE
    return found
