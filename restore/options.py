"""Base of everything a pipeline file or a recipe can set, and how its faults are worded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class Options(BaseModel):
    """One table of a TOML file. Unknown keys are errors, values never change, and the
    string under a field is its documentation (`restore stages` prints it)."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


Opts = TypeVar("Opts", bound=Options)


def check(model: type[Opts], table: dict[str, Any], where: str, problems: list[str]) -> Opts | None:
    """`table` as a `model`, or None with every fault appended to `problems` as
    '<where>: key: expected ..., got ...'."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        for item in error.errors():
            key = ".".join(map(str, item["loc"]))
            what = f"{_plain(item['msg'])}, got {item['input']!r}"
            if item["type"] == "extra_forbidden":
                what = f"unknown key{hint(key, model.model_fields)}"
            elif item["type"] == "missing":
                what = "required, but not given"
            problems.append(f"{where}: {key}: {what}" if key else f"{where}: {what}")
        return None


def hint(word: Any, known: Iterable[str]) -> str:
    """'; did you mean X?' for a near miss, else '; known: ...'."""
    names = sorted(known)
    close = difflib.get_close_matches(str(word), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


def _plain(message: str) -> str:
    """Pydantic's wording, turned into 'expected ...'."""
    for start in ("Input should be ", "Value error, "):
        message = message.removeprefix(start)
    return f"expected {message}" if message[:1].islower() or message[:1] == "'" else message
