"""The queues at the edges keep order, pass errors on, and stop when told."""

import signal
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from restore import threads
from restore.interrupts import interrupts
from restore.threads import Ahead, Behind


def test_ahead_keeps_order_and_is_bounded() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(100):
            made = number
            yield number

    ahead = Ahead(items(), 3, "test")
    assert next(ahead) == 0
    assert list(ahead) == list(range(1, 100))
    other = Ahead(items(), 3, "test")
    assert next(other) == 0
    other.close()
    assert made <= 5


def test_ahead_raises_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    ahead = Ahead(items(), 0, "test")
    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            next(ahead)


def test_behind_consumes_in_order_in_another_thread() -> None:
    seen: list[tuple[int, int]] = []
    behind = Behind(lambda item: seen.append((item, threading.get_ident())), 2, "test")
    for item in range(50):
        behind.put(item)
    behind.finish()
    assert [item for item, _ in seen] == list(range(50))
    assert {thread for _, thread in seen}.isdisjoint({threading.get_ident()})


def test_behind_passes_the_error_on_and_does_not_hang() -> None:
    def fail(item: int) -> None:
        raise OSError("disk full")

    behind = Behind(fail, 1, "test")
    with pytest.raises(OSError, match="disk full"):
        for item in range(1000):
            behind.put(item)
    behind.close()


def test_who_waits_is_told_when_another_closes() -> None:
    let = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        let.wait()

    ahead = Ahead(items(), 1, "test")
    assert next(ahead) == 1
    closing = threading.Timer(0.2, lambda: (let.set(), ahead.close()))
    closing.start()
    assert list(ahead) == []
    closing.join()


class Frame:
    """Tells `gone` when no one holds it any more."""

    def __init__(self, gone: threading.Event) -> None:
        weakref.finalize(self, gone.set)


def test_ahead_keeps_nothing_that_was_taken_while_the_next_is_made() -> None:
    gone, found = threading.Event(), []

    def items() -> Iterator[Frame]:
        yield Frame(gone)
        found.append(gone.wait(5))

    ahead = Ahead(items(), 1, "test")
    next(ahead)
    assert next(ahead, None) is None
    assert found == [True]


def test_behind_keeps_nothing_that_was_consumed() -> None:
    gone = threading.Event()
    behind = Behind[Frame](lambda _: None, 1, "test")
    behind.put(Frame(gone))
    assert gone.wait(5)
    behind.finish()


class Consumer:
    """Hangs in its first item until it is let go."""

    def __init__(self) -> None:
        self.begun, self.let = threading.Event(), threading.Event()
        self.seen: list[int] = []

    def __call__(self, item: int) -> None:
        self.seen.append(item)
        self.begun.set()
        self.let.wait()


def test_a_thread_that_hangs_is_left_behind_once_the_process_is_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_LAST_PATIENCE", 0.1)
    monkeypatch.setattr(interrupts, "_seen", signal.SIGINT)
    let, consumer = threading.Event(), Consumer()

    def items() -> Iterator[int]:
        yield 1
        let.wait()

    ahead, behind = Ahead(items(), 1, "test"), Behind(consumer, 1, "test")
    assert next(ahead) == 1
    behind.put(1)
    consumer.begun.wait()
    behind.put(2)
    began = time.monotonic()
    assert not ahead.close()
    assert not behind.close()
    assert time.monotonic() - began < 5
    let.set()
    consumer.let.set()
    assert ahead.close()
    assert behind.close()
    assert consumer.seen == [1]


def test_a_thread_that_hangs_does_not_hide_an_error_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_PATIENCE", 0.1)
    consumer = Consumer()
    behind = Behind(consumer, 1, "test")
    behind.put(1)
    consumer.begun.wait()
    assert not behind.close()
    consumer.let.set()


def test_behind_drops_what_is_queued_when_it_is_closed() -> None:
    consumer = Consumer()
    behind = Behind(consumer, 3, "test")
    for item in range(3):
        behind.put(item)
    consumer.begun.wait()
    threading.Timer(0.2, consumer.let.set).start()
    assert behind.close()
    assert consumer.seen == [0]


def test_an_error_of_the_last_item_is_raised_by_finish() -> None:
    def fail(item: int) -> None:
        raise OSError("disk full")

    behind = Behind(fail, 4, "test")
    behind.put(1)
    with pytest.raises(OSError, match="disk full"):
        behind.finish()
