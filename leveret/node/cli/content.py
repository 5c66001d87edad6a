"""Message bodies and properties from options."""

from __future__ import annotations

import sys
from typing import Any, Final

import typer

from leveret.node.cli.arguments import pair
from leveret.node.cli.output import refuse

NUMBERS: Final = ("delivery_mode", "priority", "timestamp")
PROPERTIES: Final = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
    *NUMBERS,
)


def body_of(text: str | None, file: str | None) -> bytes:
    """The body from a text, a file, or standard input (- or no file). Raises: typer.BadParameter."""
    if text is not None:
        return text.encode("utf-8", "surrogateescape")
    if file is None and sys.stdin.isatty():
        raise typer.BadParameter("no body: give it with --body, --file or on standard input")
    try:
        if file is None or file == "-":
            return sys.stdin.buffer.read()
        with open(file, "rb") as source:
            return source.read()
    except OSError as error:
        refuse(f"cannot read {file}: {error.strerror}")


def properties_of(given: list[str] | None, option: str) -> dict[str, Any]:
    """Parse properties given as NAME=VALUE; headers have their own option. Raises: typer.BadParameter."""
    found: dict[str, Any] = {}
    for name, value in map(pair, given or []):
        if name not in PROPERTIES:
            there_are = f"choose from {', '.join(PROPERTIES)}; set headers with {option.replace('property', 'header')}"
            raise typer.BadParameter(f"'{name}' is not a property: {there_are}", param_hint=option)
        if name in NUMBERS and not value.isdecimal():
            raise typer.BadParameter(f"{name} must be a whole number, not '{value}'", param_hint=option)
        found[name] = int(value) if name in NUMBERS else value
    return found
