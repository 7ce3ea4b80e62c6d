"""The choice of a back end: asked for, kept, remembered or measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restore.errors import DeviceError
from restore.nets import backends
from restore.nets import candidates as listed
from restore.nets.backends import (
    BackEnds,
)
from restore.nets.candidates import BackEnd, candidates
from restore.nets.engine import Engine, Network, Precision, TorchEngine
from restore.nets.memo import recall, remember
from restore.nets.plain import PlainSR
from restore.nets.trial import TOGETHER, Trial, fastest, fastest_together, trial, trial_picture

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(PlainSR(8, 1, 2).eval(), "tiny", "ab" * 32)


class Clock:
    """Time that passes only in fake back ends."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def fake(
    name: str,
    milliseconds: float = 0.0,
    spoil: Callable[[Tensor], Tensor] = lambda x: x,
    precision: Precision = "fp32",
    clock: Clock | None = None,
) -> BackEnd:
    """float32 that takes this long on `clock`, and spoils its result."""

    def build(network: Network, device: torch.device, threads: int, _: object) -> Engine:
        engine = TorchEngine(network, device, threads)

        def run(given: Tensor) -> Tensor:
            if clock is not None:
                clock.now += milliseconds / 1000
            return spoil(engine(given))

        return run

    return BackEnd(name, precision, build)


def with_list(monkeypatch: pytest.MonkeyPatch, *able: BackEnd) -> None:
    monkeypatch.setattr(backends, "candidates", lambda *_: list(able))


