"""What becomes of a batch that a back end cannot run, or runs wrong: no frame is lost, and none comes out otherwise than it would have.

    out of memory       on a CPU fewer frames at a time, which changes no bit; where that is not enough, one clear error
    NaN, or all zero    that frame again, in float32

Tiles change the last bits of some back ends, and so do fewer frames at a time on a card: both are numbers of the plan (see
nets.backends), never an answer to how much memory other programs left.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restore.errors import DeviceError
from restore.faults import out_of_memory
from restore.nets.engine import Engine, Network, TorchEngine

Note = Callable[[str], None]


class Ladder:
    """An engine that steps down before it fails. DeviceError when not even one frame fits."""

    def __init__(
        self,
        network: Network,
        engine: Engine,
        device: torch.device,
        threads: int,
        note: Note,
        most: int | None = None,
        tile: int | None = None,
    ) -> None:
        """`most`: frames to give it at a time; None: as they come. `tile`: side of tiles, in input samples, the overlap not counted; None:
        whole frames."""
        self._network, self._device, self._threads, self._note = network, device, threads, note
        self._engine = engine
        self._exact: Engine | None = None
        self._most, self._tile = most, tile

    def __call__(self, given: Tensor) -> Tensor:
        out = self._run(self._engine, given)
        wrong = wrong_frames(out)
        if not wrong:
            return out
        if self._exact is None:
            self._exact = TorchEngine(self._network, self._device, self._threads)
        # Each alone: what is made again must not depend on which frames came together.
        again = torch.cat([self._run(self._exact, given[n : n + 1]) for n in wrong])
        if not torch.equal(again, out[wrong]):
            self._note(
                f"{self._network.name}: {len(wrong)} of {len(given)} frames came out as NaN or black; "
                "these were made again in float32"
            )
        out = out.clone()
        out[wrong] = again
        return out

    def _run(self, engine: Engine, given: Tensor) -> Tensor:
        while True:
            try:
                return self._attempt(engine, given)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler: the traceback would hold the tensors that are to make room.
            self._step_down(given)

    def _attempt(self, engine: Engine, given: Tensor) -> Tensor:
        here = given.to(self._device)
        parts = [
            engine(part)
            if self._tile is None
            else in_tiles(engine, part, self._tile, self._network.reach)
            for part in torch.split(here, self._most or len(here))
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(given.device)

    def _step_down(self, given: Tensor) -> None:
        """Half as many frames at a time, from now on; DeviceError where that is not to be."""
        count, (height, width) = min(len(given), self._most or len(given)), given.shape[-2:]
        if self._device.type == "cpu" and count > 1:
            self._most = count // 2
            self._note(
                f"{self._network.name}: out of memory with {count} of {width}x{height}; from now on {self._most} at a time"
            )
            return
        side = next((side for side in TILES if side < (self._tile or max(height, width))), None)
        tiles = "" if side is None else f", add --tile {side} (other last bits)"
        smaller = "take a smaller network" if self._device.type == "cpu" else "use --device cpu"
        raise DeviceError(
            f"{self._network.name}: not enough memory for {count} of {width}x{height} at a time; close other programs and "
            f"run the same command again{tiles}, or {smaller}"
        )


TILES = (512, 256, 128)
"""Sides of tiles that are suggested, in input samples."""


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
