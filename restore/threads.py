"""Bounded queues between the threads of a run: reading ahead and writing behind."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from restore.interrupts import interrupts

T = TypeVar("T")
_POLL_SECONDS = 0.1
_PATIENCE = 60.0
"""Seconds that a thread which is told to stop may take to finish what it is at: a batch of a slow network, a read from a
network drive. One that takes longer hangs, and is left behind."""
_LAST_PATIENCE = 0.5
"""The same once the process is about to end."""


def _joined(thread: threading.Thread) -> bool:
    """Wait for a thread that was told to stop. False: it is left behind, in the middle of what it is at."""
    began = time.monotonic()
    while thread.is_alive():
        patience = _LAST_PATIENCE if interrupts.stopping else _PATIENCE
        if time.monotonic() - began > patience:
            return False
        thread.join(_POLL_SECONDS)
    return True


class _End:
    """Marks the end of a stream, and what ended it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Ahead(Generic[T], Iterator[T]):
    """Iterates over `items` in a thread of its own, at most `size` items ahead (0: no bound).
    An exception there is raised here, in its place in the order. Close it to stop early: whoever waits for an item
    then, in any thread, is told that there are no more."""

    def __init__(self, items: Iterable[T], size: int, name: str) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(size)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), name=name, daemon=True)
        self._ended: _End | None = None
        self._thread.start()

    def _work(self, items: Iterable[T]) -> None:
        try:
            for item in items:
                if not self._put(item):
                    return
                del item  # it may be large, and the next takes long to make
            self._put(_End())
        except BaseException as error:
            self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def __next__(self) -> T:
        # Polling keeps the main thread open to Ctrl-C.
        while self._ended is None:
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if self._stop.is_set():
                    raise StopIteration from None
                continue
            if not isinstance(item, _End):
                return item
            self._ended = item
        if self._ended.error is not None:
            raise self._ended.error
        raise StopIteration

    def close(self) -> bool:
        """False: the thread hangs, and is left behind."""
        self._stop.set()
        return _joined(self._thread)


class Behind(Generic[T]):
    """Calls `consume` on what is put into it, in order, in a thread of its own, at most `size` items behind.
    An exception there is raised by the next `put` or by `finish`."""

    def __init__(self, consume: Callable[[T], None], size: int, name: str) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(size)
        self._consume = consume
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while not isinstance(item := self._queue.get(), _End) and not self._stop.is_set():
            try:
                self._consume(item)
            except BaseException as error:
                self._error = error
                return
            del item

    def put(self, item: T) -> None:
        self._put(item)

    def _put(self, item: T | _End) -> None:
        while True:
            if self._error is not None:
                raise self._error
            try:
                return self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue

    def finish(self) -> None:
        """Wait until everything put in is consumed."""
        self._put(_End())
        while self._thread.is_alive():  # a hang here is left by Ctrl-C
            self._thread.join(_POLL_SECONDS)
        if self._error is not None:
            raise self._error

    def close(self) -> bool:
        """Stop after the item at work; errors are dropped. False: the thread hangs, and is left behind."""
        self._stop.set()
        with suppress(queue.Full):  # else it wakes by itself
            self._queue.put_nowait(_End())
        return _joined(self._thread)
