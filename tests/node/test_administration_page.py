"""docs/administration.md: every example on it is run, in order, and says what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.node.cli import app
from tests.brokers.process import Server
from tests.clients.command_line import leveret

PAGE = Path(__file__).parent.parent.parent / "docs" / "administration.md"
TABLE = PAGE.parent / "cli.md"


def examples() -> Iterator[tuple[str, list[str]]]:
    """Commands of the page, each with the lines that it prints."""
    command = ""
    lines: list[str] = []
    for line in [*PAGE.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("    $ "):
            if command:
                yield command, lines
            command, lines = line[6:], []
        elif line.startswith("    ") and command:
            lines.append(line[4:])
        elif command:
            yield command, lines
            command = ""


def words(lines: list[str]) -> list[list[str]]:
    """Lines whatever their spacing."""
    return sorted(line.split() for line in lines)


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_every_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    Path("wrong.json").write_text(found[1])
    server = Server.start()
    if state == "stopped":
        server.stop()
    try:
        for command, lines in examples():
            program, *arguments = shlex.split(command)
            assert program == "leveret"
            result = leveret(*arguments)
            assert words([*result.stdout.splitlines(), *result.stderr.splitlines()]) == words(lines), command
    finally:
        server.stop()


def test_every_command_is_on_a_page() -> None:
    text = PAGE.read_text(encoding="utf-8") + TABLE.read_text(encoding="utf-8")
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            assert command.callback is not None
            name = f"leveret {group.name} {command.name or command.callback.__name__}"
            assert name in text, name
    for command in app.registered_commands:
        assert command.callback is not None
        name = f"`leveret {command.name or command.callback.__name__}"
        assert command.hidden or name in TABLE.read_text(encoding="utf-8"), name
