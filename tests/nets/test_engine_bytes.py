"""Each back end of this machine gives a frame the same bits, whatever the threads, the frames that come with it, and what ran before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from restore.nets.architectures import ARCHITECTURES, ArchitectureName, build
from restore.nets.candidates import candidates
from restore.nets.engine import Network, TorchEngine

CPU = torch.device("cpu")
FRAMES = 4


def network(name: ArchitectureName) -> Network:
    torch.manual_seed(0)
    kind = ARCHITECTURES[name]
    blocks = 2 if kind.any_blocks and name != "vdsr" else kind.blocks
    net = build(name, 16, blocks, 2).eval().requires_grad_(False)
    planes = getattr(net, "in_planes", 1)
    return Network(net, name, "", kind.residual, planes, sequential=kind.recurrent)


@pytest.mark.parametrize("name", ARCHITECTURES)
@torch.inference_mode()
def test_threads_and_company_change_no_bit(name: ArchitectureName) -> None:
    net = network(name)
    # Odd, and more than what PyTorch's operators keep on one thread.
    given = torch.rand(FRAMES, net.planes, 45, 83, generator=torch.Generator().manual_seed(1))
    for back_end in candidates(net, CPU):
        if back_end.slow_start:
            continue
        wanted = back_end.build(net, CPU, 1, (45, 83))(given)
        for threads in (2, 4):
            engine = back_end.build(net, CPU, threads, (45, 83))
            for many in (1, 2, FRAMES):
                parts = [engine(given[n : n + many]) for n in range(0, FRAMES, many)]
                assert torch.equal(torch.cat(parts), wanted), (back_end.name, threads, many)


@torch.inference_mode()
def test_large_frames_are_fewer_at_a_time_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network("plain")
    given = torch.rand(FRAMES, 1, 20, 31, generator=torch.Generator().manual_seed(1))
    wanted = TorchEngine(net, CPU, FRAMES)(given)
    for room in (1, 3 * 4 * 16 * 20 * 31 * 2):
        monkeypatch.setattr("restore.nets.engine.IN_FLIGHT", room)
        assert torch.equal(TorchEngine(net, CPU, FRAMES)(given), wanted)


def test_no_other_thread_sees_an_engine_s_threads() -> None:
    """PyTorch's number is one of the whole process: a thread that begins meanwhile would keep it, and sum in another order."""
    net = network("plain")
    torch.set_num_threads(1)
    seen: list[int] = []
    engine = TorchEngine(net, CPU, 4)
    engine._net = lambda x: (seen.append(torch.get_num_threads()), net.net(x))[1]  # type: ignore[func-returns-value]
    engine(torch.rand(4, 1, 8, 8))
    assert seen == [1] * 4


UNINITIALISED = """
import hashlib, torch
from restore.nets.candidates import candidates
from tests.nets.test_engine_bytes import CPU, network
with torch.inference_mode():
    for name in ("plain", "recurrent", "srresnet"):
        net = network(name)
        given = torch.rand(2, net.planes, 37, 51, generator=torch.Generator().manual_seed(1))
        for b in candidates(net, CPU):
            if not b.slow_start:
                made = b.build(net, CPU, 2, (37, 51))(given)
                print(name, b.name, hashlib.sha256(made.numpy().tobytes()).hexdigest())
"""


def test_no_engine_reads_what_nobody_wrote() -> None:
    """glibc fills fresh memory with what MALLOC_PERTURB_ says: whoever reads it gives another result each time."""
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", UNINITIALISED],
            env={**os.environ, "MALLOC_PERTURB_": value, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for value in ("0", "85", "170")
    ]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert "plain torch-fp32" in said[0]
    assert said[0] == said[1] == said[2]
