"""docs/checklist: every line names tests that exist, or links to a difference that is stated."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
DOCS = TESTS.parent / "docs"
PAGES = sorted((DOCS / "checklist").glob("*.md"))
TEST = re.compile(r"`([\w/]+\.py)::(\w+)(?:\[[^`]*\])?`")
LINK = re.compile(r"\]\(([^)#]+)(?:#([^)]+))?\)")


def lines() -> list[tuple[Path, int, str]]:
    """All rows of all tables but their heads: page, line number, last cell."""
    found = []
    for path in PAGES:
        rows = path.read_text().splitlines()
        for number, row in enumerate(rows):
            head = number + 1 < len(rows) and rows[number + 1].startswith("|---")
            if row.startswith("| ") and not head:
                found.append((path, number + 1, row.strip("|").split(" | ")[-1]))
    return found


@cache
def functions(path: Path) -> set[str]:
    """The names of the tests in a file."""
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("page", "number", "cell"), [pytest.param(*row, id=f"{row[0].stem}-{row[1]}") for row in lines()]
)
def test_line(page: Path, number: int, cell: str) -> None:
    tests = TEST.findall(cell)
    links = [link for link in LINK.findall(cell) if link[0].endswith("compatibility.md")]
    assert tests or links, "neither a test nor a stated difference"
    for file, name in tests:
        assert (TESTS / file).is_file(), file
        assert name in functions(TESTS / file), f"{file}::{name}"
    for target, anchor in links:
        assert anchor in anchors((page.parent / target).resolve()), anchor


def test_links_between_pages() -> None:
    for page in PAGES:
        for target, _ in LINK.findall(page.read_text()):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"
