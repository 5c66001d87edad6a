"""Shared by several commands: the --argument option, and examples for help texts."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Argument = Annotated[
    list[str] | None,
    typer.Option("--argument", "-a", help="NAME=VALUE. A value that is not JSON is text. Repeatable."),
]


def examples(*commands: str) -> str:
    """Examples for the end of a help text. Rich needs a blank line between lines."""
    return "\n\n".join(["Examples:", *(f"$ leveret {command.replace('[', chr(92) + '[')}" for command in commands)])


def arguments_of(given: list[str] | None) -> dict[str, Any]:
    """Parse --argument options into a table."""
    return {name: _value(value) for name, value in map(pair, given or [])}


def pair(text: str) -> tuple[str, str]:
    """Split NAME=VALUE. Raises: typer.BadParameter."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{text}' is not NAME=VALUE")
    return name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
