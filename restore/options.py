"""Base of everything a pipeline file or a recipe can set, and how its faults are worded."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
import tomllib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

MAX_BYTES = 1 << 20
"""Of a TOML file: what is larger was not written by hand."""


_SHOWN = 200
"""Characters of a value that a message shows."""


class Options(BaseModel):
    """One table of a TOML file. Unknown keys are errors, values never change, and the
    string under a field is its documentation (`meaning`; `restore stages` prints it)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_as_text(cls, given: Any) -> Any:
        """A number where text is expected is the text: `preset = 10`, `frame_rate = 16`."""
        if not isinstance(given, dict):
            return given
        fields = cls.model_fields
        return {
            key: _as_text(value) if key in fields and _wants_text(fields[key].annotation) else value
            for key, value in given.items()
        }


Opts = TypeVar("Opts", bound=Options)


def _wants_text(annotation: Any) -> bool:
    return annotation in (str, str | None, dict[str, str])


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The tables of the TOML file `path`. Raises ValueError, its text for the user: it cannot be read, or is not `what`,
    such as 'a pipeline file'."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES or b"\0" in content:
            raise ValueError(
                f"not valid TOML: expected {what}, found a file that is not text, or longer than 1 MiB"
            )
        return parse_toml(content.decode("utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not valid TOML: expected UTF-8, {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of TOML `text`. Raises ValueError, its text for the user, whatever is in it."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not valid TOML: {error}") from error
    except ValueError as error:  # Python converts no whole number of thousands of digits
        raise ValueError("not valid TOML: a number is too long") from error
    except RecursionError as error:
        raise ValueError(
            "not valid TOML: its lists or tables lie too deep in each other"
        ) from error


def meaning(model: type[Options]) -> dict[str, str]:
    """By field, the string under it in the source, as one line; fields without one are left out. Pydantic can read
    them too, but does so for every class as it is made, which costs every command a tenth of a second."""
    found = {}
    for cls in reversed(model.__mro__):
        if not issubclass(cls, Options):
            continue
        definition = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(definition, ast.ClassDef)
        for field, text in pairwise(definition.body):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ) if name in model.model_fields:
                    found[name] = " ".join(words.split())
    return found


def check(model: type[Opts], table: dict[str, Any], where: str, problems: list[str]) -> Opts | None:
    """`table` as a `model`, or None with every fault appended to `problems` as
    '<where>: key: expected ..., got ...'."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        for item in error.errors():
            key = ".".join(map(str, item["loc"]))
            what = f"{_plain(item['msg'])}, got {short(item['input'])}"
            if item["type"] == "extra_forbidden":
                what = f"unknown key{hint(key, model.model_fields)}"
            elif item["type"] == "missing":
                what = "required, but not given"
            elif item["type"] == "string_pattern_mismatch":
                about = meaning(model).get(str(item["loc"][0]), item["ctx"]["pattern"])
                what = f"expected what fits ({about}), got {short(item['input'])}"
            problems.append(f"{where}: {key}: {what}" if key else f"{where}: {what}")
        return None


def short(value: Any) -> str:
    """`value` as a message shows it: no more of it than a reader can use."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


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
