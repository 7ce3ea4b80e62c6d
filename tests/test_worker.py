"""A worker: codes in, codes out; the same picture however the video was cut up."""

import pickle
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from restore.color import ColorInfo, Matrix, Primaries, Siting, Transfer
from restore.errors import DeviceError, StageError
from restore.motion import MotionOptions, MotionService
from restore.nets.backends import BackEnds
from restore.pipeline import PipelineSpec, read_pipeline
from restore.video import Chroma, FrameBatch, FrameInfo, VideoFormat
from restore.worker import Worker, find_device

COLOR = ColorInfo(Matrix.SMPTE170M, Primaries.SMPTE170M, Transfer.SMPTE170M, False, Siting.CENTER)
FORMAT = VideoFormat(37, 29, Chroma.C420, 8, Fraction(1, 1000), COLOR)
CPU = torch.device("cpu")

CHAIN = """
[[stage]]
kind = "deblock"
[[stage]]
kind = "align"
radius = 1
[[stage]]
kind = "align"
radius = 2
[[stage]]
kind = "upscale"
model = "lanczos"
[[stage]]
kind = "preserve_color"
"""


def spec(tmp_path: Path, text: str) -> PipelineSpec:
    path = tmp_path / "p.toml"
    path.write_text(text)
    return read_pipeline(path)


def video(count: int = 14, scenes: tuple[int, ...] = (9,), depth: int = 8) -> FrameBatch:
    """A texture that drifts, with noise; a new scene at each index in `scenes`."""
    generator = torch.Generator().manual_seed(3)
    frames, planes = [], []
    for i in range(count):
        scene = sum(i >= s for s in scenes)
        frames.append(FrameInfo(i, 40 * i, 40, scene))
        wave = torch.arange(37.0).view(1, -1) * (0.3 + scene) + torch.arange(29.0).view(-1, 1) + i
        noise = torch.randint(-4, 5, (29, 37), generator=generator)
        planes.append(wave.sin() * 60 + 120 + noise)
    scale = 1 << (depth - 8)
    dtype = torch.uint8 if depth == 8 else torch.uint16
    luma = (torch.stack(planes)[:, None] * scale).to(torch.int32).to(dtype)
    chroma = torch.full((count, 1, 15, 19), 128 * scale, dtype=torch.int32).to(dtype)
    fmt = replace(FORMAT, depth=depth)
    return FrameBatch((luma, chroma, chroma.clone()), tuple(frames), fmt)


def run(chain: PipelineSpec, whole: FrameBatch, size: int, **output: int) -> FrameBatch:
    fmt = chain.formats(whole.format)[-1]
    worker = Worker(chain, whole.format, replace(fmt, **output), BackEnds(CPU, 1))  # type: ignore[arg-type]
    batches: Iterator[FrameBatch] = (whole[i : i + size] for i in range(0, len(whole), size))
    return FrameBatch.cat(list(worker(batches)))


@pytest.mark.parametrize("depth", [8, 10])
def test_an_empty_chain_is_exact(tmp_path: Path, depth: int) -> None:
    whole = video(depth=depth)
    done = run(spec(tmp_path, ""), whole, 4)
    assert all(torch.equal(a, b) for a, b in zip(done.planes, whole.planes, strict=True))


def test_what_comes_out_is_what_the_encoder_takes(tmp_path: Path) -> None:
    """Odd sizes go to H.264 in 4:4:4."""
    for text in ("", '[[stage]]\nkind = "preserve_color"\n'):
        chain = spec(tmp_path, text)
        target = replace(FORMAT, chroma=Chroma.C444, depth=10)
        done = FrameBatch.cat(list(Worker(chain, FORMAT, target, BackEnds(CPU, 1))([video()])))
        assert done.format == target
        assert done.planes[1].shape == (14, 1, 29, 37)


@pytest.mark.parametrize("depth", [8, 9, 10, 12, 14, 16])
@pytest.mark.parametrize("full", [False, True])
def test_dither_moves_no_whole_code(tmp_path: Path, depth: int, full: bool) -> None:
    """Every code of every depth, in and out through floats."""
    color = replace(FORMAT.color, full_range=full)
    fmt = VideoFormat(1 << (depth - 4), 16, Chroma.C444, depth, FORMAT.time_base, color)
    kind = torch.uint8 if depth == 8 else torch.uint16
    codes = torch.arange(1 << depth, dtype=torch.int32).to(kind).view(1, 1, 16, -1)
    chain = spec(tmp_path, '[[stage]]\nkind = "deblock"\n')
    worker = Worker(chain, fmt, fmt, BackEnds(CPU, 1))
    batch = FrameBatch((codes,) * 3, (FrameInfo(0, 0, 40),), fmt)
    (entered,) = worker._enter([batch], MotionService(MotionOptions(), CPU))
    left = worker._leave(entered)
    assert all(torch.equal(p.to(torch.int32), codes.to(torch.int32)) for p in left.planes)


