"""What every command shows on a terminal of 80 columns: its help, and how it answers to what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from leveret.node.cli import app
from tests.clients.command_line import WIDTH, Result, leveret, process, uncoloured


def words_of(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of a command, and of all below it."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from words_of(inner, *path, name)


COMMANDS = list(words_of(typer.main.get_command(app)))


def faults(result: Result, status: int, *expected: str) -> list[str]:
    """What is wrong with what was shown."""
    lines = uncoloured(result.shown).splitlines()
    found = [f"too long: {line}" for line in lines if len(line) > WIDTH]
    words = " ".join(" ".join(lines).replace("│", "").split())
    found += [f"not there: {text}" for text in expected if text not in words]
    if result.returncode != status:
        found.append(f"status {result.returncode}")
    if uncoloured(result.shown) == result.shown:
        found.append("no colours")
    return found


def test_the_help_of_every_command() -> None:
    assert ("users", "add") in COMMANDS
    assert {
        words: found
        for words in COMMANDS
        if (found := faults(leveret(*words, "--help"), 0, " ".join(("Usage: leveret", *words)), "--help"))
    } == {}


def test_an_option_that_no_command_has(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert {
        words: found
        for words in COMMANDS
        if (
            found := faults(
                leveret(*words, "--no-such-option", LEVERET_DATA_DIR=str(data)), 2, "No such option: --no-such-option"
            )
        )
    } == {}
    assert not data.exists()


@pytest.mark.parametrize(
    "arguments",
    [("serve", "--help"), ("users", "dlete", "x"), ("users", "add", "x"), ("check", "--data-dir", "/dev/null/x")],
    ids=" ".join,
)
def test_a_process_shows_the_same(arguments: tuple[str, ...]) -> None:
    assert process(*arguments) == leveret(*arguments)
