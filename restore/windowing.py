"""Feed a stage the context it declares, and never across a scene cut. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby

import torch

from restore.errors import StageError
from restore.stage import Stage, Window
from restore.video import FrameBatch, VideoFormat

Meter = Callable[[str], AbstractContextManager[None]]
"""meter(where) brackets the work of one stage; the caller owns the clock."""


def run_stage(
    stage: Stage,
    batches: Iterable[FrameBatch],
    output: VideoFormat,
    where: str = "",
    meter: Meter = lambda _: nullcontext(),
) -> Iterator[FrameBatch]:
    """Same frames in the same order, with `stage` applied; holds at most one window, and without one nothing: while
    `batches` makes the next batch, no reference keeps the last and what came of it in memory.
    Raises StageError when the planes returned do not fit `output`."""
    for clip in _clips(stage, batches):
        yield _processed(stage, clip, output, where, meter)
        del clip


def _processed(
    stage: Stage, clip: FrameBatch, output: VideoFormat, where: str, meter: Meter
) -> FrameBatch:
    past, future = stage.window
    with torch.inference_mode(), meter(where):
        try:
            planes = stage.process(clip)
        except Exception as error:
            error.add_note(f"in {where}")
            raise
    try:
        made = clip[past : len(clip) - future].with_planes(planes, output)
    except ValueError as error:
        raise StageError(f"{where}: broke its contract: {error}") from error
    return made.repaired() if stage.repairs else made


def _clips(stage: Stage, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
    """What `stage` looks at, which is told where a scene begins."""
    parts = split_at_cuts(batches)
    if stage.window != Window():
        for _, scene in groupby(parts, key=lambda b: b.frames[0].scene):
            stage.reset()
            yield from clips_with_context(scene, *stage.window)
        return
    last: int | None = None
    for part in parts:
        if part.frames[0].scene != last:
            last = part.frames[0].scene
            stage.reset()
        yield part
        del part


def split_at_cuts(batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
    """The same frames, re-cut so that no batch holds two scenes."""
    for batch in batches:
        start = 0
        for end in range(1, len(batch) + 1):
            if end == len(batch) or batch.frames[end].scene != batch.frames[start].scene:
                yield batch[start:end]
                start = end
        del batch


def clips_with_context(scene: Iterable[FrameBatch], past: int, future: int) -> Iterator[FrameBatch]:
    """Overlapping clips that cover one scene; its first and last frames are repeated
    where the window reaches outside it."""
    held: FrameBatch | None = None
    for batch in scene:
        held = FrameBatch.cat([*[batch[:1]] * past, batch] if held is None else [held, batch])
        if len(held) > past + future:
            yield held
            held = held[len(held) - past - future :]
    if held is not None and len(held) > past:
        yield FrameBatch.cat([held, *[held[-1:]] * future])
