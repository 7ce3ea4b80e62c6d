"""What a stage repaired stays repaired: nothing behind it takes the damage back out of the source."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import restore.pipeline
from restore.color import ColorInfo, Matrix, Primaries, Transfer
from restore.errors import PipelineFileError
from restore.evaluate.subjects import Input, restored
from restore.pipeline import PipelineSpec, read_pipeline
from restore.planes import to_nominal
from restore.reference import REPAIRS, stages_markdown
from restore.stage import Stage, find_stage
from restore.video import FrameBatch, FrameInfo, Planes, VideoFormat

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from motion_scenes import Scene

Film = NDArray[np.float32]
"""(T, H, W) luma, 8-bit codes."""
FMT = VideoFormat(
    64,
    48,
    None,
    8,
    Fraction(1, 25),
    ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, False),
)
PERFECT = '[[stage]]\nkind = "perfect"\n'
COLOR = '[[stage]]\nkind = "preserve_color"\n'
ALIGN = '[[stage]]\nkind = "align"\n'
MULTI = '[[stage]]\nkind = "upscale"\nmodel = "film_x2_multi"\n'
CHAINS = {
    "color": PERFECT + COLOR,
    "align": PERFECT + ALIGN + COLOR,
    "bw_film_x2": PERFECT + ALIGN + MULTI + COLOR,
    "behind another": ALIGN + PERFECT + ALIGN + COLOR,
}


class Perfect(Stage):
    """Knows the truth."""

    truth: ClassVar[Film]

    @property
    def repairs(self) -> bool:
        return True

    def process(self, clip: FrameBatch) -> Planes:
        frames = torch.from_numpy(self.truth[[f.index for f in clip.frames]])[:, None]
        return (to_nominal(frames, 8, False, False),)


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """chain(text): the pipeline, in which 'perfect' is a stage."""
    monkeypatch.setattr(
        restore.pipeline, "find_stage", lambda k: Perfect if k == "perfect" else find_stage(k)
    )
    names = restore.pipeline.stage_names()
    monkeypatch.setattr(restore.pipeline, "stage_names", lambda: [*names, "perfect"])

    def read(text: str) -> PipelineSpec:
        (tmp_path / "p.toml").write_text(text)
        return read_pipeline(tmp_path / "p.toml")

    return read


def pan(count: int = 5) -> Film:
    scene = Scene("", pan=(1.0, 0.5), height=48, width=64, seed=2)
    return np.clip(np.rint(np.stack([scene.frame(t) for t in range(count)])), 30, 215).astype(
        np.float32
    )


def flickering(film: Film) -> Film:
    gains = 1 + 0.06 * np.array([1, -1, 0.5, 1.2, -0.8, 0, 1][: len(film)], np.float32)
    return np.clip(np.rint((film - 16) * gains[:, None, None] + 16), 0, 255).astype(np.float32)


def dirty(film: Film) -> tuple[Film, NDArray[np.bool_]]:
    """One blob in each frame, elsewhere each time; and where."""
    mask = np.zeros(film.shape, np.bool_)
    for t in range(len(film)):
        y, x = 8 + 11 * t % 28, 10 + 17 * t % 40
        mask[t, y : y + 6, x : x + 6] = True
    return np.where(mask, np.float32(235), film), mask


def made(low: Film, spec: PipelineSpec) -> Film:
    planes = torch.from_numpy(low.astype(np.uint8))[:, None]
    infos = tuple(FrameInfo(i, i, 1) for i in range(len(low)))
    whole = FrameBatch((planes,), infos, FMT)
    given = Input(FMT, lambda _: (whole[i : i + 3] for i in range(0, len(infos), 3)))
    done = restored(given, spec, torch.device("cpu"), 1)
    return np.asarray(done[:, 0].numpy(), np.float32)


def flicker(film: Film) -> float:
    return float(np.diff(film.astype(np.float64).mean((1, 2))).std())


@pytest.mark.parametrize("name", CHAINS)
def test_flicker_does_not_come_back(name: str, chain) -> None:  # type: ignore[no-untyped-def]
    clean = Perfect.truth = pan()
    spoilt = flickering(clean)
    assert flicker(spoilt) > 4
    spec = chain(CHAINS[name])
    extra = made(spoilt, spec).astype(np.float64) - made(clean, spec)
    assert np.diff(extra.mean((1, 2))).std() < 0.05


@pytest.mark.parametrize("name", CHAINS)
def test_dirt_does_not_come_back(name: str, chain) -> None:  # type: ignore[no-untyped-def]
    clean = Perfect.truth = pan()
    spoilt, mask = dirty(clean)
    spec = chain(CHAINS[name])
    found, wanted = made(spoilt, spec), made(clean, spec)
    times = found.shape[1] // mask.shape[1]
    inside = mask.repeat(times, 1).repeat(times, 2)
    # The motion is that of the film as it came, so a neighbour may be moved a little otherwise.
    assert abs(float((found - wanted)[inside].mean())) < 0.05
    assert float(np.abs(found - wanted)[inside].mean()) < 0.5


def test_what_comes_between_the_source_and_a_repair_is_taken_over() -> None:
    fmt = FMT
    first, second = torch.zeros(1, 1, 48, 64), torch.ones(1, 1, 48, 64)
    batch = FrameBatch((first,), (FrameInfo(0, 0, 1),), fmt).with_planes((second,), fmt)
    assert batch.original()[0][0] is first
    assert batch.repaired().original()[0][0] is second
    assert batch.repaired().with_planes((first,), fmt).original()[0][0] is second


def test_a_repair_stands_before_what_changes_the_size(chain) -> None:  # type: ignore[no-untyped-def]
    spec = chain(MULTI + PERFECT)
    with pytest.raises(PipelineFileError, match=r"\[\[stage\]\] 2 \(perfect\): .*expected before"):
        spec.formats(FMT)


def test_the_reference_names_the_repairs(monkeypatch: pytest.MonkeyPatch) -> None:
    before = stages_markdown().count(REPAIRS)
    monkeypatch.setattr(find_stage("align"), "repairs", True)
    assert stages_markdown().count(REPAIRS) == before + 1
