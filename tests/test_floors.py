"""The floors of the code: who may import what, and that public names say what they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "leveret"
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

Graph: TypeAlias = Mapping[str, set[str]]


class Import(NamedTuple):
    """One import, wherever in a file. module: a module of ours, if what is imported is in one; else what is written."""

    file: PurePosixPath
    line: int
    module: str

    @property
    def folder(self) -> PurePosixPath:
        """Where the file is."""
        return self.file.parent

    @property
    def target(self) -> PurePosixPath | None:
        """What of ours is imported: a file, or a folder for its __init__.py."""
        first, *rest = self.module.split(".")
        return PurePosixPath(*rest) if first == PACKAGE.name and rest else None

    @property
    def target_folder(self) -> PurePosixPath | None:
        """The folder of what of ours is imported."""
        if self.target is None:
            return None
        return self.target if (PACKAGE / self.target).is_dir() else self.target.parent

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


@cache
def trees() -> dict[PurePosixPath, ast.Module]:
    """All files in the folders of the package, by their place in it."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)
    return {PurePosixPath(path.relative_to(PACKAGE).as_posix()): ast.parse(path.read_text()) for path in paths}


def is_module(name: str) -> bool:
    """Whether this is a module or a package of ours."""
    place = ROOT.joinpath(*name.split("."))
    return name.split(".")[0] == PACKAGE.name and (place.is_dir() or place.with_suffix(".py").exists())


def imports() -> Iterator[Import]:
    """All imports, those for types included."""
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                inside = [f"{module}.{alias.name}" for alias in node.names]
                names = [name if is_module(name) else module for name in inside]
            else:
                continue
            for name in dict.fromkeys(names):
                yield Import(file, node.lineno, name)


def folders(inside: str) -> dict[str, set[str]]:
    """Which folders inside a folder import from which others of these; what is deeper counts for the one it is in.

    inside: "" for the floors themselves. Files that are in the folder itself are in none of those inside it.
    """
    within = PurePosixPath(inside)

    def name(place: PurePosixPath | None) -> str | None:
        return place.relative_to(within).parts[0] if place and place != within and within in place.parents else None

    found: dict[str, set[str]] = {}
    for each in imports():
        own, other = name(each.folder), name(each.target_folder)
        if own is not None:
            targets = found.setdefault(own, set())
            if other is not None and other != own:
                targets.add(other)
    return found


def circles(graph: Graph) -> list[list[str]]:
    """All that lead to each other, by group."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            for target in graph.get(left.pop(), set()) - found:
                found.add(target)
                left.append(target)
        return found

    all_reached = {name: reached(name) for name in graph}
    groups = {
        frozenset(other for other in targets if name in all_reached.get(other, ()))
        for name, targets in all_reached.items()
        if name in targets
    }
    return sorted(sorted(group) for group in groups)


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public modules, classes, functions and methods without a docstring."""
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
    assert {file.parts[0] for file in trees()} == set(FLOORS)


def test_imports_are_absolute() -> None:
    assert [str(each) for each in imports() if each.module.startswith(".")] == []


def test_imports_go_down() -> None:
    assert [
        str(each)
        for each in imports()
        if each.target is not None
        and each.target.parts[0] in FLOORS
        and each.target.parts[0] != each.file.parts[0]
        and FLOORS[each.target.parts[0]] >= FLOORS[each.file.parts[0]]
    ] == []


def test_imports_are_allowed() -> None:
    assert [
        str(each)
        for each in imports()
        if (top := each.module.split(".")[0]) in FORBIDDEN.get(each.file.parts[0], ())
        and (each.file.as_posix(), top) not in ALLOWED
    ] == []


def test_floors_lead_to_none_that_leads_back() -> None:
    assert circles(folders("")) == []


def test_what_is_a_circle() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": set(), "f": {"f", "a"}, "g": {"elsewhere"}}
    assert circles(graph) == [["a", "b", "c"], ["f"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_public_names_have_docstrings() -> None:
    assert [f"{file}: {name}" for file, tree in trees().items() for name in undocumented(tree)] == []
