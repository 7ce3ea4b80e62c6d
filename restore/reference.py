"""The settings of every stage and table, read from their classes: nothing is documented twice."""

from __future__ import annotations

import inspect
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from restore.options import Options, meaning
from restore.pipeline import TABLES
from restore.stage import find_stage, stage_names

REPAIRS = "A repair: for the stages behind it, what it makes is the source."
"""Said of stages that state it."""

Setting = tuple[str, str, str, str]
"""(name, default, allowed values, meaning)."""


def stage_reference(kind: str) -> tuple[str, list[Setting]]:
    """(what the stage does, its settings). KeyError for an unknown kind."""
    cls = find_stage(kind)
    module = inspect.getmodule(cls)
    text = (inspect.getdoc(module) or "").splitlines()[0]
    return f"{text} {REPAIRS}" if cls().repairs else text, settings_of(cls)


def settings_of(options: type[Options]) -> list[Setting]:
    meanings = meaning(options)
    return [
        (
            name,
            _shown(field.get_default(call_default_factory=True)),
            _allowed(field),
            meanings.get(name, ""),
        )
        for name, field in options.model_fields.items()
    ]


def stages_markdown() -> str:
    """docs/stages.md, whole."""
    lines = ["# Stages and tables of a pipeline file", ""]
    lines += ["Made by `restore stages --markdown`; a test compares the two.", ""]
    for kind in stage_names():
        text, settings = stage_reference(kind)
        lines += [f"## `{kind}`", "", text, "", *_rows(settings), ""]
    for table, options in TABLES.items():
        text = (inspect.getdoc(options) or "").splitlines()[0]
        lines += [f"## `[{table}]`", "", text, "", *_rows(settings_of(options)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _rows(settings: list[Setting]) -> list[str]:
    if not settings:
        return ["No settings."]
    cells = [tuple(c.replace("|", "\\|") for c in s) for s in settings]
    return [
        "| setting | default | allowed | meaning |",
        "|---|---|---|---|",
        *(f"| `{n}` | `{d}` | {a} | {m} |" for n, d, a, m in cells),
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(str, get_args(field.annotation)))
    if get_origin(field.annotation) in (Union, UnionType):
        ways = (_allowed(FieldInfo.from_annotation(a)) for a in get_args(field.annotation))
        return ", ".join(ways)
    if field.annotation is bool:
        return "true, false"
    signs = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
    limits = [
        f"{sign} {getattr(item, name)}"
        for item in field.metadata
        for name, sign in signs
        if getattr(item, name, None) is not None
    ]
    names = {str: "text", int: "whole number", float: "number"}
    kind = next((text for cls, text in names.items() if field.annotation is cls), "table")
    return " ".join([kind, *limits])
