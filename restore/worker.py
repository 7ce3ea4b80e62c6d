"""One device running one pipeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache

import cv2
import torch
from torch import Tensor

from restore.allocation import keep_freed_memory
from restore.color import Matrix
from restore.conform import conform
from restore.duplicates import restore_once
from restore.errors import DeviceError, StageError
from restore.motion import MotionService
from restore.nets.backends import BackEnds
from restore.pipeline import PipelineSpec
from restore.planes import to_codes, to_nominal
from restore.stage import Window
from restore.threads import Ahead
from restore.video import FrameBatch, Planes, VideoFormat
from restore.windowing import Meter, run_stage


def find_device(name: str) -> torch.device:
    """'auto', 'cpu', 'cuda' or 'cuda:N' -> a device that is there. Raises DeviceError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "cuda" or name.startswith("cuda:"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = name.partition(":")[2] or "0"
        if number.isdigit() and int(number) < count:
            return torch.device("cuda", int(number))
        raise DeviceError(
            f"--device {name}: no such device; torch {torch.__version__} sees {count} CUDA "
            "devices; try --device cpu, or see 'restore doctor'"
        )
    raise DeviceError(f"--device {name}: expected auto, cpu, cuda or cuda:N")


class Worker:
    """Build it in the process that owns the device; feed it any number of streams, one after another."""

    def __init__(
        self,
        spec: PipelineSpec,
        source: VideoFormat,
        output: VideoFormat,
        backends: BackEnds,
        meter: Meter = lambda _: nullcontext(),
    ) -> None:
        """`output`: as encoded_format gives it for the last stage's format. The device is that of `backends`, whose
        threads are for the networks.

        Everything else runs on one: planes are small, and a pool of threads that waits for its last member while
        decoder and encoder hold the cores made such operators 20 to 40 times slower (16 ms for a 352x288
        exponential, 0.4 ms alone). It also makes them exact: optical flow splits its work by thread count."""
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        keep_freed_memory()
        self._spec, self._output, self._device, self._meter = spec, output, backends.device, meter
        self._formats = spec.formats(source)
        self._dithers = spec.output.dither and (bool(spec.stages) or not _is_exact(source, output))
        self._steps = [(entry.build(), entry.where) for entry in spec.stages]
        self._untouched = not self._steps and output == source
        self._reach = sum(stage.window.past for stage, _ in self._steps)
        self._looks_around = any(stage.window != Window() for stage, _ in self._steps)
        self._apart = 0
        """Stages up to the last that runs a network or looks around: on a CPU these have a thread of their own."""
        for number, ((stage, _), fmt) in enumerate(zip(self._steps, self._formats, strict=False)):
            before = len(backends.choices)
            stage.load(fmt, backends)
            if len(backends.choices) > before or (self._apart and stage.window != Window()):
                self._apart = number + 1

    def __call__(self, batches: Iterable[FrameBatch]) -> Generator[FrameBatch, None, None]:
        """Integer codes in, integer codes out; the same frames, in order. Repeats get what came of their original.
        Close it to stop early: `batches` may be read in another thread."""
        if self._untouched:
            return (FrameBatch(b.planes, b.frames, b.format) for b in batches)
        return restore_once(batches, self._chain)

    def _chain(self, batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
        """While networks are at work on a batch, the one before it gets what comes after them, frame by frame: such stages use
        one core, and between two batches a network none."""
        motion = MotionService(self._spec.motion, self._device)
        apart = self._apart if self._device.type == "cpu" else 0
        first = self._first_stages(batches, motion, apart or len(self._steps))
        flow = Ahead(first, 1, "networks") if apart else first
        try:
            for batch in self._stages(_singly(flow), apart, len(self._steps)) if apart else flow:
                yield self._leave(batch)
                del batch
        finally:
            if isinstance(flow, Ahead):
                flow.close()
            motion.close()

    def _first_stages(
        self, batches: Iterable[FrameBatch], motion: MotionService, stop: int
    ) -> Iterator[FrameBatch]:
        """Those before number `stop`; none from there on looks around."""
        recent: deque[int] = deque(maxlen=self._reach)
        for batch in self._stages(self._enter(batches, motion), 0, stop):
            yield batch
            # The next frame looks back at `reach` frames, whose numbers have gaps where repeats were.
            recent.extend(f.index for f in batch.frames)
            motion.forget(recent[0] if recent else batch.frames[-1].index + 1)
            del batch

    def _stages(self, flow: Iterable[FrameBatch], first: int, stop: int) -> Iterable[FrameBatch]:
        """Stages `first` to `stop - 1`."""
        outputs = self._formats[first + 1 : stop + 1]
        for (stage, where), output in zip(self._steps[first:stop], outputs, strict=True):
            flow = run_stage(stage, flow, output, where, self._meter)
        return flow

    def _enter(self, batches: Iterable[FrameBatch], motion: MotionService) -> Iterator[FrameBatch]:
        """Where stages look around, one batch is held back: its motion is found while they work on the one before."""
        held: FrameBatch | None = None
        for batch in batches:
            depth, full = batch.format.depth, bool(batch.format.color.full_range)
            planes = tuple(
                to_nominal(codes.to(self._device), depth, full, chroma=i > 0)
                for i, codes in enumerate(batch.planes)
            )
            entered = replace(batch, planes=planes, motion=motion if self._looks_around else None)
            # From a frame seen alone nothing moves anywhere.
            if not self._looks_around:
                yield entered
                continue
            motion.add(batch.frames, planes[0])
            if held is not None:
                yield held
            held = entered
        if held is not None:
            yield held

    def _leave(self, batch: FrameBatch) -> FrameBatch:
        for plane in batch.planes:
            # NaN and infinity stay in a sum, which takes a fiftieth of the time of looking at each sample.
            if not bool(torch.isfinite(plane.sum())):
                first, last = batch.frames[0].index, batch.frames[-1].index
                raise StageError(
                    f"{self._spec.name}: frames {first} to {last} came out as NaN or infinity; "
                    "leave stages out one by one with --set to find the cause"
                )
        depth, full = self._output.depth, bool(self._output.color.full_range)
        rgb = self._output.color.matrix is Matrix.RGB
        planes: Planes = tuple(
            to_codes(
                plane,
                depth,
                full,
                i > 0 and not rgb,
                _dither(*plane.shape[-2:], plane.device) if self._dithers else None,
            ).cpu()
            for i, plane in enumerate(conform(batch.planes, batch.format, self._output))
        )
        return FrameBatch(planes, batch.frames, self._output)


def _singly(batches: Iterable[FrameBatch]) -> Iterator[FrameBatch]:
    """The same frames, a batch of each: what is made of them takes the room of one."""
    for batch in batches:
        for number in range(len(batch)):
            yield batch[number : number + 1]
        del batch


def _is_exact(source: VideoFormat, output: VideoFormat) -> bool:
    """Whether planes of `source` fit into `output` code by code, so that nothing is left to dither."""
    if source.rgb_depth is not None:
        return output.color.matrix is Matrix.RGB and output.depth >= source.rgb_depth
    same = (source.chroma, source.color.full_range) == (output.chroma, output.color.full_range)
    return same and output.depth >= source.depth


_BAYER = torch.tensor(
    [
        [0, 32, 8, 40, 2, 34, 10, 42],
        [48, 16, 56, 24, 50, 18, 58, 26],
        [12, 44, 4, 36, 14, 46, 6, 38],
        [60, 28, 52, 20, 62, 30, 54, 22],
        [3, 35, 11, 43, 1, 33, 9, 41],
        [51, 19, 59, 27, 49, 17, 57, 25],
        [15, 47, 7, 39, 13, 45, 5, 37],
        [63, 31, 55, 23, 61, 29, 53, 21],
    ]
)


@lru_cache(maxsize=8)
def _dither(height: int, width: int, device: torch.device) -> Tensor:
    """(H, W) ordered dither in codes, inside (-0.5, 0.5): whole codes stay as they are, so a chain that
    changes nothing is exact and grey stays neutral. Fixed in place, so it costs an encoder little."""
    tile = ((_BAYER.to(device).float() + 0.5) / 64 - 0.5) * 0.98
    return tile.repeat(-(-height // 8), -(-width // 8))[:height, :width].contiguous()