def test_where_nothing_gives_the_picture_float32_by_pytorch_runs(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = fake("wrong", spoil=lambda x: x + 1)
    with_list(monkeypatch, wrong, fake("torch-fp32", spoil=lambda x: x * 2))
    made = BackEnds(CPU, 1, memo=tmp_path / "memo.json")
    made.engine(network, 16, 24)
    (choice,) = made.choices.values()
    assert str(choice) == "torch-fp32, none gives its picture when tried"


def test_without_a_memo_nothing_is_measured(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "trial", lambda *a: pytest.fail("measured"))
    made = BackEnds(CPU, 1)
    made.engine(network, 16, 24)
    (choice,) = made.choices.values()
    assert choice.name == candidates(network, CPU)[0].name
    assert list(made.choices) == ["tiny 24x16"]


def test_the_fastest_is_taken_and_remembered(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_list(monkeypatch, fake("slow"), fake("quick"))
    monkeypatch.setattr(backends, "trial", lambda *a: Trial({"slow": 40.0, "quick": 10.0}, []))
    memo = tmp_path / "cache" / "backends.json"
    made = BackEnds(CPU, 1, memo=memo)
    made.engine(network, 16, 24)
    choice = made.choices["tiny 24x16"]
    assert (choice.name, choice.why) == ("quick", "fastest, measured now")
    assert str(choice) == "quick, fastest, measured now: slow 40.0 ms, quick 10.0 ms"
    monkeypatch.setattr(backends, "trial", lambda *a: pytest.fail("measured again"))
    again = BackEnds(CPU, 1, memo=memo)
    again.engine(network, 16, 24)
    assert again.choices["tiny 24x16"].name == "quick"
    assert again.choices["tiny 24x16"].milliseconds == choice.milliseconds


def test_another_size_or_thread_count_is_measured_anew(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_list(monkeypatch, fake("only"))
    memo = tmp_path / "backends.json"
    for threads, width in ((1, 24), (2, 24), (1, 32)):
        made = BackEnds(CPU, threads, memo=memo)
        made.engine(network, 16, width)
        assert made.choices[f"tiny {width}x16"].why == "fastest, measured now"
    assert len(recall(memo)) == 3


def test_what_gives_another_picture_is_not_taken(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Tensor) -> Tensor:
        raise RuntimeError("no kernel image for this device")

    able = [
        fake("wrong", spoil=lambda x: x + 0.01),
        fake("broken", spoil=refuse),
        fake("nan", spoil=lambda x: x * float("nan")),
        fake("rounded", spoil=lambda x: x + 0.0005, precision="bf16"),
        fake("right"),
    ]
    found = trial(able, network, CPU, 1, (16, 24), Clock())
    assert list(found.milliseconds) == ["rounded", "right"]
    assert not found.untried


@pytest.mark.parametrize(("noise", "taken"), [(0.05, True), (0.5, False)])
def test_whole_numbers_are_taken_where_they_cost_little(
    noise: float, taken: bool, network: Network
) -> None:
    def spoil(x: Tensor) -> Tensor:
        grain = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        return x + noise * x.square().mean().sqrt() * grain

    able = [fake("exact"), fake("whole", spoil=spoil, precision="int8")]
    found = trial(able, network, CPU, 1, (16, 24), Clock())
    assert ("whole" in found.milliseconds) == taken


@pytest.mark.parametrize("residual", [True, False])
def test_whole_numbers_are_never_first_nor_for_whole_pictures(
    residual: bool, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    network = Network(PlainSR(8, 1, 2), "", "", residual)
    names = [b.name for b in candidates(network, CPU)]
    assert ("openvino-int8" in names[1:]) == residual
    assert names[0] != "openvino-int8"


def test_a_trial_takes_the_time_per_frame_and_ends_in_time(network: Network) -> None:
    clock = Clock()
    able = [fake(str(n), n, clock=clock) for n in (40, 20, 300, 10)]
    times = trial(able, network, CPU, 2, (16, 24), clock)
    # Four calls each: after the third, more than a second is over.
    assert times == ({"40": 20.0, "20": 10.0, "300": 150.0}, ["10"])


def test_what_begins_at_once_is_tried_first_and_listed_in_its_place(network: Network) -> None:
    clock = Clock()
    slow, ready = fake("slow", 2000, clock=clock), fake("ready", 20, clock=clock)
    able = [slow, replace(ready, ready=True), fake("last", 10, clock=clock)]
    assert trial(able, network, CPU, 1, (16, 24), clock) == (
        {"slow": 2000.0, "ready": 20.0},
        ["last"],
    )
    assert trial(able[1:], network, CPU, 1, (16, 24), clock) == (
        {"ready": 20.0, "last": 10.0},
        [],
    )


def test_a_trial_that_ran_out_of_time_goes_on_in_the_next_run(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_list(monkeypatch, fake("slow"), fake("quick"), fake("broken"))
    memo, asked = tmp_path / "m.json", []
    answers = [
        Trial({"slow": 40.0}, ["quick", "broken"]),
        Trial({"quick": 9.0}, ["broken"]),
        Trial({}, []),
    ]

    def some(able: list[BackEnd], *_: object) -> Trial:
        asked.append([b.name for b in able])
        return answers.pop(0)

    monkeypatch.setattr(backends, "trial", some)
    said = []
    for _ in range(4):
        made = BackEnds(CPU, 1, memo=memo)
        made.engine(network, 16, 24)
        said.append(str(made.choices["tiny 24x16"]))
    assert asked == [["slow", "quick", "broken"], ["quick", "broken"], ["broken"]]
    assert said == [
        "slow, fastest so far (quick, broken to be measured in a later run): slow 40.0 ms",
        "quick, fastest so far (broken to be measured in a later run): slow 40.0 ms, quick 9.0 ms",
        "quick, fastest, measured now: slow 40.0 ms, quick 9.0 ms",
        "quick, fastest when measured: slow 40.0 ms, quick 9.0 ms",
    ]


def test_a_small_lead_changes_nothing() -> None:
    assert fastest({"a": 10.0, "b": 9.0}) == "a"
    assert fastest({"a": 10.0, "b": 8.0}) == "b"
    assert fastest({"a": 10.0, "b": 8.0, "c": 7.5}) == "b"


def test_asked_for_and_kept(network: Network, tmp_path: Path) -> None:
    made = BackEnds(CPU, 1, asked="torch-fp32", memo=tmp_path / "m.json")
    made.engine(network, 16, 24)
    assert made.choices["tiny 24x16"].name == "torch-fp32"
    # A resumed run goes on as it began, whatever is asked for.
    kept = {"tiny 24x16": "torch-fp32"}
    resumed = BackEnds(CPU, 1, asked="auto", kept=kept, memo=tmp_path / "m.json")
    resumed.engine(network, 16, 24)
    assert str(resumed.choices["tiny 24x16"]) == "torch-fp32, as the run began"
    # No time is among what is remembered.
    assert not any(isinstance(entry, dict) for entry in recall(tmp_path / "m.json").values())


def test_asked_for_and_not_here(network: Network) -> None:
    with pytest.raises(DeviceError) as caught:
        BackEnds(CPU, 1, asked="tensorrt").engine(network, 16, 24)
    text = str(caught.value)
    assert text.startswith(
        "--backend tensorrt: cannot run tiny 24x16 on cpu, asked for; expected one of "
    )
    assert "torch-fp32" in text


def test_a_trial_picture_costs_little_whatever_the_network() -> None:
    large = Network(PlainSR(64, 16, 2), "large", "")
    assert tuple(trial_picture(large, CPU, (1080, 1920)).shape[-2:]) < (100, 100)
    small = Network(PlainSR(4, 1, 2), "small", "", planes=2)
    assert trial_picture(small, CPU, (20, 30)).shape == (1, 2, 20, 30)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 99, "measured": {"k": {}}}', '{"format": 1}']
)
def test_a_damaged_memo_is_as_if_there_were_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(content)
    assert recall(path) == {}
    remember(path, "k", {"name": "x"})
    assert recall(path) == {"k": {"name": "x"}}
    assert json.loads(path.read_text())["format"] == 1


def test_a_memo_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    remember(blocked / "m.json", "k", {"name": "x"})
    assert recall(blocked / "m.json") == {}


def test_what_openvino_can_do_is_asked_once(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where something else runs the network, OpenVINO need not even be imported."""
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    memo = tmp_path / "m.json"
    wanted = [b.name for b in candidates(network, CPU, memo)]
    monkeypatch.setattr(listed, "capabilities", lambda: pytest.fail("asked again"))
    assert [b.name for b in candidates(network, CPU, memo)] == wanted
    (key,) = recall(memo)
    remember(memo, key, {"damaged": True})
    monkeypatch.setattr(listed, "capabilities", lambda: frozenset({"FP32", "BF16"}))
    assert "openvino-bf16" in [b.name for b in candidates(network, CPU, memo)]


@pytest.mark.parametrize(
    ("each", "most", "wanted"),
    [
        # Seconds a frame at 1, 2, 4, 8, 16 at a time.
        ([0.010, 0.006, 0.004, 0.0039, 0.0039], 16, 4),  # more gain nothing
        ([0.010, 0.009, 0.008, 0.007, 0.006], 16, 16),
        ([0.010, 0.009, 0.008, 0.007, 0.006], 4, 4),  # no room for more
        ([0.004, 0.010, 0.010, 0.010, 0.010], 16, 1),
        ([0.600, 0.300, 0.200, 0.100, 0.001], 16, 1),  # time is over
        ([0.010, 0.009, 0.008, 0.007, 0.006], 0, 1),
    ],
)
def test_as_many_frames_at_a_time_as_is_worth_it(
    network: Network, each: list[float], most: int, wanted: int
) -> None:
    clock = Clock()

    def engine(given: Tensor) -> Tensor:
        if len(given) > most:
            raise RuntimeError("CUDA out of memory")
        clock.now += len(given) * each[TOGETHER.index(len(given))]
        return given

    assert fastest_together(engine, network, CPU, (16, 24), clock) == wanted


def test_frames_at_a_time_are_measured_once_and_kept_on_resume(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda, memo = torch.device("cuda", 0), tmp_path / "m.json"
    seen: list[int] = []

    def build(*_: object) -> Engine:
        def run(given: Tensor) -> Tensor:
            seen.append(len(given))
            return given.new_ones(len(given), 1, 2, 2)

        return run

    with_list(monkeypatch, BackEnd("only", "fp16", build))
    monkeypatch.setattr(backends, "trial", lambda *a: Trial({"only": 1.0}, []))
    monkeypatch.setattr(backends, "fastest_together", lambda *a: 4)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a card")
    monkeypatch.setattr(Tensor, "to", lambda self, *a, **k: self)
    made = BackEnds(cuda, 1, memo=memo)
    made.engine(network, 16, 24)(torch.ones(6, 1, 2, 2))
    assert seen == [4, 2]
    assert "; 4 frames at a time" in str(made.choices["tiny 24x16"])
    monkeypatch.setattr(backends, "fastest_together", lambda *a: pytest.fail("measured again"))
    again = BackEnds(cuda, 1, memo=memo)
    again.engine(network, 16, 24)
    assert again.choices["tiny 24x16"].together == 4
    resumed = BackEnds(
        cuda, 1, kept={"tiny 24x16": "only"}, kept_together={"tiny 24x16": 2}, memo=memo
    )
    resumed.engine(network, 16, 24)
    assert resumed.choices["tiny 24x16"].together == 2
    # A run from before this was measured goes on as it began.
    older = BackEnds(cuda, 1, kept={"tiny 24x16": "only"}, memo=memo)
    older.engine(network, 16, 24)
    assert older.choices["tiny 24x16"].together is None
    assert BackEnds(CPU, 1, memo=memo)._together("x", "only", build(), network, 16, 24) is None
