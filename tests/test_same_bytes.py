"""The promise of docs/same-bytes.md: the same command, input, version and class of machine give the same bytes.

Encoders and interruptions have tests of their own (tests/io/test_encode.py, tests/run/test_local.py); here it is what stands between: threads, batches, caches, load.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch

from restore.nets.backends import BackEnds
from restore.pipeline import find_pipeline, read_pipeline
from restore.private import cache_dir
from restore.run import local
from restore.run.job import Job, Listener, prepare
from restore.run.parts import parts_dir
from restore.video import Chroma, FrameBatch, FrameInfo, VideoFormat
from restore.worker import Worker
from tests.conftest import COLOR

CPU = torch.device("cpu")
FRAMES = 9


def drifting(width: int, height: int) -> FrameBatch:
    """A soft picture that moves, under grain: what motion, fusion and networks have work with."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(1, 1, 12, 14, generator=generator)
    soft = torch.nn.functional.interpolate(coarse, (height + 20, width + 20), mode="bicubic")
    frames = [soft[:, :, n : n + height, 2 * n : 2 * n + width] for n in range(FRAMES)]
    luma = 40 + 150 * torch.cat(frames)
    luma += 4 * torch.randn(luma.shape, generator=generator)
    size = (FRAMES, 1, -(-height // 2), -(-width // 2))
    chroma = tuple(torch.randint(110, 140, size, generator=generator) for _ in range(2))
    planes = (luma.clamp(16, 235).round(), *chroma)
    fmt = VideoFormat(width, height, Chroma.C420, 8, Fraction(1, 25), COLOR)
    numbered = tuple(FrameInfo(n, n, 1) for n in range(FRAMES))
    return FrameBatch(tuple(p.to(torch.uint8) for p in planes), numbered, fmt)


@pytest.mark.parametrize("name", ["bw_film_x2", "bw_film_x2_hq", "film_deblock", "lanczos_x2"])
def test_threads_and_batches_change_no_bit_of_a_chain(name: str) -> None:
    spec, whole = read_pipeline(find_pipeline(name)), drifting(67, 53)
    last = spec.formats(whole.format)[-1]

    def made(threads: int, batch: int) -> FrameBatch:
        worker = Worker(spec, whole.format, last, BackEnds(CPU, threads))
        return FrameBatch.cat(list(worker(whole[n : n + batch] for n in range(0, FRAMES, batch))))

    wanted = made(1, 1)
    for threads, batch in ((2, 2), (4, 4), (1, FRAMES)):
        found = made(threads, batch)
        assert found.frames == wanted.frames
        for plane, other in zip(found.planes, wanted.planes, strict=True):
            assert torch.equal(plane, other), (threads, batch)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, a still stretch, and damage in the middle."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    source = "testsrc2=s=96x64:r=10:d=2,negate=enable='gt(t,1)',loop=3:1:15"
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "mpeg4", "-q:v", "6", path],
        check=True,
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = b"\x55" * 40
    path.write_bytes(data)
    return path


def restored(film: Path, folder: Path, threads: int = 2, backend: str = "auto") -> tuple[str, str]:
    """(hash of the file that a run makes, what ran its network)."""
    spec = read_pipeline(find_pipeline("bw_film_x2_fast"))
    output = folder / "out.mkv"
    job = Job(spec, (film,), output, overwrite=True, threads=threads, backend=backend)
    summary = local.run(prepare(job), Listener())
    assert not parts_dir(output).exists()
    (choice,) = summary.backends.values()
    return hashlib.sha256(output.read_bytes()).hexdigest(), choice.name


def poison(folder: Path) -> None:
    """What an earlier version kept there, with other choices and ranges in it, and what it could not have kept."""
    folder.mkdir(parents=True)
    measured = {
        "film_x2_fast 96x64": {"name": "torch-fp32", "milliseconds": {"torch-fp32": 0.001}},
        **{f"int8 ranges, edition {n}": [1e-3] * 9 for n in range(4)},
    }
    (folder / "backends.json").write_text(json.dumps({"format": 1, "measured": measured}))
    (folder / "plans").mkdir()
    (folder / "plans" / "x.plan").write_bytes(b"\n\n")


def test_a_run_gives_the_same_bytes_whatever_the_threads_caches_and_load(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cold"))
    wanted = restored(film, tmp_path, threads=1)
    assert not cache_dir().exists()  # a run on a CPU keeps nothing
    assert restored(film, tmp_path, threads=4) == wanted
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "poisoned"))
    poison(cache_dir())
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            sum(range(10_000))

    busy = [threading.Thread(target=load) for _ in range(2)]
    for thread in busy:
        thread.start()
    try:
        assert restored(film, tmp_path, threads=2) == wanted
    finally:
        stop.set()
        for thread in busy:
            thread.join()
    # It could have been seen: another back end gives other bytes.
    assert wanted[1] != "torch-fp32"
    assert restored(film, tmp_path, backend="torch-fp32")[0] != wanted[0]
