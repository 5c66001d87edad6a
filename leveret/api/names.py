"""Checks names and arguments in bodies and paths."""

from __future__ import annotations

from typing import Any

from leveret.api.errors import bad_request
from leveret.management.arguments import BadArgument, from_json
from leveret.wire.fields import Table

MAX_NAME = 255  # bytes


def check_name(kind: str, name: str) -> None:
    """Refuse a name that is too long or not UTF-8. Raises: ApiError 400."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise bad_request(f"the name of the {kind} is not valid UTF-8") from None
    if size > MAX_NAME:
        raise bad_request(f"{kind} should be less than {MAX_NAME} bytes, actually was {size}\n")


def arguments_of(given: dict[str, Any] | list[Any]) -> Table:
    """Arguments from JSON. Some clients send an empty list for an empty object. Raises: ApiError 400."""
    if isinstance(given, list):
        if given:
            raise bad_request("arguments: an object is expected, not a list")
        return {}
    try:
        return from_json(given)
    except BadArgument as error:
        raise bad_request(f"arguments{error.path}: {error.reason}") from None
