"""Stages get the frames they declare, and no batch stays in memory for longer than it is needed."""

import weakref
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from restore.stage import Stage
from restore.video import FrameBatch, Planes, VideoFormat
from restore.windowing import run_stage
from tests.conftest import Make


class Brighter(Stage):
    """Looks at one frame at a time; remembers which of the arrays it made are still there."""

    _made: list[weakref.ref[np.ndarray]]
    _resets: int = 0

    def model_post_init(self, _: object) -> None:
        self._made = []

    def reset(self) -> None:
        self._resets += 1

    def output_format(self, source: VideoFormat) -> VideoFormat:
        return source

    def process(self, clip: FrameBatch) -> Planes:
        return tuple(watched(plane + 0.1, self._made) for plane in clip.planes)


def watched(plane: torch.Tensor, seen: list[weakref.ref[np.ndarray]]) -> torch.Tensor:
    """A copy whose memory `seen` tells the end of, whatever views there are."""
    array = plane.numpy().copy()
    seen.append(weakref.ref(array))
    return torch.from_numpy(array)


@pytest.mark.parametrize("size", [1, 4])
def test_nothing_is_kept_while_the_next_batch_is_made(make_video: Make, size: int) -> None:
    video, given = make_video(), list[weakref.ref[np.ndarray]]()
    stages = [Brighter(), Brighter()]

    def batches() -> Iterator[FrameBatch]:
        for first in range(0, len(video), size):
            made = (*given, *stages[0]._made, *stages[1]._made)
            assert not [ref for ref in made if ref() is not None]
            part = video[first : first + size]
            yield replace(part, planes=tuple(watched(p, given) for p in part.planes))
            del part

    flow: Iterator[FrameBatch] = batches()
    for stage in stages:
        flow = run_stage(stage, flow, video.format)
    frames = []
    for done in flow:
        frames += done.frames
        del done
    assert tuple(frames) == video.frames


def test_a_stage_without_a_window_is_told_of_every_scene(make_video: Make) -> None:
    video, stage = make_video(), Brighter()
    batches = (video[i : i + 4] for i in range(0, 12, 4))
    done = FrameBatch.cat(list(run_stage(stage, batches, video.format)))
    assert stage._resets == 3
    assert all(torch.equal(a, b + 0.1) for a, b in zip(done.planes, video.planes, strict=True))
