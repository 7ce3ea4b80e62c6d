"""What becomes of a batch that a back end cannot run, or runs wrong: no frame is lost.

    out of memory       fewer frames at a time -> overlapping tiles -> the CPU, in tiles
    NaN, or all zero    that batch again, in float32

Each step is told once, and what did not fit is not tried again.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restore.errors import DeviceError
from restore.faults import out_of_memory
from restore.nets.engine import Engine, Network, TorchEngine

TILES = (512, 256, 128)
"""Sides of tiles, in input samples, the overlap not counted."""

Note = Callable[[str], None]


class Ladder:
    """An engine that steps down instead of failing. DeviceError when not even small tiles fit on the CPU."""

    def __init__(
        self,
        network: Network,
        first: Engine,
        device: torch.device,
        threads: int,
        note: Note,
        most: int | None = None,
    ) -> None:
        """`most`: frames to give it at a time, to begin with; None: as they come."""
        self._network, self._device, self._threads, self._note = network, device, threads, note
        self._engine, self._here = first, device
        self._exact: Engine | None = None
        self._most = most
        self._tile: int | None = None
        self._zero_is_right = False

    def __call__(self, given: Tensor) -> Tensor:
        out = self._run(given)
        wrong = wrong_frames(out)
        if not wrong or (self._zero_is_right and bool(torch.isfinite(out).all())):
            return out
        again = self._in_float32(given)
        still = wrong_frames(again)
        if still == wrong and bool(torch.isfinite(again).all()):
            self._zero_is_right = True  # such a network, or black film
        else:
            self._note(
                f"{self._network.name}: {len(wrong)} of {len(given)} frames came out as NaN or black; "
                "these were made again in float32"
            )
        return again

    def _in_float32(self, given: Tensor) -> Tensor:
        if self._exact is None:
            self._exact = TorchEngine(self._network, self._here, self._threads)
        usual, self._engine = self._engine, self._exact
        try:
            return self._run(given)
        finally:
            # Where memory ended meanwhile, `_run` went to the CPU for good.
            self._engine = usual if self._engine is self._exact else self._engine

    def _run(self, given: Tensor) -> Tensor:
        while True:
            try:
                return self._attempt(given)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler: the traceback would hold the tensors that are to make room.
            self._step_down(given)

    def _attempt(self, given: Tensor) -> Tensor:
        here = given.to(self._here)
        parts = [
            self._engine(part) if self._tile is None else self._tiled(part)
            for part in torch.split(here, self._most or len(here))
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(given.device)

    def _tiled(self, part: Tensor) -> Tensor:
        assert self._tile is not None
        return in_tiles(self._engine, part, self._tile, self._network.reach)

    def _step_down(self, given: Tensor) -> None:
        if self._here.type == "cuda":
            torch.cuda.empty_cache()
        count, (height, width) = min(len(given), self._most or len(given)), given.shape[-2:]
        smaller = [t for t in TILES if t < (self._tile or max(height, width))]
        if count > 1:
            self._most = count // 2
            now = f"{self._most} at a time"
        elif smaller:
            self._tile = smaller[0]
            now = f"in tiles of {self._tile}x{self._tile}"
        elif self._here.type != "cpu":
            self._here = torch.device("cpu")
            self._exact = self._engine = TorchEngine(self._network, self._here, self._threads)
            self._tile = TILES[1]
            now = "in float32 on the CPU"
        else:
            raise DeviceError(
                f"{self._network.name}: not enough memory for one frame of {width}x{height}, not even in "
                f"tiles of {TILES[-1]}x{TILES[-1]} on the CPU; close other programs, or take a smaller network"
            )
        self._note(
            f"{self._network.name}: out of memory with {count} of {width}x{height}; from now on {now}"
        )


def wrong_frames(out: Tensor) -> list[int]:
    """Numbers of the frames of (T, planes, H, W) that hold a NaN or infinity, or nothing but zeros."""
    total = out.flatten(1).sum(1)
    # NaN and infinity stay in a sum, and it is quick; where it is 0, something may still be there.
    suspect = torch.nonzero(~torch.isfinite(total) | (total == 0))[:, 0].tolist()
    return [n for n in suspect if not bool(torch.isfinite(total[n])) or not bool(out[n].any())]


def in_tiles(engine: Engine, given: Tensor, side: int, reach: int) -> Tensor:
    """`engine` on (T, planes, h, w) in tiles of `side` samples that overlap by `reach`, as far as one sample of the
    result looks: no seam but the last bits of arithmetic."""
    height, width = given.shape[-2:]
    rows = []
    for top in range(0, height, side):
        row = []
        for left in range(0, width, side):
            (y0, y1), (x0, x1) = (
                (max(0, first - reach), min(size, first + side + reach))
                for first, size in ((top, height), (left, width))
            )
            part = engine(given[..., y0:y1, x0:x1])
            scale = part.shape[-1] // (x1 - x0)
            down, right = (top - y0) * scale, (left - x0) * scale
            tall, wide = (min(side, n) * scale for n in (height - top, width - left))
            # A copy: a view would keep the overlap alive.
            row.append(part[..., down : down + tall, right : right + wide].clone())
        rows.append(torch.cat(row, -1))
    return torch.cat(rows, -2)
