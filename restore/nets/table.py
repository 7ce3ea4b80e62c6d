"""How fast back ends run networks, by class of machine: measured once and written down, so that no clock decides a picture.

backends.json, beside this file, comes with the program. `restore doctor --measure` writes one of the user's own, for this machine,
into the user's configuration folder; where that has rows of this machine's class they count in place of the shipped ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from restore.errors import DeviceError
from restore.options import Options, check
from restore.private import config_dir, read_private, write_private

SHIPPED = Path(__file__).with_name("backends.json")
MOST_BYTES = 1 << 18

WORTH = 1.15
"""A back end must be this many times as fast as one before it on the list of candidates, which are in the order of their
exactness: less is not worth a bit of the picture."""

Short = Annotated[str, Field(min_length=1, max_length=100)]
Milliseconds = Annotated[float, Field(gt=0, lt=1e7, allow_inf_nan=False)]


class Row(Options):
    """One network at one size on one class of machine."""

    machine: Short
    """A level of restore.machine, or the name of a graphics card."""
    network: Short
    """For people."""
    weights: Annotated[int, Field(ge=1, le=10**12)]
    """Of the network: about its multiplications per sample."""
    width: Annotated[int, Field(ge=1, le=1 << 16)]
    height: Annotated[int, Field(ge=1, le=1 << 16)]
    """Of its input."""
    milliseconds: Annotated[dict[Short, Milliseconds], Field(min_length=1, max_length=100)]
    """A frame, by back end: processor time of one thread on a CPU, time of the clock on a card."""
    how: Annotated[str, Field(max_length=1000)]
    """Measured on what, or derived from what."""

    def __str__(self) -> str:
        """'plain 32x8 at 352x288 on amx'."""
        return f"{self.network} at {self.width}x{self.height} on {self.machine}"


class Table(Options):
    """All rows of a file."""

    format: Literal[1]
    made: Annotated[str, Field(max_length=2000)]
    """By what."""
    rows: Annotated[list[Row], Field(max_length=500)]


def user_table() -> Path:
    """Where the user's own is, if there is one."""
    return config_dir() / "backends.json"


def read_rows(machine: str) -> tuple[list[Row], str]:
    """Those of this class of machine: (the user's own, 'your table'), or (the shipped ones, 'the table'). DeviceError where the user's
    table cannot be used: a choice that silently is another one would change pictures."""
    path = user_table()
    try:
        content = read_private(path, MOST_BYTES)
    except FileNotFoundError:
        own = []
    except OSError as error:
        raise DeviceError(_unusable(path, error.strerror or str(error))) from None
    else:
        own = [row for row in _parsed(content, path).rows if row.machine == machine]
    if own:
        return own, "your table"
    return [row for row in _shipped().rows if row.machine == machine], "the table"


def write_rows(machine: str, rows: Sequence[Row], made: str) -> Path:
    """Put `rows` in the place of all that the user's table has of `machine`. DeviceError where it cannot be read or written."""
    path = user_table()
    try:
        kept = _parsed(read_private(path, MOST_BYTES), path).rows
    except FileNotFoundError:
        kept = []
    except OSError as error:
        raise DeviceError(_unusable(path, error.strerror or str(error))) from None
    table = Table(
        format=1, made=made, rows=[*(row for row in kept if row.machine != machine), *rows]
    )
    try:
        write_private(path, (table.model_dump_json(indent=1) + "\n").encode())
    except OSError as error:
        raise DeviceError(f"{path}: cannot be written: {error.strerror}") from None
    return path


@lru_cache(maxsize=1)
def _shipped() -> Table:
    return _parsed(SHIPPED.read_bytes(), SHIPPED)


def _parsed(content: bytes, path: Path) -> Table:
    try:
        table = json.loads(content)
    except RecursionError:
        raise DeviceError(_unusable(path, "nested too deep")) from None
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such
        raise DeviceError(_unusable(path, f"not JSON: {error}")) from None
    if not isinstance(table, dict):
        raise DeviceError(_unusable(path, f"expected a table, got {type(table).__name__}"))
    problems: list[str] = []
    found = check(Table, table, str(path), problems)
    if found is None:
        raise DeviceError(f"{problems[0][:300]}; {_ADVICE}")
    return found


_ADVICE = "delete it; 'restore doctor --measure' makes another"


def _unusable(path: Path, why: str) -> str:
    return f"{path}: cannot be used: {why}; {_ADVICE}"


def nearest(rows: Sequence[Row], weights: int, height: int, width: int) -> Row | None:
    """The row whose network and frame are most like these, both by their ratio; the first of several. None where there is no row."""

    def distance(row: Row) -> float:
        size = math.log(height * width / (row.height * row.width))
        return abs(math.log(weights / row.weights)) + abs(size)

    return min(rows, key=distance, default=None)


def order(names: Sequence[str], milliseconds: Mapping[str, float]) -> list[str]:
    """`names`, in the order of candidates, as they should be tried: the fastest first, but a later one before an earlier one only where
    it is so by WORTH. Those without a time come last."""
    left = [name for name in names if name in milliseconds]
    found: list[str] = []
    while left:
        best = left[0]
        for name in left[1:]:
            if milliseconds[name] * WORTH < milliseconds[best]:
                best = name
        found.append(best)
        left.remove(best)
    return [*found, *(name for name in names if name not in milliseconds)]
