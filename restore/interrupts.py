"""Ctrl-C, a polite kill, a closed terminal: whatever the process is doing, it ends with code 130 and one line.

    else                it ends at once: there is nothing to tidy
    inside `orderly`    the main thread gets a KeyboardInterrupt, once, and _GRACE seconds to tidy
    inside `held`       the same, as soon as that is left

A thread watches from beside: it sees a signal also while the main thread is in native code, and ends the process where
the main thread does not come to its end in time. Further signals change nothing. The process leaves without winding
the interpreter down: threads that are in native code would be torn out of it, which C++ answers with an abort."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130
_GRACE = 5.0
"""Seconds between a signal and the end, at most."""
_POLL = 0.05
_WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "stopped by a request to end (SIGTERM)",
    signal.SIGHUP: "stopped: the terminal was closed",
}
_CLEAN_LINE = b"\r\x1b[K\x1b[?25h"
"""For a terminal: over what is left of a bar, with the cursor shown again."""


def _nothing() -> str:
    return "nothing was changed"


class Interrupts:
    """What the signals of this process do. There is one, `interrupts`, as there is one process."""

    def __init__(self) -> None:
        self._seen: signal.Signals | None = None
        self._orderly = self._held = self._lost = False
        self._kept: Callable[[], str] = _nothing
        self._ending = threading.Lock()
        self._main = threading.main_thread().ident

    def install(self) -> None:
        """From now on. A signal that is ignored, as by nohup, stays so; but a polite kill is always heard."""
        for number in _WORDS:
            ignored = signal.getsignal(number) is signal.SIG_IGN
            if number is signal.SIGTERM or not ignored:
                signal.signal(number, self._handle)
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reading,), name="signals", daemon=True).start()
        sys.unraisablehook = self._unraisable
        threading.excepthook = self._thread_failed

    @property
    def stopping(self) -> bool:
        """Whether a signal was seen: nothing is worth waiting for."""
        return self._seen is not None

    @contextmanager
    def orderly(self, kept: Callable[[], str]) -> Iterator[None]:
        """Around work that has something to tidy, or to keep: `kept` says what is there, and how to go on, at any time from
        now on."""
        self._kept, self._orderly = kept, True
        try:
            yield
        finally:
            self._orderly = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Around a few steps that belong together: a KeyboardInterrupt comes before or after them."""
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before
        if self._seen is not None and not before:
            if self._orderly:
                raise KeyboardInterrupt
            self.end()

    def end(self) -> NoReturn:
        """Say what is kept, and leave with 130. Only the first thread that comes here does."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WORDS)
        if not self._ending.acquire(blocking=False):
            # Another thread is at it. A disk or a terminal that hangs may hold it up.
            time.sleep(_GRACE)
            os._exit(INTERRUPTED)
        with suppress(Exception):
            words = _WORDS[self._seen or signal.SIGINT]
            line = f"{words}; {self._kept()}\n".encode("utf-8", "backslashreplace")
            os.write(2, (_CLEAN_LINE if os.isatty(2) else b"") + line)
        os._exit(INTERRUPTED)

    def leave(self, code: int) -> NoReturn:
        """The end of the process that nothing interrupted; what was printed has been flushed."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WORDS)
        if self.stopping:
            self.end()
        atexit._run_exitfuncs()
        os._exit(code)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """In the main thread, between two steps of Python."""
        if self._lost:
            self._lost = False
            raise KeyboardInterrupt
        if self._seen is not None:
            return
        self._seen = signal.Signals(number)
        if self._held:
            return
        if not self._orderly:
            self.end()
        raise KeyboardInterrupt

    def _watch(self, reading: int) -> None:
        """In a thread of its own."""
        number = signal.Signals(os.read(reading, 1)[0])
        ends = time.monotonic() + (_GRACE if self._orderly or self._held else 0.0)
        while time.monotonic() < ends:
            select.select([reading], [], [], _POLL)
            if self._lost and self._main is not None:
                signal.pthread_kill(self._main, number)
            time.sleep(_POLL)
        self._seen = self._seen or number
        self.end()

    def _unraisable(self, what: Any) -> None:
        """Python drops what is raised in a destructor or in a callback of native code, and says so."""
        if what.exc_type is KeyboardInterrupt:
            self._lost = True
        elif not self.stopping:
            sys.__unraisablehook__(what)

    def _thread_failed(self, what: Any) -> None:
        """What threads that are left behind run into is nobody's concern."""
        if not self.stopping:
            threading.__excepthook__(what)


interrupts = Interrupts()
