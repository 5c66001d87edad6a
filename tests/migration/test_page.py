"""docs/from-rabbitmq.md names every option of the command, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from leveret.node.cli import app
from leveret.node.cli.target import OPTIONS

PAGE = Path(__file__).parent.parent.parent / "docs" / "from-rabbitmq.md"


def test_every_option_is_on_the_page() -> None:
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009
    command = commands["migrate"]
    options = {name for each in command.params for name in each.opts if each.name not in OPTIONS}
    table = PAGE.read_text(encoding="utf-8").partition("## Options")[2].partition("## ")[0]
    told = set(re.findall(r"`(--[a-z-]+)", table))
    assert {name for name in options if name.startswith("--")} - told == {"--help"} & options
    assert told <= options
