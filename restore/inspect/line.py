"""One line of what is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["fine", "note", "fault"]
"""fine: as it should be; note: good to know; fault: something is wrong with the picture or the file."""


@dataclass(frozen=True, slots=True)
class Line:
    topic: str
    found: str
    meaning: str
    state: State = "fine"
