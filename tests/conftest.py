"""Videos for tests: small, odd, cut, of variable rate, with everything a batch can carry."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from restore.machine import bind_libraries

bind_libraries()  # before PyTorch is loaded: $RESTORE_CPU lowers the tests too

import torch

from restore.color import ColorInfo, Matrix, Primaries, Siting, Transfer
from restore.measures import MEASURES
from restore.motion import MotionOptions, MotionService
from restore.video import (
    BlockGrid,
    Chroma,
    Curve,
    FrameBatch,
    FrameInfo,
    QuantMap,
    SceneFacts,
    VideoFormat,
)

# pytest's workers set it to their terminal's, and consoles take it for good when they are made.
os.environ.pop("COLUMNS", None)

VFR = [0, 40, 80, 133, 143, 190, 260, 300, 341, 400, 420, 500]
SCENES = [0] * 5 + [1] + [2] * 6
COLOR = ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, False, Siting.LEFT)

DATA = Path(os.environ.get("RESTORE_DATA", Path(__file__).parents[1].parent / "shared" / "data"))

Make = Callable[..., FrameBatch]


@pytest.fixture(autouse=True)
def nobody_s_own_files(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept in tests stays out of the user's folders, and what lies there out of the tests."""
    for name in ("cache", "config"):
        folder = tmp_path_factory.getbasetemp() / name
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(folder))


@pytest.fixture
def real() -> Callable[[str], Path]:
    """real("rm/name.rm"): the file or folder of real material, or the test is skipped."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"no real material {name} in {DATA} (set RESTORE_DATA)")
        return path

    return find


@pytest.fixture
def make_video() -> Make:
    """make_video(width, height, chroma, quant=..., facts=...): 12 frames in scenes of 5, 1 and 6, that drift."""

    def make(
        width: int = 37,
        height: int = 23,
        chroma: Chroma | None = Chroma.C420,
        *,
        quant: bool = True,
        facts: bool = True,
        motion: bool = True,
    ) -> FrameBatch:
        generator = torch.Generator().manual_seed(0)
        fmt = VideoFormat(width, height, chroma, 8, Fraction(1, 1000), COLOR)
        frames = tuple(FrameInfo(i, VFR[i], 40, SCENES[i]) for i in range(12))
        planes = []
        for number, (h, w) in enumerate(fmt.plane_shapes()):
            big = torch.rand(3, h + 16, w + 16, generator=generator)
            rows = [big[s, i : i + h, i : i + w] for i, s in enumerate(SCENES)]
            noise = 0.02 * torch.randn(12, h, w, generator=generator)
            planes.append((torch.stack(rows) * 0.8 + noise - 0.4 * (number > 0))[:, None])
        cells = (-(-height // 16), -(-width // 16))
        maps = tuple(QuantMap(4 + 12 * torch.rand(cells, generator=generator)) for _ in range(12))
        steps = 0.05 * torch.randn(12, MEASURES["flicker"].width, generator=generator)
        steps[:, -2:] *= 100
        grid = SceneFacts(BlockGrid((8.0, 8.0), (0.0, 0.0), 1.0), 2.0, {"flicker": Curve(0, steps)})
        video = FrameBatch(
            tuple(planes),
            frames,
            fmt,
            quant=maps if quant else (),
            facts=dict.fromkeys(range(3), grid) if facts else {},
        )
        return with_motion(video) if motion else video

    return make


def with_motion(video: FrameBatch) -> FrameBatch:
    """The same frames with a motion service that has seen their luma."""
    service = MotionService(MotionOptions(), torch.device("cpu"))
    service.add(video.frames, video.planes[0])
    return replace(video, motion=service)


@pytest.fixture
def cut() -> Callable[[FrameBatch, int], Iterator[FrameBatch]]:
    return lambda video, size: (video[i : i + size] for i in range(0, len(video), size))
