"""The commands that the web UI offers to copy are as the command line has them, and the examples are there."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
from typer.core import TyperGroup

from leveret.api.ui import FOLDER
from leveret.node.cli import app
from tests.clients.programs import EXAMPLES

OFFERED = re.compile(r"(?:command|text)=\$?\{?[^>\"`]*[\"`]((?:leveret|python) [^\"`]*)[\"`]")


def offered() -> list[str]:
    """All of them, with a name in the place of what the page knows."""
    found = {text for path in (FOLDER / "js").rglob("*.js") for text in OFFERED.findall(path.read_text())}
    return sorted(re.sub(r"\$\{[\w.]*name\}", "orders", re.sub(r"\$\{option\}", "", text)) for text in found)


def test_there_are_some() -> None:
    assert len(offered()) >= 7


@pytest.mark.parametrize("text", offered())
def test_a_command_is_understood(text: str) -> None:
    program, *words = shlex.split(text)
    if program == "python":
        assert (EXAMPLES.parent / words[0]).is_file()
        return
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup):
        name, *words = words
        command = command.commands[name]
    command.make_context(text, words)
