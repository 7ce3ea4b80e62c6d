"""What one signal does, in this process: the handlers' own steps, without installing them."""

import signal

import pytest

from restore.interrupts import Interrupts


class EndedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def interrupts(monkeypatch: pytest.MonkeyPatch) -> Interrupts:
    def end(_: Interrupts) -> None:
        raise EndedError

    monkeypatch.setattr(Interrupts, "end", end)
    return Interrupts()


def test_with_nothing_to_tidy_it_ends_at_once(interrupts: Interrupts) -> None:
    with pytest.raises(EndedError):
        interrupts._handle(signal.SIGTERM, None)
    assert interrupts.stopping


def test_work_is_interrupted_once(interrupts: Interrupts) -> None:
    tidied = []
    with pytest.raises(KeyboardInterrupt), interrupts.orderly(lambda: "nothing"):
        try:
            interrupts._handle(signal.SIGINT, None)
        finally:
            for _ in range(10):
                interrupts._handle(signal.SIGINT, None)
            tidied.append(True)
    assert tidied


def test_steps_that_belong_together_are_done_first(interrupts: Interrupts) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts.orderly(lambda: "nothing"):
        with interrupts.held():
            with interrupts.held():
                interrupts._handle(signal.SIGINT, None)
            done.append(True)
        done.append(False)
    assert done == [True]


def test_held_without_work_around_it_ends_behind_it(interrupts: Interrupts) -> None:
    done = []
    with pytest.raises(EndedError), interrupts.held():
        interrupts._handle(signal.SIGHUP, None)
        done.append(True)
    assert done


def test_an_error_among_steps_that_belong_together_is_kept(interrupts: Interrupts) -> None:
    with (
        pytest.raises(ValueError, match="broken"),
        interrupts.orderly(lambda: "nothing"),
        interrupts.held(),
    ):
        interrupts._handle(signal.SIGINT, None)
        raise ValueError("broken")
