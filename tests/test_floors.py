"""The floors of the code: who may import what, and that public names say what they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "leveret"
FLOORS = {
    "wire": 0,
    "core": 1,
    "session": 2,
    "store": 2,
    "auth": 2,
    "server": 3,
    "management": 3,
    "node": 4,
    "testing": 5,
}
FORBIDDEN = {
    "wire": {"asyncio", "time", "random", "threading", "os", "logging"},
    "core": {"asyncio", "time", "random", "threading", "os", "logging"},
    "session": {"asyncio", "time", "random", "threading", "os"},
    "store": {"asyncio"},
}
ALLOWED = {("core/broker.py", "random")}  # names from a seed
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)
IDS = [str(path.relative_to(PACKAGE)) for path in FILES]


def floor_of(path: Path) -> str:
    """The folder below the package."""
    return path.relative_to(PACKAGE).parts[0]


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            assert node.module is not None
            if node.module == "leveret":
                yield from (f"leveret.{alias.name}" for alias in node.names)
            else:
                yield node.module


def undocumented(path: Path) -> Iterator[str]:
    """Public modules, classes, functions and methods without a docstring."""
    tree = ast.parse(path.read_text())
    if ast.get_docstring(tree) is None:
        yield "the module"
    bodies: list[ast.Module | ast.ClassDef] = [tree]
    while bodies:
        for node in bodies.pop().body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if node.name.startswith("_"):
                    continue
                if ast.get_docstring(node) is None:
                    yield node.name
                if isinstance(node, ast.ClassDef):
                    bodies.append(node)


def test_every_folder_has_a_floor() -> None:
    assert {floor_of(path) for path in FILES} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_go_down(path: Path) -> None:
    own = floor_of(path)
    for module in imported(path):
        parts = module.split(".")
        if parts[0] == "leveret" and len(parts) > 1 and parts[1] in FLOORS and parts[1] != own:
            assert FLOORS[parts[1]] < FLOORS[own], f"{own} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_are_allowed(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    for module in imported(path):
        top = module.split(".")[0]
        if (name, top) not in ALLOWED:
            assert top not in FORBIDDEN.get(floor_of(path), set()), f"{name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_public_names_have_docstrings(path: Path) -> None:
    assert list(undocumented(path)) == []
