"""A stream that can no longer be written to drops what comes."""

import errno
import io
import os
from pathlib import Path

import pytest

from restore import outlets
from restore.outlets import Outlet, close_outlets


def test_a_reader_that_had_enough_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    outlet = Outlet(open(writing, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    outlet.write("a" * 100_000)
    outlet.flush()
    assert outlet.trouble is not None
    assert outlet.trouble.errno == errno.EPIPE
    assert outlet.write("more") == 4
    monkeypatch.setattr(outlets.sys, "stdout", outlet)
    assert close_outlets(0) == 0
    assert close_outlets(1) == 1
    outlet.close()


def test_lost_output_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    outlet = Outlet(open("/dev/full", "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    said = io.StringIO()
    monkeypatch.setattr(outlets.sys, "stdout", outlet)
    monkeypatch.setattr(outlets.sys, "stderr", said)
    outlet.write("text")
    assert close_outlets(0) == 2
    assert said.getvalue().startswith("error: standard output cannot be written: No space left on")
    outlet.close()


def test_what_can_be_written_is(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w", encoding="utf-8") as file:
        outlet = Outlet(file)
        outlet.write("text")
        outlet.flush()
        assert (outlet.trouble, outlet.encoding, outlet.isatty()) == (None, "utf-8", False)
    assert (tmp_path / "a").read_text() == "text"
