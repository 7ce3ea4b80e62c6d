"""The choice of a back end: asked for, kept, or the fastest by the table of those that give the picture; never by a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from restore.errors import DeviceError
from restore.nets import backends, table
from restore.nets.backends import BackEnds, frames_together
from restore.nets.candidates import BackEnd, candidates
from restore.nets.engine import Engine, Network, Precision, TorchEngine
from restore.nets.plain import PlainSR
from restore.nets.table import Row
from restore.nets.trial import trial, trial_picture

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(PlainSR(8, 1, 2).eval(), "tiny", "ab" * 32)


def fake(
    name: str,
    spoil: Callable[[Tensor], Tensor] = lambda x: x,
    precision: Precision = "fp32",
    slow_start: bool = False,
) -> BackEnd:
    """float32 that spoils its result."""

    def build(network: Network, device: torch.device, threads: int, _: object) -> Engine:
        engine = TorchEngine(network, device, threads)
        return lambda given: spoil(engine(given))

    return BackEnd(name, precision, build, slow_start)


def refusing(error: BaseException) -> Callable[[Tensor], Tensor]:
    def refuse(_: Tensor) -> Tensor:
        raise error

    return refuse


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """machine(back_ends..., times={name: milliseconds}): what there is to choose from, and the table's only row."""

    def make(*able: BackEnd, times: dict[str, float] | None = None) -> None:
        rows = []
        if times:
            rows = [
                Row(
                    machine="here", network="plain 8x1", weights=1000, width=24, height=16,
                    milliseconds=times, how="invented",
                )
            ]  # fmt: skip
        monkeypatch.setattr(backends, "candidates", lambda *_: list(able))
        monkeypatch.setattr(table, "read_rows", lambda _: (rows, "the table"))

    return make


def chosen(made: BackEnds, network: Network) -> str:
    """All that is said of the choice."""
    made.engine(network, 16, 24)
    return str(made.choices["tiny 24x16"])


def test_the_fastest_by_the_table_is_taken(network: Network, machine: Callable[..., None]) -> None:
    times = {"slow": 40.0, "quick": 10.0, "not here": 1.0}
    machine(fake("slow"), fake("quick"), fake("unknown"), times=times)
    assert chosen(BackEnds(CPU, 1), network) == (
        "quick, fastest by the table (plain 8x1 at 24x16 on here): slow 40.0 ms, quick 10.0 ms"
    )


def test_without_a_row_the_first_of_the_list_is_taken(
    network: Network, machine: Callable[..., None]
) -> None:
    machine(fake("slow to begin", slow_start=True), fake("usual"), fake("other"))
    assert chosen(BackEnds(CPU, 1), network) == "usual, first of the list"


@pytest.mark.parametrize(
    ("spoil", "precision", "said"),
    [
        (lambda x: x + 0.01, "fp32", "is 2.5 codes off"),
        (lambda x: x * float("nan"), "fp32", "is nan codes off"),
        (lambda x: x + 0.002, "bf16", "is 0.51 codes off"),
        (refusing(RuntimeError("no kernel image\nmore")), "fp32", "does not start (no kernel image)"),
    ],
)  # fmt: skip
def test_what_does_not_give_the_picture_gives_way_and_it_is_said(
    spoil: Callable[[Tensor], Tensor],
    precision: Precision,
    said: str,
    network: Network,
    machine: Callable[..., None],
) -> None:
    machine(fake("quick", spoil, precision), fake("right"), times={"quick": 1.0, "right": 9.0})
    assert f"right, fastest by the table (plain 8x1 at 24x16 on here); quick {said}: " in chosen(
        BackEnds(CPU, 1), network
    )


def test_what_is_only_rounded_is_taken(network: Network, machine: Callable[..., None]) -> None:
    machine(fake("half", lambda x: x + 0.0005, "bf16"), fake("right"))
    assert chosen(BackEnds(CPU, 1), network) == "half, first of the list"


@pytest.mark.parametrize(("noise", "taken"), [(0.05, True), (0.3, False)])
def test_whole_numbers_are_taken_where_they_cost_little(
    noise: float, taken: bool, network: Network
) -> None:
    def spoil(x: Tensor) -> Tensor:
        grain = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        return x + noise * x.square().mean().sqrt() * grain

    engine, why = trial(fake("whole", spoil, "int8"), network, CPU, 1, (16, 24))
    assert (engine is not None) == taken
    assert why.startswith("costs ") or taken


