"""Injected faults: what does not fit runs smaller or is told, what comes out wrong runs again, and no bit changes by either."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restore.errors import DeviceError
from restore.nets.architectures import ARCHITECTURES, ArchitectureName, build
from restore.nets.backends import BackEnds
from restore.nets.candidates import BackEnd
from restore.nets.engine import Engine, Network, TorchEngine
from restore.nets.files import read_card, save_model
from restore.nets.ladder import Ladder, in_tiles, out_of_memory, wrong_frames
from restore.nets.plain import PlainSR
from restore.pipeline import read_pipeline
from restore.resources import models_dir
from restore.video import FrameBatch, FrameInfo, VideoFormat
from restore.worker import Worker
from tests.conftest import COLOR

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(PlainSR(8, 2, 2).eval().requires_grad_(False), "tiny", "0" * 64)


class Limited:
    """A device with room for so many samples at a time, which tells it as libraries do."""

    def __init__(self, engine: Engine, samples: float, error: Callable[[], BaseException]) -> None:
        self.engine, self.samples, self.error = engine, samples, error
        self.refused = 0

    def __call__(self, given: Tensor) -> Tensor:
        if given.numel() > self.samples:
            self.refused += 1
            raise self.error()
        return self.engine(given)


ERRORS: list[Callable[[], BaseException]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    lambda: MemoryError(),
    lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    lambda: RuntimeError("Exception from src/inference: std::bad_alloc"),
    lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]


def rig(
    network: Network, engine: Engine, notes: list[str], device: torch.device = CPU
) -> tuple[Ladder, Tensor, Tensor]:
    luma = torch.rand(6, 1, 150, 200, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = network.net(luma)
    return Ladder(network, engine, device, 1, notes.append), luma, wanted


@pytest.mark.parametrize("error", ERRORS)
def test_fewer_frames_where_memory_ends(
    error: Callable[[], BaseException], network: Network
) -> None:
    notes: list[str] = []
    engine = Limited(TorchEngine(network, CPU, 1), 2 * 150 * 200, error)
    ladder, luma, wanted = rig(network, engine, notes)
    for _ in range(2):
        torch.testing.assert_close(ladder(luma), wanted, atol=1e-5, rtol=0)
    assert engine.refused == 2  # six, three; then it is known
    assert notes == [
        "tiny: out of memory with 6 of 200x150; from now on 3 at a time",
        "tiny: out of memory with 3 of 200x150; from now on 1 at a time",
    ]


def test_tiles_where_they_are_asked_for(network: Network) -> None:
    engine = Limited(TorchEngine(network, CPU, 1), 145 * 145, ERRORS[0])
    _, luma, wanted = rig(network, engine, [])
    ladder = Ladder(network, engine, CPU, 1, pytest.fail, most=1, tile=128)
    found = ladder(luma)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) * 219 < 0.01


@pytest.mark.parametrize(
    ("device", "tile", "said"),
    [
        ("cpu", None, "1 of 200x150 at a time; close other programs and run the same command again, add --tile 128 (other last bits), or take a smaller network"),
        ("cpu", 128, "1 of 200x150 at a time; close other programs and run the same command again, or take a smaller network"),
        # Fewer at a time could give other bits there.
        ("cuda", None, "6 of 200x150 at a time; close other programs and run the same command again, add --tile 128 (other last bits), or use --device cpu"),
    ],
)  # fmt: skip
def test_no_room_is_one_clear_error(
    device: str, tile: int | None, said: str, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands for frames on a device that is not here: everything stays where it is.
    move, there = Tensor.to, torch.device(device)
    monkeypatch.setattr(
        Tensor, "to", lambda self, *a, **k: self if a == (there,) else move(self, *a, **k)
    )
    engine = Limited(lambda x: x, 0, ERRORS[0])
    _, luma, _ = rig(network, engine, [])
    with pytest.raises(DeviceError) as caught:
        Ladder(network, engine, there, 1, lambda _: None, tile=tile)(luma)
    assert str(caught.value) == f"tiny: not enough memory for {said}"


def test_other_errors_pass(network: Network) -> None:
    engine = Limited(lambda x: x, 0, lambda: RuntimeError("expected 4D input"))
    ladder, luma, _ = rig(network, engine, [])
    with pytest.raises(RuntimeError, match="expected 4D"):
        ladder(luma)
    assert not out_of_memory(ValueError("out of range"))


@pytest.mark.parametrize("spoil", [float("nan"), float("inf"), 0.0])
def test_a_spoilt_batch_is_made_again(spoil: float, network: Network) -> None:
    notes: list[str] = []
    exact, calls = TorchEngine(network, CPU, 1), []

    def faulty(given: Tensor) -> Tensor:
        out = exact(given)
        calls.append(len(given))
        if len(calls) == 2:
            out[3] = spoil
        return out

    ladder, luma, wanted = rig(network, faulty, notes)
    for _ in range(3):
        torch.testing.assert_close(ladder(luma), wanted, atol=1e-6, rtol=0)
    assert calls == [6, 6, 6]  # the fast engine goes on after it
    assert notes == [
        "tiny: 1 of 6 frames came out as NaN or black; these were made again in float32"
    ]


@torch.inference_mode()
def test_only_the_spoilt_frame_is_made_again(network: Network) -> None:
    """So that no frame depends on which others came with it: how many do is up to the threads."""

    def faulty(given: Tensor) -> Tensor:
        out = network.net(given) + 0.001
        return torch.where(given.mean((1, 2, 3), keepdim=True) > 0.6, float("nan"), out)

    luma = torch.rand(6, 1, 20, 30, generator=torch.Generator().manual_seed(1)) * 0.5
    luma[3] += 0.5
    wanted = network.net(luma) + 0.001
    wanted[3] -= 0.001
    for many in (1, 2, 6):
        ladder = Ladder(network, faulty, CPU, many, lambda _: None)
        found = torch.cat([ladder(luma[n : n + many]) for n in range(0, 6, many)])
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_network_that_returns_nothing_is_left_alone(network: Network) -> None:
    silent = PlainSR(4, 1, 2).eval()
    with torch.no_grad():
        for parameter in silent.parameters():
            parameter.zero_()
    notes: list[str] = []
    ladder, luma, wanted = rig(Network(silent, "silent", ""), lambda x: torch.zeros(1), notes)
    ladder = Ladder(Network(silent, "silent", ""), silent, CPU, 1, notes.append)
    for _ in range(2):
        assert torch.equal(ladder(luma), wanted)
    assert notes == []


@pytest.mark.parametrize("name", [n for n, a in ARCHITECTURES.items() if a.feed == "low"])
@torch.inference_mode()
def test_tiles_have_no_seams(name: ArchitectureName) -> None:
    """Whatever the architecture: each tile sees as far as its samples depend on."""
    torch.manual_seed(2)
    net = build(name, 6, ARCHITECTURES[name].blocks if name == "plain" else 2, 2).eval()
    network = Network(net, name, "")
    luma = torch.rand(1, 11 if ARCHITECTURES[name].recurrent else 1, 70, 90)
    wanted = net(luma)
    found = in_tiles(TorchEngine(network, CPU, 1), luma, 32, network.reach)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) * 255 < 0.01
    # The overlap is what makes it so.
    bare = in_tiles(TorchEngine(network, CPU, 1), luma, 32, 0)
    assert float((bare - wanted).abs().max()) > float((found - wanted).abs().max())


def test_which_frames_are_wrong() -> None:
    out = torch.rand(5, 1, 4, 4)
    out[1, 0, 2, 3], out[2], out[4, 0, 0, 0] = float("nan"), 0.0, -float("inf")
    assert wrong_frames(out) == [1, 2, 4]
    assert wrong_frames(torch.rand(3, 1, 2, 2) - 2) == []
    assert wrong_frames(torch.tensor([0.25, -0.25]).view(1, 1, 1, 2)) == []


def test_a_faulty_device_loses_no_frame(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a worker: out of memory, then NaN, and the same codes as without."""
    card = read_card(models_dir() / "film_x2_fast.toml")
    shape = {"name": "tiny", "channels": 8, "blocks": 2}
    save_model(network.net, card.model_copy(update=shape), tmp_path)
    model = tmp_path / "tiny.safetensors"
    (tmp_path / "p.toml").write_text(f'[[stage]]\nkind = "upscale"\nmodel = "{model}"\n')
    spec = read_pipeline(tmp_path / "p.toml")
    fmt = VideoFormat(40, 32, None, 8, Fraction(1, 25), COLOR)
    codes = torch.randint(16, 236, (24, 1, 32, 40), generator=torch.Generator().manual_seed(4))
    frames = tuple(FrameInfo(n, n, 1) for n in range(24))
    whole = FrameBatch((codes.to(torch.uint8),), frames, fmt)
    notes: list[str] = []

    def made() -> FrameBatch:
        worker = Worker(spec, fmt, fmt.scaled(2), BackEnds(CPU, 1, note=notes.append))
        return FrameBatch.cat(list(worker(whole[n : n + 8] for n in range(0, 24, 8))))

    wanted = made()
    assert notes == []
    exact, calls = TorchEngine(network, CPU, 1), []

    def faulty(given: Tensor) -> Tensor:
        calls.append(len(given))
        if len(given) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        out = exact(given)
        return out * float("nan") if len(calls) == 4 else out

    able = [BackEnd("faulty", "fp32", lambda *_: faulty)]
    monkeypatch.setattr("restore.nets.backends.candidates", lambda *_: able)
    found = made()
    assert found.frames == wanted.frames
    assert int((found.planes[0].int() - wanted.planes[0].int()).abs().max()) <= 1
    assert notes == [
        "tiny: out of memory with 8 of 40x32; from now on 4 at a time",
        "tiny: 4 of 8 frames came out as NaN or black; these were made again in float32",
    ]
