"""The queues at the edges keep order, pass errors on, and stop when told."""

import threading
import weakref
from collections.abc import Iterator

import pytest

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
