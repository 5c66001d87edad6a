"""The floors of the code: who may import what, and that public names say what they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tools.graph import PACKAGE, ROOMS, circles, files, folders, imports, rooms, trees

FLOORS = {
    "wire": 0,
    "core": 1,
    "session": 2,
    "store": 2,
    "auth": 2,
    "cluster": 3,
    "server": 3,
    "management": 3,
    "telemetry": 3,
    "api": 4,
    "node": 5,
    "testing": 6,
}
FORBIDDEN = {
    "wire": {"asyncio", "time", "random", "threading", "os", "logging"},
    "core": {"asyncio", "time", "random", "threading", "os", "logging"},
    "session": {"asyncio", "time", "random", "threading", "os"},
    "store": {"asyncio"},
}
MOST_IN_A_CIRCLE = 3
MOST_OUTSIDE = 12
ALLOWED = {("core/broker.py", "random")}  # names from a seed


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


def test_rooms_lead_to_none_that_leads_back() -> None:
    assert {room: circles(rooms(room)) for room in ROOMS} == {room: [] for room in ROOMS}


def test_few_files_know_each_other() -> None:
    assert [circle for room in ROOMS for circle in circles(files(room)) if len(circle) > MOST_IN_A_CIRCLE] == []


def test_the_core_has_few_files_outside_its_rooms() -> None:
    assert len(list((PACKAGE / "core").glob("*.py"))) <= MOST_OUTSIDE


def test_what_is_a_circle() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": set(), "f": {"f", "a"}, "g": {"elsewhere"}}
    assert circles(graph) == [["a", "b", "c"], ["f"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_public_names_have_docstrings() -> None:
    assert [f"{file}: {name}" for file, tree in trees().items() for name in undocumented(tree)] == []
