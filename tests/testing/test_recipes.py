"""The recipes work as they stand: the files of each page are a project of its own, whose tests pass.

A code block is a file if its first line is a comment with its name, or if the name follows the language: what cannot
have a comment, such as JSON. Python that is shown has to be a file; other blocks without a name are only read.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "docs" / "testing" / "recipes"
PAGES = sorted(path.stem for path in RECIPES.glob("*.md") if path.stem != "README")
BLOCK = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w./-]+\.\w+)\n")

PYTEST = ["pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "--timeout=30"]
COMMANDS = {
    "unittest": [["unittest"]],
    "django": [PYTEST, ["django", "test", "--settings=settings"]],
}
NEEDS = {"django": ["django", "pytest_django"]}  # what is not among the requirements of these tests
PASSED = re.compile(r"^(?:(\d+) passed in .*|Ran (\d+) tests? in .*\n\nOK)$", re.MULTILINE)  # and nothing else

DEADLINE_S = 60.0


def files(page: str) -> dict[str, str]:
    """The files of a page by their names."""
    found: dict[str, str] = {}
    for language, name, content in BLOCK.findall((RECIPES / f"{page}.md").read_text()):
        first = NAME.match(content)
        name = name or (first[1] if first else "")
        assert name or language != "python", f"{page}.md has Python that is not in a file:\n{content}"
        assert name not in found, f"{page}.md has two files {name}"
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


@pytest.mark.parametrize("page", PAGES)
def test_recipe(page: str, tmp_path: Path) -> None:
    tests = 0
    for name, content in files(page).items():
        if name.endswith(".py"):
            compile(content, f"{page}.md: {name}", "exec")
            tests += len(re.findall(r"^ *(?:async )?def test_", content, re.MULTILINE))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    missing = [module for module in NEEDS.get(page, []) if find_spec(module) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    passed = sum(run(tmp_path, command) for command in COMMANDS.get(page, [PYTEST]))
    assert passed >= tests > 0


def test_every_page_is_in_the_index() -> None:
    linked = re.findall(r"\]\(([\w-]+)\.md\)", (RECIPES / "README.md").read_text())
    assert sorted(linked) == PAGES
