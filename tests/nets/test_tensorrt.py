"""TensorRT as a back end, against a stand-in that computes on the CPU; nothing here has run on a card."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from restore.errors import DeviceError
from restore.nets import backends, tensorrt_engine, tensorrt_plan
from restore.nets import candidates as listed
from restore.nets.backends import BackEnds
from restore.nets.candidates import BackEnd, candidates
from restore.nets.edsr import EDSR
from restore.nets.engine import Network, Precision, TorchEngine
from restore.nets.ladder import Ladder, out_of_memory
from restore.nets.plain import PlainSR
from restore.nets.recurrent import RecurrentSR
from restore.nets.tensorrt_engine import TensorRtEngine
from restore.nets.tensorrt_plan import LARGEST, Card, plan_name
from tests.nets import fake_tensorrt
from tests.nets.test_engine import TOLERANCE_CODES, worst_codes

CPU = torch.device("cpu")
SIZE = (16, 24)
STREAM = 7


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    net = PlainSR(16, 3, 2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.04 * torch.randn_like(parameter))
    return Network(net.eval().requires_grad_(False), "tiny", "ab" * 32)


def installed(monkeypatch: pytest.MonkeyPatch, version: str = "11.4.0.106") -> Any:
    """The stand-in as the library, and memory of the CPU as the card's; its state."""

    @contextmanager
    def on_card(_: torch.device) -> Iterator[int]:
        yield STREAM

    found = fake_tensorrt.module(version)
    monkeypatch.setitem(sys.modules, "tensorrt", found)
    monkeypatch.setattr(tensorrt_engine, "on_card", on_card)
    monkeypatch.setattr(tensorrt_plan, "card_of", lambda _: Card("Card 1", "9.0", "driver 550"))
    return found.state


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Any:
    return installed(monkeypatch)


def luma(count: int = 3, size: tuple[int, int] = SIZE, planes: int = 1) -> torch.Tensor:
    return torch.rand(count, planes, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("count", [1, LARGEST, LARGEST + 5])
@torch.inference_mode()
def test_agrees_with_the_reference(
    precision: Precision, count: int, network: Network, state: Any
) -> None:
    engine = TensorRtEngine(network, CPU, 1, precision, SIZE)
    given = luma(count)
    for turn in (given, given.flip(0)):  # what a run leaves behind is not the next one's result
        error = worst_codes(engine(turn), network.net(turn))
        assert 0 < error < TOLERANCE_CODES[precision]
    assert state.builds == 1
    assert set(state.streams) == {STREAM}


def test_the_network_is_stated_as_it_is(network: Network, state: Any) -> None:
    TensorRtEngine(network, CPU, 1, "fp16", SIZE)
    assert state.layers == ["convolution", "relu"] * 4 + ["convolution"]
    assert state.flags == [1 << 1]  # strongly typed, which version 10 must be told


@torch.inference_mode()
def test_colours_and_conditions(state: Any) -> None:
    net = PlainSR(8, 1, 2, in_planes=4, colours=3).eval()
    engine = TensorRtEngine(Network(net, "rgb", "", planes=4), CPU, 1, "fp16", SIZE)
    for given in (3, 4):
        picture = luma(2, planes=given)
        assert float((engine(picture) - net(picture)).abs().max()) * 255 < 0.1


@torch.inference_mode()
def test_a_recurrent_network_one_frame_at_a_time(state: Any) -> None:
    net = RecurrentSR(8, 1, 2, 1).eval()
    network = Network(net, "memory", "", planes=net.in_planes, sequential=True)
    engine = TensorRtEngine(network, CPU, 1, "fp16", SIZE)
    planes = luma(2, planes=net.in_planes)
    assert float((engine(planes) - net(planes)).abs().max()) * 255 < 0.1
    assert len(state.streams) == 2


def test_only_plain_networks(state: Any) -> None:
    with pytest.raises(TypeError, match="expected a plain network, got EDSR"):
        TensorRtEngine(Network(EDSR(4, 1, 1), "edsr", ""), CPU, 1, "fp16", SIZE)


@torch.inference_mode()
def test_other_sizes_are_run_by_pytorch(
    network: Network, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_engine, "GraphEngine", TorchEngine)
    engine = TensorRtEngine(network, CPU, 1, "bf16", SIZE)
    tile = luma(2, (9, 11))
    assert worst_codes(engine(tile), network.net(tile)) < TOLERANCE_CODES["bf16"]
    assert (state.builds, state.streams) == (1, [])


# Plans that are kept.


def test_a_plan_is_built_once(network: Network, state: Any, tmp_path: Path) -> None:
    first = TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path)(luma())
    again = TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path)(luma())
    assert state.builds == 1
    assert torch.equal(first, again)
    (plan,) = tmp_path.iterdir()
    assert plan.name.startswith(f"{'ab' * 8}-24x16-fp16-")
    assert plan.suffix == ".plan"