def test_where_nothing_gives_the_picture_float32_by_pytorch_runs(
    network: Network, machine: Callable[..., None]
) -> None:
    machine(fake("wrong", lambda x: x + 1), fake("torch-fp32", lambda x: x * 2))
    assert chosen(BackEnds(CPU, 1), network).startswith(
        "torch-fp32, none gives its picture; wrong is "
    )


@pytest.mark.parametrize("asked", ["auto", "quick"])
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_a_shortage_changes_no_choice(
    error: BaseException, asked: str, network: Network, machine: Callable[..., None]
) -> None:
    """Another back end would give another picture: it is told, and the same command goes on later."""

    def build(*_: object) -> Engine:
        raise error

    machine(BackEnd("quick", "fp32", build), fake("right"), times={"quick": 1.0, "right": 9.0})
    with pytest.raises(DeviceError, match="tiny 24x16: not enough memory to begin; close other"):
        BackEnds(CPU, 1, asked=asked).engine(network, 16, 24)


def test_no_clock_is_asked(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> float:
        raise AssertionError("a clock was asked")

    for name in ("perf_counter", "monotonic", "process_time", "thread_time"):
        monkeypatch.setattr(time, name, refuse)
    able = [b.name for b in candidates(network, CPU)]
    said = {chosen(BackEnds(CPU, threads), network) for threads in (1, 2, 4)}
    assert len(said) == 1
    assert said.pop().split(",")[0] in able


@pytest.mark.parametrize("residual", [True, False])
def test_whole_numbers_are_never_first_nor_for_whole_pictures(residual: bool) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    network = Network(PlainSR(8, 1, 2), "", "", residual)
    names = [b.name for b in candidates(network, CPU)]
    assert ("openvino-int8" in names[1:]) == residual
    assert names[0] != "openvino-int8"


def test_asked_for_and_kept(network: Network) -> None:
    assert chosen(BackEnds(CPU, 1, asked="torch-fp32"), network) == "torch-fp32, asked for"
    # A resumed run goes on as it began, whatever is asked for.
    kept = {"tiny 24x16": "torch-fp32"}
    resumed = BackEnds(CPU, 1, asked="no such thing", kept=kept)
    assert chosen(resumed, network) == "torch-fp32, as the run began"


def test_asked_for_and_not_here(network: Network) -> None:
    with pytest.raises(DeviceError) as caught:
        BackEnds(CPU, 1, asked="tensorrt").engine(network, 16, 24)
    text = str(caught.value)
    assert text.startswith(
        "--backend tensorrt: cannot run tiny 24x16 on cpu, asked for; expected one of "
    )
    assert "torch-fp32" in text


def test_asked_for_and_does_not_start(network: Network, machine: Callable[..., None]) -> None:
    def build(*_: object) -> Engine:
        raise RuntimeError("no such device\nmore")

    machine(BackEnd("quick", "fp32", build), fake("right"))
    with pytest.raises(
        DeviceError, match="--backend quick: cannot run tiny 24x16 on cpu: no such device; try"
    ):
        BackEnds(CPU, 1, asked="quick").engine(network, 16, 24)  # fmt: skip


def test_a_trial_picture_costs_little_whatever_the_network() -> None:
    large = Network(PlainSR(64, 16, 2), "large", "")
    assert tuple(trial_picture(large, CPU, (1080, 1920)).shape[-2:]) < (100, 100)
    small = Network(PlainSR(4, 1, 2), "small", "", planes=2)
    assert trial_picture(small, CPU, (20, 30)).shape == (1, 2, 20, 30)


@pytest.mark.parametrize(
    ("gib", "channels", "size", "wanted"),
    [
        # A quarter of the memory over 12 bytes a sample and channel.
        (80, 32, (288, 352), 16),
        (8, 64, (1080, 1920), 1),
        (8, 64, (576, 720), 6),
        (2, 64, (2160, 3840), 1),
    ],
)
def test_frames_at_a_time_depend_on_the_card_alone(
    gib: int,
    channels: int,
    size: tuple[int, int],
    wanted: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = SimpleNamespace(total_memory=gib << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: pytest.fail("what others left"))
    net = Network(PlainSR(channels, 1, 2), "", "")
    cuda = torch.device("cuda", 0)
    assert frames_together(net, cuda, *size) == wanted
    assert frames_together(Network(net.net, "", "", sequential=True), cuda, *size) == 1
    assert frames_together(net, CPU, *size) is None
