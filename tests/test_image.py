"""The Dockerfile against the project it packs; docker/build-offline.sh builds and runs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def test_every_dependency_is_installed_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["openvino"]]
    names = {re.split(r"[<>=]", text)[0] for text in wanted}
    (line,) = re.findall(r"pip install -c constraints.txt hatchling \\\n\s+(.*)", DOCKERFILE)
    assert set(line.split()) == names
    pinned = (ROOT / "constraints.txt").read_text("utf-8")
    assert all(re.search(rf"^{re.escape(name)}==", pinned, re.MULTILINE) for name in names)


def test_what_is_copied_is_there_and_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = [
        name
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for name in sources.split()
    ]
    assert set(copied) == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_last_stage_has_no_rights_and_no_build_tools() -> None:
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER restore$", last, re.MULTILINE)
    assert 'HEALTHCHECK --interval=10m --timeout=60s CMD ["restore", "doctor"]' in last
    assert "pip install" not in last


def test_nothing_is_kept_where_others_can_write() -> None:
    """What lies in a cache is believed (restore.private): it is the user's home, or nowhere."""
    assert "/tmp" not in DOCKERFILE
    assert "XDG_" not in DOCKERFILE
