"""Several processes that train one network, started by torchrun: `torchrun --nproc-per-node 2 -m restore.train ...`.

Every process holds the whole network and takes its share of each batch; gradients are averaged before every update,
so all hold the same weights, and N processes take the steps that one would, up to rounding. The networks here are
small: one all-reduce of all gradients together costs less than DistributedDataParallel's buckets, and does the same.
The first process alone makes shards, validates and writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from restore.errors import TrainError

PATIENCE = timedelta(hours=24)
"""Making shards can take hours, in which the others wait."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """This process among all; a single one where torchrun did not start it."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def average(self, net: nn.Module) -> None:
        """Gradients of `net` := their mean over all processes."""
        if self.count == 1:
            return
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in grads])
        dist.all_reduce(flat)
        flat /= self.count
        for grad, part in zip(grads, torch.split(flat, [g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def agree(self, value: Value) -> Value:
        """The first process's value, in all of them."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def once(self, work: Callable[[], Value]) -> Value:
        """What `work` returns in the first process, which alone does it; the others wait. A TrainError is raised in all."""
        if self.count == 1:
            return work()
        result: tuple[Value | None, str | None] = None, None
        if self.first:
            try:
                result = work(), None
            except TrainError as error:
                result = None, str(error)
        value, problem = self.agree(result)
        if problem is not None:
            raise TrainError(problem)
        return value  # type: ignore[return-value]


ALONE = Processes()


@contextmanager
def processes(device: torch.device, batch: int) -> Iterator[Processes]:
    """Joins those that torchrun started, if it did. TrainError if `batch` cannot be shared out evenly."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if batch % count:
        raise TrainError(
            f"[optim]: batch: expected a multiple of the {count} processes that share it, got {batch}"
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), count)
        dist.barrier()  # none leaves while another still talks to it
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that speaks; without torchrun it is."""
    return os.environ.get("RANK", "0") == "0"


def choose_device(name: str | None) -> torch.device:
    """The device asked for, else this process's GPU, else the CPU."""
    if name is None and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(name or "cpu")
