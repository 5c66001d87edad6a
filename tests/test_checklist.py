"""docs/checklist: every line names tests that ask for what it says, or links to a difference that is stated.

A test asks for the codes and texts of a line if they stand in it, or in what it uses of its file: tables of cases,
fixtures, constants. What is quoted in a text, and letters that stand for a number, may be anything there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.clients.link import REPLY_NAMES

TESTS = Path(__file__).resolve().parent
DOCS = TESTS.parent / "docs"
PAGES = sorted((DOCS / "checklist").glob("*.md"))
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
LINK = re.compile(r"\]\(([^)#]+)(?:#([^)]+))?\)")
CODE = re.compile(rf"\b({'|'.join(map(str, REPLY_NAMES))})\b(?=,? \(?`)")
TEXT = re.compile(r"\b[345]\d\d:?,? \(?`([^`]+)`")
NAME_OF_A_CODE = re.compile(
    r"[A-Z]+(_[A-Z]+)*"
)  # clients/link.py knows them all, and every close is compared with them
ANYTHING = re.compile(r"'[^']*'|<<.*>>|<[^>]*>|\{.*\}|\.\.\.|\(?\b[A-Z]+\b\)?|\d+")


class Row(NamedTuple):
    """A line of a table: what RabbitMQ does, and where that is tested or how Leveret differs."""

    page: Path
    number: int
    says: str
    proof: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        """File and name."""
        return TEST.findall(self.proof)

    @property
    def differences(self) -> list[str]:
        """Anchors in compatibility.md."""
        return [anchor for target, anchor in LINK.findall(self.proof) if target.endswith("compatibility.md")]

    def __str__(self) -> str:
        return f"{self.page.name}:{self.number}"


def rows() -> Iterator[Row]:
    """Those of all tables, but their heads."""
    for page in PAGES:
        lines = page.read_text().splitlines()
        for number, line in enumerate(lines):
            head = number + 1 < len(lines) and lines[number + 1].startswith("|---")
            if line.startswith("| ") and not head:
                *says, proof = line.strip("|").split(" | ")
                yield Row(page, number + 1, " | ".join(says), proof)


ROWS = list(rows())


class Source:
    """A file of tests, by what is defined at the top of it."""

    def __init__(self, file: str) -> None:
        text = (TESTS / file).read_text()
        self._lines = text.splitlines()
        self._defined: dict[str, ast.stmt] = {}
        for node in ast.parse(text).body:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [node])
            self._defined |= {name: node for target in targets if (name := _name(target)) is not None}

    def has(self, test: str) -> bool:
        """Whether there is such a test."""
        return isinstance(self._defined.get(test), ast.FunctionDef)

    def of(self, test: str) -> str:
        """All that a test is made of, with texts that go over several lines in one."""
        found: dict[str, str] = {}
        left = [test]
        while left:
            name = left.pop()
            node = self._defined.get(name)
            if node is None or name in found:
                continue
            start = min(part.lineno for part in (node, *getattr(node, "decorator_list", [])))
            found[name] = "\n".join(self._lines[start - 1 : node.end_lineno])
            left += [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
            left += [each.arg for each in ast.walk(node) if isinstance(each, ast.arg)]
        text = re.sub(r"[\"']\s*f?[\"']", "", "\n".join(found.values()))
        return text.replace("\\", "")


def _name(target: ast.AST) -> str | None:
    return getattr(target, "id", None) or getattr(target, "name", None)


@cache
def source(file: str) -> Source:
    """A file of tests."""
    return Source(file)


@cache
def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def pieces(text: str) -> list[str]:
    """What of a text is always the same."""
    found = [piece.strip(" .:,") for piece in ANYTHING.split(text)]
    return [piece for piece in found if len(piece) > 3]


def test_every_line_names_a_test_or_a_difference() -> None:
    assert [str(row) for row in ROWS if not row.tests and not row.differences] == []


def test_the_tests_exist() -> None:
    assert [
        f"{row}: {file}::{name}"
        for row in ROWS
        for file, name in row.tests
        if not (TESTS / file).is_file() or not source(file).has(name)
    ] == []


def test_the_tests_ask_for_the_codes_and_texts_of_their_lines() -> None:
    missing = []
    for row in ROWS:
        if not row.tests:
            continue
        asked = "\n".join(source(file).of(name) for file, name in row.tests)
        wanted = [code for code in CODE.findall(row.says) if REPLY_NAMES.get(int(code), code) not in asked]
        for text in TEXT.findall(row.says):
            if not NAME_OF_A_CODE.fullmatch(text):
                wanted += pieces(text)
        missing += [f"{row}: {piece}" for piece in wanted if piece not in asked]
    assert missing == []


def test_links_lead_somewhere() -> None:
    assert [
        f"{page.name}: {target}#{anchor}"
        for page in PAGES
        for target, anchor in LINK.findall(page.read_text())
        if not (path := (page.parent / target).resolve()).is_file()
        or (anchor and path.suffix == ".md" and anchor not in anchors(path))
    ] == []
