"""Every back end gives the reference's picture."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch

from restore.machine import cpu_level
from restore.nets.backends import BackEnds
from restore.nets.candidates import candidates
from restore.nets.edsr import EDSR
from restore.nets.engine import GraphEngine, Network, Precision, TorchEngine, powers
from restore.nets.openvino_engine import OpenVinoEngine
from restore.nets.plain import PlainSR

CPU = torch.device("cpu")
TOLERANCE_CODES: dict[Precision, float] = {
    "fp32": 0.01,
    "bf16": 0.5,
    "fp16": 0.1,
    "int16": 1.0,
    "int8": 1.0,
}
"""Largest difference from the float32 reference, in 8-bit codes, for residuals of up to 20 codes."""


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    net = PlainSR(32, 3, 2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return Network(net.eval(), "tiny", "0" * 64)


def worst_codes(found: torch.Tensor, wanted: torch.Tensor) -> float:
    assert found.dtype == torch.float32
    assert found.shape == wanted.shape
    assert float(wanted.abs().max()) * 219 > 2
    return float((found.cpu() - wanted).abs().max()) * 219


@pytest.mark.parametrize("size", [(16, 24), (7, 9), (33, 18), (1, 1)])
@pytest.mark.parametrize("kind", [b.name for b in candidates(Network(PlainSR(), "", ""), CPU)])
@torch.inference_mode()
def test_agrees_with_the_reference(kind: str, size: tuple[int, int], network: Network) -> None:
    if kind.startswith("torch-compile"):
        pytest.skip("compiles for longer than a test may take; benchmarks/backends.py runs it")
    luma = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(1))
    able = {b.name: b for b in candidates(network, CPU)}
    found = able[kind].build(network, CPU, 2, size)(luma)
    assert worst_codes(found, network.net(luma)) < TOLERANCE_CODES[able[kind].precision]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", ["cuda-graph-fp16", "cuda-graph-bf16", "torch-fp16", "torch-fp32"])
@pytest.mark.parametrize("count", [1, 7, 16, 21])
@torch.inference_mode()
def test_agrees_with_the_reference_on_cuda(kind: str, count: int, network: Network) -> None:
    device = torch.device("cuda")
    luma = torch.rand(count, 1, 40, 56, generator=torch.Generator().manual_seed(1))
    able = {b.name: b for b in candidates(network, device)}
    engine = able[kind].build(network, device, 2, (40, 56))
    for turn in range(2):  # the second replays
        given = luma.flip(0) if turn else luma
        found = engine(given.to(device))
        assert worst_codes(found, network.net(given)) < TOLERANCE_CODES[able[kind].precision]


@torch.inference_mode()
def test_bf16_is_within_its_tolerance_where_it_is_emulated_too(network: Network) -> None:
    luma = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    error = worst_codes(TorchEngine(network, CPU, 1, "bf16")(luma), network.net(luma))
    assert 0.001 < error < TOLERANCE_CODES["bf16"]


@torch.inference_mode()
def test_openvino_runs_colours_and_conditions() -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    net = PlainSR(8, 1, 2, in_planes=4, colours=3).eval()
    for given in (3, 4):
        picture = torch.rand(2, given, 9, 12)
        found = OpenVinoEngine(Network(net, "rgb", "", planes=4), 2)(picture)
        assert float((found - net(picture)).abs().max()) * 255 < 0.01


@torch.inference_mode()
def test_jobs_do_not_mix_and_threads_do_not_matter(network: Network) -> None:
    luma = torch.rand(6, 1, 20, 28)
    whole = BackEnds(CPU, 2).engine(network, 20, 28)(luma)
    for threads in (1, 3):
        single = BackEnds(CPU, threads).engine(network, 20, 28)
        parts = torch.cat([single(luma[i : i + 1]) for i in range(6)])
        torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_an_engine_leaves_the_network_alone(network: Network) -> None:
    before = copy.deepcopy(network.net.state_dict())
    TorchEngine(network, CPU, 1, "bf16")(torch.rand(1, 1, 8, 8))
    after = network.net.state_dict()
    assert all(
        torch.equal(before[k], after[k]) and after[k].dtype == before[k].dtype for k in before
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_whole_picture_has_no_room_for_bf16(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restore.nets.candidates.native_bf16", lambda: True)
    for residual in (True, False):
        network = Network(EDSR(4, 1, 1), "edsr", "", residual)
        found = {b.precision for b in candidates(network, torch.device(device))}
        assert ("bf16" in found) == residual


def test_openvino_says_what_it_cannot_run() -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    with pytest.raises(TypeError, match="expected a plain network, got EDSR"):
        OpenVinoEngine(Network(EDSR(4, 1, 1), "edsr", ""), 1)


@pytest.mark.parametrize("count", [1, 5, 16, 23, 40])
def test_batches_are_cut_into_powers_of_two(count: int) -> None:
    sizes = powers(count, GraphEngine.LARGEST)
    assert sum(sizes) == count
    assert all(size & (size - 1) == 0 and size <= 16 for size in sizes)
    assert sizes == sorted(sizes, reverse=True)


def test_reach_counts_every_layer() -> None:
    assert Network(PlainSR(4, 8, 2), "", "").reach == 10


def test_compiled_code_is_kept_where_nobody_else_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded and run again: PyTorch's own place for it is a name in /tmp that anybody can take first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr(torch, "compile", lambda net: net)
    network = Network(PlainSR(4, 1, 2).eval(), "", "")
    TorchEngine(network, CPU, 1, compiled=True)
    folder = tmp_path / "restore" / f"compiled-{cpu_level()}"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    with pytest.raises(RuntimeError, match=r"compiled-\w+: cannot be used: others may write it"):
        TorchEngine(network, CPU, 1, compiled=True)
