"""Processor time a frame, by part of the work, in one process and one after another: what a busy machine can measure too.

python benchmarks/shares.py [--film FILE | --size 352x288] [--frames 48] [--preset veryfast] [--backend openvino-int8]

Parts of `restore run` that overlap are taken apart: decode twice where the chain looks at several frames (once for the
index), stages, the network inside them, conversions to and from codes, encode. Network, encode and decode are counted over all
threads of the process, the rest in its own thread: those of OpenVINO wait awake for a while. The ceiling is a matrix product in float32,
timed the same way. Without --film it is a test pattern, whose motion takes twice as long to find as a film's. The first batch is left
out: it holds compilation and the first touch of memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from measure import ROOT
from performance import clip
from torch import Tensor

sys.path.insert(0, str(ROOT))

import restore.motion
import restore.worker
from restore.index import Index, build_index
from restore.io.decode import decode
from restore.io.encode import SegmentEncoder
from restore.io.formats import encoded_format
from restore.io.probe import InputOptions, probe
from restore.nets.backends import BackEnds
from restore.nets.candidates import processor
from restore.nets.engine import Engine, Network
from restore.pipeline import find_pipeline, read_pipeline
from restore.run.feed import Feed
from restore.video import FrameBatch
from restore.worker import Worker

CPU = torch.device("cpu")


class InTurn(Iterator[FrameBatch]):
    """In place of threads.Ahead: what networks made is passed on in the thread that asks, so that no part is timed while
    another runs."""

    def __init__(self, items: Iterator[FrameBatch], size: int, name: str) -> None:
        self._items = items

    def __next__(self) -> FrameBatch:
        return next(self._items)

    def close(self) -> None:
        """Nothing runs."""


class AtOnce:
    """In place of motion's thread."""

    def __init__(self, *_: object) -> None:
        """Takes what ThreadPoolExecutor takes."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*arguments))
        return done

    def shutdown(self, **_: object) -> None:
        """Nothing runs."""


class Clock:
    """Processor seconds by what they went into."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        """Of the whole process."""
        self.own: dict[str, float] = {}
        """Of the thread that asks."""

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        began, own = time.process_time(), time.thread_time()
        yield
        self.own[what] = self.own.get(what, 0.0) + time.thread_time() - own
        self.spent[what] = self.spent.get(what, 0.0) + time.process_time() - began

    def each(self, what: str, batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
        while True:
            with self(what):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


class Timed(BackEnds):
    """Engines whose time is told apart."""

    def __init__(self, clock: Clock, asked: str) -> None:
        super().__init__(CPU, 1, asked=asked)
        self._clock = clock
        self.work = 0.0
        """Multiplications and additions done."""

    def engine(self, network: Network, height: int, width: int) -> Engine:
        run = super().engine(network, height, width)
        each = 2 * sum(p.numel() for p in network.net.parameters() if p.ndim == 4)

        def timed(given: Tensor) -> Tensor:
            with self._clock("network"):
                out = run(given)
            self.work += each * given.shape[0] * given.shape[-2] * given.shape[-1]
            return out

        return timed


def ceiling() -> float:
    """GFLOP per processor second of a float32 matrix product on one thread, the best of five."""
    torch.set_num_threads(1)
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        a @ b
        best = min(best, time.process_time() - began)
    return 2 * 1024**3 / best / 1e9


def shares(name: str, path: Path, folder: Path, options: argparse.Namespace) -> str:
    """A row of the table."""
    spec = read_pipeline(find_pipeline(name), [f"output.preset={options.preset}"])
    source = probe(path, InputOptions())
    fmt = source.video.format
    clock = Clock()
    backends = Timed(clock, options.backend)
    index = Index(fmt.time_base)
    asked: list[float] = []

    def noted() -> Iterator[FrameBatch]:
        for batch in islice(decode(source, batch=4), options.frames // 4):
            asked.append(time.process_time())
            yield batch

    segments = list(build_index(index, noted(), spec.scenes, spec.needs(), spec.halo()[1]))
    total = len(index.pts)
    # From where the second batch is handed over: the first is held back, or pays for imports.
    indexed = 1000 * (time.process_time() - asked[1]) / (total - 4)
    if spec.frame_by_frame():
        indexed = 0.0  # such a chain runs without (restore.run.onepass)
    output = encoded_format(spec.output, spec.formats(fmt)[-1], bool(spec.stages))
    restore.worker.Ahead = InTurn  # type: ignore[assignment]
    restore.motion.ThreadPoolExecutor = AtOnce  # type: ignore[assignment]
    worker = Worker(spec, fmt, output, backends, clock)
    film = islice(decode(source, batch=4, quantisers=spec.reads_quantisers()), options.frames // 4)
    feed = Feed(clock.each("decode", film), index, spec.halo())
    encoder = SegmentEncoder(folder / "part.nut", output, spec.output)
    frames, work, whole = 0, 0.0, 0.0
    first: tuple[dict[str, float], dict[str, float]] | None = None
    began = time.thread_time()
    for segment in segments:
        for batch in worker(feed.frames_of(segment)):
            whole += time.thread_time() - began
            with clock("encode"):
                encoder.write(batch)
            if first is None:
                first, frames, whole = (dict(clock.spent), dict(clock.own)), -len(batch), 0.0
                work = backends.work
            frames += len(batch)
            began = time.thread_time()
    with clock("encode"):
        encoder.close()
    assert first is not None
    made, own = (
        {k: 1000 * (v - before.get(k, 0.0)) / frames for k, v in spent.items()}
        for spent, before in zip((clock.spent, clock.own), first, strict=True)
    )
    parts = {k: v for k, v in own.items() if k not in ("network", "encode", "decode")}
    stages = sum(parts.values()) - own["network"]
    codes = 1000 * whole / frames - stages - own["network"] - own["decode"]
    rest = indexed + made["decode"] + stages + codes
    rate = (backends.work - work) / (made["network"] * frames / 1000) / 1e9
    (choice,) = backends.choices.values()
    told = ", ".join(f"{k.rpartition('(')[2].rstrip(')')} {v:.1f}" for k, v in parts.items())
    print(f"  {name}, stages, with {own['network']:.1f} of waiting for the network: {told}")
    every = rest + made["network"] + made["encode"]
    return (
        f"| `{name}` | {choice.name} | {indexed:.1f} | {made['decode']:.1f} | {stages:.1f} | {codes:.1f} | **{rest:.1f}** | "
        f"{made['network']:.1f} ({made['network'] / every:.0%}) | {made['encode']:.1f} ({made['encode'] / every:.0%}) | "
        f"{rate / options.ceiling:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--film", type=Path)
    parser.add_argument("--size", default="352x288")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--backend", default="openvino-int8")
    parser.add_argument("--pipelines", default="bw_film_x2_fast,bw_film_x2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = options.film or folder / "clip.mpg"
        if not options.film:
            clip(path, options.size, options.frames)
        options.ceiling = ceiling()
        print(f"{processor()}, one thread; float32 ceiling {options.ceiling:.0f} GFLOP/s")
        print(
            "| pipeline | back end | index | decode | stages | codes, motion | **neither** | network | x264 | of the ceiling |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for pipeline in options.pipelines.split(","):
            print(shares(pipeline, path, folder, options), flush=True)


if __name__ == "__main__":
    main()
