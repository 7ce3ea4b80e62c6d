"""Imports point one way: a module may import only from layers below its own (DESIGN, layout).

Modules of one package may import each other without going in circles; stages may not, so that each can be
taken out. Some libraries have one home: there, and nowhere else, they may be replaced.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "restore"

LAYERS = [
    {"interrupts", "placing"},
    {"errors", "options", "allocation", "loading", "threads", "writing", "outlets"},
    {"machine"},
    {"resources", "color", "detectors", "faults", "private"},
    {"video"},
    {"planes"},
    {"rgb", "warping"},
    {"conform", "flow"},
    {"lucas_kanade", "flicker"},
    {"measures"},
    {"grid", "deblocking", "duplicates", "motion", "scenes"},
    {"neighbours"},
    {"nets"},
    {"blending", "stage"},
    {"mending"},
    {"io", "metrics", "stages", "conceal"},
    {"index", "windowing", "pipeline"},
    {"worker", "panels"},
    {"run"},
    {"sample", "train", "compare", "preview", "inspect", "reference", "doctor"},
    {"evaluate", "report"},
    {"progress"},
    {"cli"},
    {"__main__"},
]
"""Lowest first; a name stands for a module or for a whole package."""

HOMES = {
    "av": ("io",),
    "ray": ("run.cluster",),
    "typer": ("cli",),
    "click": ("cli",),
    "rich": ("cli", "progress"),
    "openvino": ("nets",),
    "tensorrt": ("nets",),
    "scenedetect": ("detectors",),
}
"""Library: the only modules or packages that may import it."""


# The stage contract looks its stages up by file name, so it must know where the folder is.
KNOWN_PACKAGE = {("stage", "stages")}


def modules() -> list[str]:
    """Dotted names below `restore`, packages by their own name; the package itself is ''."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "_data" not in path.parts:
            name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
            found.append(name.removesuffix("__init__").removesuffix("."))
    return found


def source(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(module: str) -> set[str]:
    """Dotted names that `module` imports anywhere in its file, type checking included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source(module).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"restore/{module}: relative import, line {node.lineno}"
            assert node.module is not None
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_module = name.removeprefix("restore.") in KNOWN
                found.add(name if is_module else node.module)
    return found


def own_imports(module: str) -> set[str]:
    """The imports of `module` from this package, without the leading 'restore.'."""
    names = {
        name.removeprefix("restore.") for name in imports(module) if name.startswith("restore.")
    }
    return {name for name in names if (module, name) not in KNOWN_PACKAGE}


def layer(module: str) -> int:
    top = module.split(".")[0]
    for number, names in enumerate(LAYERS):
        if top in names:
            return number
    raise AssertionError(f"restore/{module}: no layer is set for {top!r}; add it to LAYERS")


def within(module: str, homes: tuple[str, ...]) -> bool:
    return any(module == home or module.startswith(f"{home}.") for home in homes)


def may_print(module: str) -> bool:
    """The command line, and what `python -m` runs."""
    return within(module, ("cli", "outlets", "progress")) or module.endswith("__main__")


KNOWN = frozenset(modules())


@pytest.mark.parametrize("module", [m for m in modules() if m])
def test_imports_point_one_way(module: str) -> None:
    for other in own_imports(module):
        same_package = other.split(".")[0] == module.split(".")[0]
        if same_package and not module.startswith("stages."):
            continue
        assert layer(other) < layer(module), f"restore/{module} imports {other}, which lies above"


@pytest.mark.parametrize("module", [m for m in modules() if m])
def test_libraries_stay_at_home(module: str) -> None:
    for name in imports(module):
        homes = HOMES.get(name.split(".")[0])
        if homes is not None:
            assert within(module, homes), f"restore/{module} imports {name}; only {homes} may"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: own_imports(module) for module in modules() if module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' -> '.join(error.args[1])}")


def test_the_package_itself_imports_nothing() -> None:
    assert imports("") <= {"__future__"}


@pytest.mark.parametrize("module", [m for m in modules() if m and not may_print(m)])
def test_only_the_command_line_prints(module: str) -> None:
    for node in ast.walk(ast.parse(source(module).read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"restore/{module}: print, line {node.lineno}"
        if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr"):
            is_stream = isinstance(node.value, ast.Name) and node.value.id == "sys"
            assert not is_stream, f"restore/{module}: sys.{node.attr}, line {node.lineno}"


@pytest.mark.parametrize("module", [m for m in modules() if m])
def test_nothing_calls_home(module: str) -> None:
    """OpenVINO's model converter reports its use over the network unless told not to; the runtime does not."""
    for node in ast.walk(ast.parse(source(module).read_text("utf-8"))):
        name = getattr(node, "attr", getattr(node, "name", ""))
        assert name != "convert_model", f"restore/{module}: convert_model, line {node.lineno}"
    assert not any(name.startswith("openvino.tools") for name in imports(module))
