"""The table of how fast back ends are: the shipped one, the user's own, and which row counts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from restore.errors import DeviceError
from restore.nets import measure
from restore.nets.candidates import candidates
from restore.nets.engine import Network
from restore.nets.measure import measured_rows
from restore.nets.plain import PlainSR
from restore.nets.table import Row, nearest, order, read_rows, user_table, write_rows

LEVELS = ("avx2", "avx512", "vnni", "bf16", "amx")


def row(machine: str = "here", weights: int = 1000, size: str = "24x16", **times: float) -> Row:
    width, height = map(int, size.split("x"))
    return Row(
        machine=machine, network="plain", weights=weights, width=width, height=height,
        milliseconds=times or {"a": 1.0}, how="invented",
    )  # fmt: skip


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own table would be."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return user_table()


def test_a_small_lead_changes_nothing() -> None:
    assert order(["a", "b"], {"a": 10.0, "b": 9.0}) == ["a", "b"]
    assert order(["a", "b"], {"a": 10.0, "b": 8.0}) == ["b", "a"]
    assert order(["a", "b", "c", "d"], {"d": 9.0, "b": 8.0, "a": 10.0}) == ["b", "a", "d", "c"]


def test_the_row_most_like_the_network_and_the_frame_counts() -> None:
    small, large = row(size="352x288"), row(size="720x576")
    wide = row(weights=4000, size="352x288")
    rows = [small, large, wide]
    assert nearest(rows, 1100, 240, 320) is small
    assert nearest(rows, 900, 1080, 1920) is large
    assert nearest(rows, 10**6, 16, 16) is wide
    assert nearest([], 1000, 16, 16) is None


def test_the_shipped_table_has_every_level_and_only_what_there_is(own: Path) -> None:
    for level in LEVELS:
        rows, whose = read_rows(level)
        assert whose == "the table"
        assert {r.network for r in rows} == {"plain 32x8", "plain 64x8"}, level
        assert all(r.how.startswith(("measured", "derived")) for r in rows)
        # Each has what the choice is about, and what runs everywhere.
        assert all({"openvino-fp32", "torch-fp32"} < set(r.milliseconds) for r in rows)
    assert read_rows("a card that nobody measured") == ([], "the table")


def test_the_user_s_own_rows_count_where_they_are_of_this_machine(own: Path) -> None:
    assert write_rows("here", [row(b=2.0)], "a test") == own
    assert own.stat().st_mode & 0o777 == 0o600
    assert own.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in own.parent.iterdir()] == [own.name]
    assert read_rows("here") == ([row(b=2.0)], "your table")
    assert read_rows(LEVELS[0])[1] == "the table"
    write_rows("there", [row("there")], "a test")
    write_rows("here", [row(c=3.0)], "a test")
    assert read_rows("here")[0] == [row(c=3.0)]
    assert read_rows("there")[0] == [row("there")]


GOOD: dict[str, Any] = {
    "machine": "here", "network": "n", "weights": 1, "width": 1, "height": 1,
    "milliseconds": {"a": 1.0}, "how": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 40_000, "nested too deep"),
        (b"1" * 5000, "not JSON"),
        (b"[]", "expected a table, got list"),
        (b'{"format": 2, "made": "", "rows": []}', "format"),
        (b'{"format": 1, "made": "", "rows": {}}', "rows"),
        (b" " * (1 << 18) + b"{}", "larger than"),
        *(
            (json.dumps({"format": 1, "made": "", "rows": [{**GOOD, **wrong}]}).encode(), key)
            for key, wrong in {
                "weights": {"weights": "many"},
                "width": {"width": 0},
                "milliseconds": {"milliseconds": {"a": float("nan")}},
                "milliseconds.a": {"milliseconds": {"a": [1.0]}},
                "milliseconds.a ": {"milliseconds": {"a": -1.0}},
                "machine": {"machine": ["here"]},
                "more": {"more": 1},
            }.items()
        ),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_damaged_table_is_one_line(content: bytes, said: str, own: Path) -> None:
    own.parent.mkdir(mode=0o700, parents=True)
    own.write_bytes(content)
    own.chmod(0o600)
    for attempt in (lambda: read_rows("here"), lambda: write_rows("here", [row()], "")):
        with pytest.raises(DeviceError) as caught:
            attempt()
        text = str(caught.value)
        assert str(own) in text
        assert said.strip() in text
        assert text.endswith("; delete it; 'restore doctor --measure' makes another")
        assert len(text.splitlines()) == 1
    assert own.read_bytes() == content


def test_what_is_no_file_of_the_user_s_own_is_refused(own: Path, tmp_path: Path) -> None:
    write_rows("here", [row()], "")
    elsewhere = tmp_path / "elsewhere"
    own.rename(elsewhere)
    own.symlink_to(elsewhere)
    with pytest.raises(DeviceError, match="cannot be used: "):
        read_rows("here")
    own.unlink()
    os.mkfifo(own, 0o600)  # would wait for ever
    with pytest.raises(DeviceError, match="not a regular file"):
        read_rows("here")
    own.unlink()
    own.mkdir()
    with pytest.raises(DeviceError, match="Is a directory"):
        read_rows("here")
    own.rmdir()
    elsewhere.rename(own)
    own.chmod(0o666)
    with pytest.raises(DeviceError, match="others may write it"):
        read_rows("here")
    own.chmod(0o600)
    own.parent.chmod(0o777)
    with pytest.raises(DeviceError, match="others may write it"):
        read_rows("here")


def test_measuring_gives_rows_of_all_that_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**6))
    monkeypatch.setattr(measure, "FORMS", ((16, 1),))
    cpu, sizes = torch.device("cpu"), ((16, 24), (32, 24))
    rows = list(measured_rows(cpu, "a test", 0, sizes, lambda: next(ticks) / 1000))
    able = candidates(Network(PlainSR(16, 1, 2), "", ""), cpu)
    assert [(r.height, r.width) for r in rows] == list(sizes)
    for found in rows:
        # Each call lies between two looks at the clock.
        assert found.milliseconds == {b.name: 1.0 for b in able if not b.slow_start}
        assert found.network == "plain 16x1"