@pytest.mark.parametrize(
    "change", ["weights", "sequence", "precision", "height", "width", "gpu", "compute", "driver", "version"]
)  # fmt: skip
def test_whatever_a_plan_depends_on_gives_it_another_name(
    change: str, network: Network, state: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path)
    before = plan_name(network, CPU, "fp16", SIZE)
    precision: Precision = "fp16"
    size, other = SIZE, network
    if change == "weights":
        # The same start, which the name shows: the rest counts too.
        other = replace(network, sha256="ab" * 31 + "cd")
    elif change == "sequence":
        other = replace(network, sequential=True)
    elif change == "precision":
        precision = "bf16"
    elif change in ("height", "width"):
        size = (SIZE[0] + 8 * (change == "height"), SIZE[1] + 8 * (change == "width"))
    elif change == "version":
        monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "11.4.0.107")
    else:
        card = replace(Card("Card 1", "9.0", "driver 550"), **{change: "another"})
        monkeypatch.setattr(tensorrt_plan, "card_of", lambda _: card)
    after = plan_name(other, CPU, precision, size)
    assert after[0] != before[0]
    assert after[1] != before[1]
    TensorRtEngine(other, CPU, 1, precision, size, tmp_path)
    assert state.builds == 2
    assert len(list(tmp_path.iterdir())) == 2


def _cut(content: bytes) -> bytes:
    return content[:-1]


def _turned(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def _foreign(content: bytes) -> bytes:
    return content.replace(b"Card 1", b"Card 2", 1)


def is_kept(network: Network, folder: Path) -> bool:
    name, line = plan_name(network, CPU, "fp16", SIZE)
    return tensorrt_plan.kept_plan(folder / name, line) is not None


@pytest.mark.parametrize("damage", [_cut, _turned, _foreign, lambda _: b"", lambda _: b"\n\n"])
@torch.inference_mode()
def test_a_damaged_or_foreign_plan_is_built_again(
    damage: Callable[[bytes], bytes], network: Network, state: Any, tmp_path: Path
) -> None:
    TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path)
    (plan,) = tmp_path.iterdir()
    plan.write_bytes(damage(plan.read_bytes()))
    assert not is_kept(network, tmp_path)
    engine = TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path)
    assert worst_codes(engine(luma()), network.net(luma())) < TOLERANCE_CODES["fp16"]
    assert state.builds == 2
    assert is_kept(network, tmp_path)


def test_a_plan_that_tensorrt_refuses_is_built_again(
    network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(monkeypatch, "11.4.0.105")
    TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path)
    state = installed(monkeypatch)
    # Under the name that the new one looks for.
    (plan,) = tmp_path.iterdir()
    name, line = plan_name(network, CPU, "fp16", SIZE)
    tensorrt_plan.keep_plan(tmp_path / name, line, plan.read_bytes().split(b"\n", 2)[2])
    assert is_kept(network, tmp_path)
    TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path)
    assert state.builds == 1


