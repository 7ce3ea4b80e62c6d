"""The wheel, installed where nothing of the checkout can be seen, runs. Needs no network."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


def call(*command: str | Path, cwd: Path) -> str:
    """Standard output; fails the test with all that was said when the exit code is not 0."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    # Rich asks the environment for its width; a narrow guess would break the words looked for.
    environment |= {"COLUMNS": "200", "PIP_NO_INDEX": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, text=True, capture_output=True
    )
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit {done.returncode}\n{said}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="building a wheel offline needs the dev extra")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    call(*build, "-w", folder, ROOT, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an empty virtual environment that holds the wheel."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet", "--no-deps"]
    call(*pip, wheel, cwd=home)
    # The dependencies are lent by the environment that runs the tests: as a plain path entry, after the
    # wheel's own folder, so that .pth files (an editable install of the checkout) are not followed.
    own = Path(
        call(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home
        ).strip()
    )
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "lent.pth").write_text("\n".join(sorted(lent)) + "\n")
    return home / "bin"


def test_it_ships_pipelines_models_and_its_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, pattern in (("pipelines", "*.toml"), ("models", "*.*"), ("recipes", "*.toml")):
        wanted = {f"restore/_data/{folder}/{path.name}" for path in (ROOT / folder).glob(pattern)}
        assert wanted, f"{folder}/ is empty"
        assert wanted <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/")) for name in names)


def test_it_ships_a_compiled_back_end_where_there_is_a_compiler(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        there = "restore/nets/_winograd.so" in archive.namelist()
        assert "restore/nets/winograd.c" in archive.namelist()
    expected = platform.machine() == "x86_64" and any(map(shutil.which, ("cc", "gcc", "clang")))
    assert there == expected
    assert ("-none-any" in wheel.name) != expected


def test_its_files_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "from restore.resources import *; print(models_dir()); print(pipelines_dir()); print(recipes_dir())"
    for line in call(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(line).is_relative_to(installed.parent)
        assert not Path(line).is_relative_to(ROOT)


def test_its_commands_run_outside_the_repository(installed: Path, tmp_path: Path) -> None:
    restore = installed / "restore"
    stages = call(restore, "stages", cwd=tmp_path)
    for name in ("deblock", "align", "upscale", "preserve_color"):
        assert name in stages
    assert "film_x2_fast" in call(restore, "models", cwd=tmp_path)
    checked = call(restore, "check", "bw_film_x2", cwd=tmp_path)
    assert "no problems" in checked
    assert str(installed.parent) in checked.replace("\n", "")
    assert list(tmp_path.iterdir()) == []
