"""The tests run on the build they are meant for, and compiled classes are of the kind that is safe."""

from __future__ import annotations

import ast
import gc
import importlib
import os
import pkgutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

import leveret
from leveret.session.base.errors import AmqpError
from leveret.wire import reader

COMPILED_FLOORS = ("wire", "core", "session", "store")
IS_COMPILED = not str(reader.__file__).endswith(".py")


def compiled_classes() -> Iterator[type]:
    """Every class of the compiled floors that mypyc made."""
    for module_info in pkgutil.walk_packages(leveret.__path__, "leveret."):
        if module_info.name.split(".")[1] in COMPILED_FLOORS:
            module = importlib.import_module(module_info.name)
            if str(module.__file__).endswith(".py"):
                continue
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == module_info.name:
                    if not issubclass(value, Exception):
                        yield value


@pytest.mark.skipif("LEVERET_EXPECT_BUILD" not in os.environ, reason="no build is asked for")
def test_build() -> None:
    found = "compiled" if IS_COMPILED else "interpreted"
    assert found == os.environ["LEVERET_EXPECT_BUILD"]


@pytest.mark.skipif(not IS_COMPILED, reason="about compiled classes")
def test_no_compiled_class_can_be_referenced_weakly() -> None:
    """mypyc counts the list of weak references as a reference of its own: collecting such an object crashes.

    It makes that list for classes with a base it has not compiled, ABC or Exception: have none, or native_class=False.
    """
    assert [found for found in compiled_classes() if found.__weakrefoffset__] == []


@pytest.mark.skipif(not IS_COMPILED, reason="about compiled classes")
def test_the_collector_knows_all_compiled_classes() -> None:
    """What is freed deep down goes to CPython's trashcan, which writes in front of the object, where the collector has
    its links, whether there are such or not (acyclic=True).
    """
    has_gc = 1 << 14
    with_content = [found for found in compiled_classes() if found.__basicsize__ > object.__basicsize__]
    assert [found for found in with_content if not found.__flags__ & has_gc] == []


def caught(function: ast.FunctionDef) -> dict[str, set[str]]:
    """Under which names a function catches what."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.ExceptHandler) and node.name and node.type is not None:
            found.setdefault(node.name, set()).add(ast.unparse(node.type))
    return found


@pytest.mark.parametrize("floor", COMPILED_FLOORS)
def test_a_name_for_an_exception_is_of_one_type(floor: str) -> None:
    """In compiled code a name has one type in a whole function: what does not fit raises TypeError in its place."""
    several = [
        f"{path.name}: {function.name}: {name}"
        for path in sorted(Path(leveret.__path__[0], floor).rglob("*.py"))
        if path.parent.name != "rescue"  # which is not compiled
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for name, types in caught(function).items()
        if len(types) > 1
    ]
    assert several == []


def test_exceptions_survive_weak_references() -> None:
    for _ in range(100):
        error = AmqpError(404, "text")
        reference = weakref.ref(error)
        gc.collect(0)  # it is that young
        del error
        assert reference() is None
