"""What the documents say, held against the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import restore
from restore.cli import app
from restore.pipeline import read_pipeline

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*.md")])
FOLDERS = ("restore", "pipelines", "models", "recipes", "docs", "tests", "benchmarks", ".ci")
MADE_LATER = {"restore/_data"}
"""Only in a wheel."""


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """The argument lists of every line of a shell block that starts with `program`."""
    lines = [
        line for path in DOCUMENTS for b in blocks("sh", text_of(path)) for line in b.splitlines()
    ]
    words = [shlex.split(line, comments=True) for line in lines]
    return [w[1:] for w in words if w and w[0] == program]


def cli_commands() -> dict[str, Any]:
    """Click commands by name; typer may bring a Click of its own, so its classes are not named here."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


@pytest.mark.parametrize("arguments", commands("restore"), ids=" ".join)
def test_a_shown_command_exists_with_its_options(arguments: list[str]) -> None:
    command = cli_commands().get(arguments[0])
    assert command is not None, f"restore {arguments[0]}: no such command"
    # Only parsed: that the files are there is no part of it.
    command.make_context(arguments[0], [*arguments[1:]])


def test_the_readme_shows_every_command() -> None:
    assert {arguments[0] for arguments in commands("restore")} == set(cli_commands())


def test_no_help_has_words_in_brackets() -> None:
    """Rich takes them for markup and leaves them out."""
    for command in cli_commands().values():
        for text in [command.help, *(getattr(p, "help", None) for p in command.params)]:
            assert not re.search(r"(?<!\\)\[[a-z]+\]", text or ""), text


def test_the_readme_begins_with_the_two_commands() -> None:
    first = blocks("sh", text_of(ROOT / "README.md"))[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make run", "make test"]


@pytest.mark.parametrize("arguments", commands("make"), ids=" ".join)
def test_a_shown_make_target_exists(arguments: list[str]) -> None:
    assert re.search(rf"^{arguments[0]}:", text_of(ROOT / "Makefile"), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(ROOT.glob("pipelines/*.toml")), ids=lambda p: p.stem)
def test_a_shipped_pipeline_is_valid(path: Path) -> None:
    spec = read_pipeline(path)
    assert spec.stages
    for stage in spec.stages:
        stage.build().assets()


def test_the_pipeline_in_the_readme_is_valid(tmp_path: Path) -> None:
    (shown,) = blocks("toml", text_of(ROOT / "README.md"))
    path = tmp_path / "shown.toml"
    path.write_text(shown)
    kinds = [stage.kind for stage in read_pipeline(path).stages]
    shipped = read_pipeline(ROOT / "pipelines" / "bw_film_x2.toml")
    assert kinds == [stage.kind for stage in shipped.stages]


def test_the_changelog_has_this_version() -> None:
    newest = re.search(r"^## (\S+)", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == restore.__version__


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_only_files_that_exist_are_named(path: Path) -> None:
    text = text_of(path)
    links = [target for target in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in target]
    missing = [target for target in links if not (path.parent / target).exists()]
    for name in re.findall(r"`([\w./-]+)`", text):
        known = name.split("/")[0] in FOLDERS and "/" in name and name not in MADE_LATER
        if known and not (ROOT / name).exists():
            missing.append(name)
    assert not missing, f"{path.name} names what is not there: {', '.join(missing)}"