def test_a_pickled_chain_runs_and_grey_stays_neutral(tmp_path: Path) -> None:
    chain = pickle.loads(pickle.dumps(spec(tmp_path, CHAIN)))
    done = run(chain, video(), 4)
    assert done.planes[0].shape == (14, 1, 58, 74)
    assert done.frames == video().frames
    assert all(bool((p == 128).all()) for p in done.planes[1:])


def test_deeper_output(tmp_path: Path) -> None:
    done = run(spec(tmp_path, CHAIN), video(), 4, depth=10)
    assert done.planes[0].dtype == torch.uint16
    assert bool((done.planes[1].to(torch.int32) == 512).all())
    assert int(done.planes[0].to(torch.int32).max()) > 255


@pytest.mark.parametrize("size", [1, 3, 14])
def test_batches_do_not_matter(tmp_path: Path, size: int) -> None:
    chain = spec(tmp_path, CHAIN)
    a, b = run(chain, video(), size).planes[0], run(chain, video(), 5).planes[0]
    assert int((a.int() - b.int()).abs().max()) <= 1


def test_a_cut_inside_a_scene_is_invisible_with_its_halo(tmp_path: Path) -> None:
    chain = spec(tmp_path, CHAIN)
    past, future = chain.halo()
    assert (past, future) == (3, 3)
    whole = video(20, scenes=())
    at = 10
    left = run(chain, whole[: at + future], 20)[:at]
    right = run(chain, whole[at - past :], 20)[past:]
    parts = torch.cat([left.planes[0], right.planes[0]])
    assert torch.equal(parts, run(chain, whole, 20).planes[0])


@pytest.mark.parametrize("size", [1, 4, 20])
def test_windows_see_real_neighbours_beyond_repeats(tmp_path: Path, size: int) -> None:
    """Each picture shown twice: the same result as of each shown once."""
    chain = spec(tmp_path, CHAIN)
    once = video(12)
    order = [n for n in range(12) for _ in range(2)]
    frames = tuple(
        replace(once.frames[n], index=i, pts=20 * i, repeats=i - 1 if i % 2 else None)
        for i, n in enumerate(order)
    )
    twice = replace(once, planes=tuple(p[order] for p in once.planes), frames=frames)
    done, wanted = run(chain, twice, size), run(chain, once, size)
    assert done.frames == frames
    for ours, theirs in zip(done.planes, wanted.planes, strict=True):
        assert int((ours.int() - theirs[order].int()).abs().max()) <= 1


def test_nan_is_an_error_that_names_the_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restore.stages.preserve_color import PreserveColor

    monkeypatch.setattr(
        PreserveColor, "process", lambda self, clip: tuple(p * float("nan") for p in clip.planes)
    )
    with pytest.raises(StageError, match="p: frames 0 to 2 came out as NaN"):
        run(spec(tmp_path, CHAIN), video(), 3)


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cuda:x"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(DeviceError, match=f"--device {name}"):
        find_device(name)


def test_motion_is_kept_only_where_a_stage_looks_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(MotionService, "add", lambda self, frames, luma: taken.append(len(frames)))
    alone = (
        CHAIN.replace('kind = "align"', 'kind = "deblock"')
        .replace("radius = 1", "")
        .replace("radius = 2", "")
    )
    for text, wanted in ((alone, 0), (CHAIN, 14)):
        taken.clear()
        chain = spec(tmp_path, text)
        worker = Worker(chain, FORMAT, chain.formats(FORMAT)[-1], BackEnds(CPU, 1))
        with suppress(KeyError):  # align finds nothing of what was to be added
            list(worker(iter([video()])))
        assert sum(taken) == wanted


NETWORK = """
[[stage]]
kind = "align"
radius = 1
[[stage]]
kind = "upscale"
model = "film_x2_fast"
[[stage]]
kind = "preserve_color"
"""


def test_what_follows_a_network_runs_beside_it_and_changes_nothing(tmp_path: Path) -> None:
    chain, whole = spec(tmp_path, NETWORK), video()
    worker = Worker(chain, FORMAT, chain.formats(FORMAT)[-1], BackEnds(CPU, 1))
    assert worker._apart == 2
    batches = [whole[i : i + 3] for i in range(0, len(whole), 3)]
    beside = FrameBatch.cat(list(worker(batches)))
    worker._apart = 0
    alone = FrameBatch.cat(list(worker(batches)))
    assert beside.frames == alone.frames
    assert all(torch.equal(a, b) for a, b in zip(beside.planes, alone.planes, strict=True))


def test_a_worker_closed_early_reads_no_further(tmp_path: Path) -> None:
    chain, read = spec(tmp_path, NETWORK), []

    def batches() -> Iterator[FrameBatch]:
        for n in range(100):
            read.append(n)
            (info,) = video(1, ()).frames
            yield replace(video(1, ()), frames=(replace(info, index=n, pts=40 * n),))

    with closing(
        Worker(chain, FORMAT, chain.formats(FORMAT)[-1], BackEnds(CPU, 1))(batches())
    ) as made:
        next(made)
    assert len(read) < 12
    assert "networks" not in [thread.name for thread in threading.enumerate()]