def test_a_plan_is_written_whole_or_not_at_all(
    network: Network, state: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    TensorRtEngine(network, CPU, 1, "fp16", SIZE, tmp_path / "file" / "plans")


# What can go wrong.


@pytest.mark.parametrize(
    ("version", "words"),
    [("10.0.1", "expected TensorRT 10.1 or newer, found 10.0.1"), ("8.6.1.post1", "found 8.6.1")],
)
def test_an_old_version_is_refused(
    version: str, words: str, network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(monkeypatch, version)
    with pytest.raises(RuntimeError, match=words):
        TensorRtEngine(network, CPU, 1, "fp16", SIZE)


def test_a_library_that_cannot_be_loaded(
    network: Network, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeError, match="TensorRT cannot be loaded"):
        TensorRtEngine(network, CPU, 1, "fp16", SIZE)


def test_a_build_that_fails_says_why(network: Network, state: Any) -> None:
    state.refuses_to_build = True
    with pytest.raises(
        RuntimeError,
        match=r"^TensorRT 11.4.0.106: no plan was built: no kernel fits this card$",
    ):
        TensorRtEngine(network, CPU, 1, "fp16", SIZE)


def test_no_card_for_the_library(
    network: Network, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(sys.modules["tensorrt"], "Runtime", nothing)
    with pytest.raises(RuntimeError, match="factory function returned nullptr: it does not say"):
        TensorRtEngine(network, CPU, 1, "fp16", SIZE)


def test_a_run_that_fails_is_no_picture(network: Network, state: Any) -> None:
    engine = TensorRtEngine(network, CPU, 1, "fp16", SIZE)
    state.refuses_to_run = True
    with pytest.raises(RuntimeError, match="TensorRT does not run"):
        engine(luma())


@torch.inference_mode()
def test_memory_that_ends_is_noticed_and_fewer_frames_tried(
    network: Network, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_engine, "GraphEngine", TorchEngine)
    state.memory_of_a_frame = 1 << 20
    engine = TensorRtEngine(network, CPU, 1, "fp16", SIZE)
    real, notes = torch.empty, []

    def scarce(*args: Any, **named: Any) -> torch.Tensor:
        if args and args[0] == 8 << 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*args, **named)

    monkeypatch.setattr(torch, "empty", scarce)
    out = Ladder(network, engine, CPU, 1, notes.append)(luma(8))
    assert worst_codes(out, network.net(luma(8))) < TOLERANCE_CODES["fp16"]
    assert notes == ["tiny: out of memory with 8 of 24x16; from now on 4 at a time"]


def test_tensorrt_says_out_of_memory_in_its_own_words() -> None:
    said = "Error Code 2: OutOfMemory (Requested size was 17179869184 bytes.)"
    assert out_of_memory(RuntimeError(f"TensorRT 11.4.0.106: no plan was built: {said}"))


# Whether it is taken.


def test_on_cuda_alone_and_where_installed(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = torch.device("cuda")
    monkeypatch.setattr(listed, "find_spec", lambda _: None)
    without = [b.name for b in candidates(network, cuda)]
    assert not any(name.startswith("tensorrt") for name in without)
    # Never loaded to find that out: there is nothing to load here.
    monkeypatch.setattr(listed, "find_spec", lambda name: name == "tensorrt" or None)
    found = [b.name for b in candidates(network, cuda)]
    assert [name for name in found if name not in without] == ["tensorrt-fp16", "tensorrt-bf16"]
    assert found[0] == without[0]
    assert not any(
        name.startswith("tensorrt") for name in (b.name for b in candidates(network, CPU))
    )
    whole = replace(network, residual=False)
    assert "tensorrt-bf16" not in [b.name for b in candidates(whole, cuda)]
    other = Network(EDSR(4, 1, 1), "edsr", "")
    assert not any(b.name.startswith("tensorrt") for b in candidates(other, cuda))


@pytest.fixture
def plans(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a machine that has PyTorch and TensorRT to choose from."""

    def able(network: Network, device: torch.device, plans: Path | None = None) -> list[BackEnd]:
        return [listed._tensorrt("fp16", plans), listed._torch("fp32")]

    monkeypatch.setattr(backends, "candidates", able)
    monkeypatch.setattr(backends.table, "read_rows", lambda _: ([], "the table"))
    return tmp_path / "plans"


def chosen(made: BackEnds, network: Network) -> str:
    made.engine(network, *SIZE)
    (choice,) = made.choices.values()
    return choice.name


def test_by_name_alone_whatever_is_kept(network: Network, state: Any, plans: Path) -> None:
    """A plan is made by trial: whether one is there must not decide what runs a network."""
    assert chosen(BackEnds(CPU, 1, plans=plans), network) == "torch-fp32"
    assert state.builds == 0
    for _ in range(2):
        made = BackEnds(CPU, 1, plans=plans, asked="tensorrt-fp16")
        assert chosen(made, network) == "tensorrt-fp16"
    assert len(list(plans.iterdir())) == 1
    assert state.builds == 1
    assert chosen(BackEnds(CPU, 1, plans=plans), network) == "torch-fp32"


def test_a_run_goes_on_with_its_own_plan_alone(network: Network, state: Any, plans: Path) -> None:
    made = BackEnds(CPU, 1, plans=plans, asked="tensorrt-fp16")
    made.engine(network, *SIZE)
    ((subject, choice),) = made.choices.items()
    (kept,) = plans.iterdir()
    assert choice.plan == hashlib.sha256(kept.read_bytes().split(b"\n", 2)[2]).hexdigest()

    def resumed(plan: str) -> BackEnds:
        return BackEnds(
            CPU, 1, plans=plans, kept={subject: choice.name}, kept_plans={subject: plan}
        )

    assert chosen(resumed(choice.plan), network) == "tensorrt-fp16"
    with pytest.raises(DeviceError, match="tensorrt-fp16 has another plan than the run began with"):
        resumed("0" * 64).engine(network, *SIZE)


def test_a_plan_that_others_could_have_written_is_not_read(
    network: Network, state: Any, plans: Path
) -> None:
    def built() -> int:
        before: int = state.builds
        chosen(BackEnds(CPU, 1, plans=plans, asked="tensorrt-fp16"), network)
        return state.builds - before

    assert built() == 1
    (kept,) = plans.iterdir()
    assert (plans.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)
    assert built() == 0
    kept.chmod(0o622)
    assert built() == 1
    assert built() == 0  # another file has taken its place
    plans.chmod(0o777)
    assert built() == 1
    assert built() == 1  # nothing is written there either
    plans.chmod(0o700)
    whole = plans.with_name("elsewhere")
    kept.rename(whole)
    kept.symlink_to(whole)
    assert built() == 1
    kept.unlink()
    os.mkfifo(kept, 0o600)  # would wait for ever
    assert built() == 1
    assert [p.name for p in plans.iterdir()] == [kept.name]


def test_asked_for_and_not_built_is_one_line(network: Network, state: Any, plans: Path) -> None:
    state.refuses_to_build = True
    kept = {"tiny 24x16": "tensorrt-fp16"}
    for made in (
        BackEnds(CPU, 1, plans=plans, asked="tensorrt-fp16"),
        BackEnds(CPU, 1, plans=plans, kept=kept),
    ):
        with pytest.raises(DeviceError) as caught:
            made.engine(network, *SIZE)
        assert str(caught.value) == (
            "--backend tensorrt-fp16: cannot run tiny 24x16 on cpu: TensorRT 11.4.0.106: no plan was built: no "
            "kernel fits this card; try --backend auto in a new run, or see 'restore doctor'"
        )


# The stand-in itself.


def compare_names(real: ModuleType) -> list[str]:
    """Public names of the stand-in that `real` lacks."""
    found = fake_tensorrt.module()
    lacking = []
    for name, part in vars(found).items():
        if name.startswith("_") or name == "state":
            continue
        theirs = getattr(real, name, None)
        names = [n for n in vars(part) if not n.startswith("_")]
        lacking += [f"{name}.{n}" for n in names if not hasattr(theirs, n)]
        if theirs is None:
            lacking.append(name)
    return lacking


def test_the_stand_in_has_no_name_that_the_library_lacks() -> None:
    real = pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    assert compare_names(real) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@torch.inference_mode()
def test_agrees_with_the_reference_on_cuda(
    precision: Precision, network: Network, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    device = torch.device("cuda")
    for _ in range(2):  # the second takes the kept plan
        engine = TensorRtEngine(network, device, 1, precision, SIZE, tmp_path)
        for count in (1, 7, LARGEST + 5):
            found = engine(luma(count).to(device))
            assert worst_codes(found, network.net(luma(count))) < TOLERANCE_CODES[precision]
