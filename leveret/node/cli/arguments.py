"""What several commands take: arguments of queues and exchanges, and the examples in their help."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Argument = Annotated[
    list[str] | None,
    typer.Option("--argument", "-a", help="NAME=VALUE of an argument; the value is JSON, else a text. Repeatable."),
]


def examples(*commands: str) -> str:
    """The end of a help text: commands that do something useful. Paragraphs are lines there."""
    return "\n\n".join(["Examples:", *(f"$ leveret {command.replace('[', chr(92) + '[')}" for command in commands)])


def arguments_of(given: list[str] | None) -> dict[str, Any]:
    """Arguments by name."""
    return {name: _value(value) for name, value in map(pair, given or [])}


def pair(text: str) -> tuple[str, str]:
    """NAME=VALUE. Raises: typer.BadParameter."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"'{text}' is not NAME=VALUE")
    return name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
