"""The guide and the recipes work as they stand: the files of each page are a project of its own, whose tests pass.

A code block is a file if its first line is a comment with its name, or if the name follows the language: what cannot
have a comment, such as JSON. Python that is shown has to be a file; other blocks without a name are only read.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "testing"
RECIPES = GUIDE / "recipes"
PAGES = {path.stem: path for path in sorted(RECIPES.glob("*.md")) if path.stem != "README"}
FIRST_PAGES = {"guide": GUIDE / "README.md", "readme": GUIDE.parents[1] / "README.md"}
BLOCK = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w./-]+\.\w+)\n")

PYTEST = ["pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "--timeout=60"]
COMMANDS = {
    "unittest": [["unittest"]],
    "django": [PYTEST, ["django", "test", "--settings=settings"]],
}
PASSED = re.compile(r"^(?:(\d+) passed in .*|Ran (\d+) tests? in .*\n\nOK)$", re.MULTILINE)  # and nothing else

DEADLINE_S = 100.0


def files(page: Path) -> dict[str, str]:
    """The files of a page by their names."""
    found: dict[str, str] = {}
    for language, name, content in BLOCK.findall(page.read_text()):
        first = NAME.match(content)
        name = name or (first[1] if first else "")
        assert name or language != "python" or page.parent != RECIPES, f"Python that is not in a file:\n{content}"
        assert name not in found, f"two files {name}"
        if name:
            found[name] = content
    return found


def run(folder: Path, command: list[str]) -> int:
    """Run the tests there with a module of Python; all have to pass, without a warning. Returns: how many."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
    )
    passed = PASSED.search(done.stdout)
    assert done.returncode == 0, done.stdout
    assert passed, done.stdout
    return int(passed[1] or passed[2])


@pytest.mark.parametrize("page", [*PAGES, *FIRST_PAGES])
def test_recipe(page: str, tmp_path: Path) -> None:
    tests = 0
    for name, content in files((PAGES | FIRST_PAGES)[page]).items():
        if name.endswith(".py"):
            compile(content, f"{page}.md: {name}", "exec")
            tests += len(re.findall(r"^ *(?:async )?def test_", content, re.MULTILINE))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    passed = sum(run(tmp_path, command) for command in COMMANDS.get(page, [PYTEST]))
    assert passed >= tests > 0


def test_every_page_is_in_the_index() -> None:
    linked = re.findall(r"\]\(([\w-]+)\.md\)", (RECIPES / "README.md").read_text())
    assert sorted(linked) == list(PAGES)
