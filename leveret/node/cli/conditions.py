"""Parse conditions on messages from the command line into those of the HTTP API.

headers.x-tenant=acme     json:$.order.total > 100     body *= timeout     headers.x-trace exists
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

import typer

JSON: Final = "json:"
OPERATORS: Final = {
    "!=": "!=",
    "<=": "<=",
    ">=": ">=",
    "*=": "contains",
    "=": "=",
    "<": "<",
    ">": ">",
    "~": "matches",
}
"""API operators by their spelling. Longer spellings come before their prefixes."""
TEXT_ONLY: Final = ("contains", "matches")
ALONE: Final = re.compile(r"(\S.*)\s+(exists|missing)", re.DOTALL)
DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.ASCII)
SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
SIZE: Final = re.compile(r"(\d+)([kmg]?)b?", re.IGNORECASE | re.ASCII)
BYTES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
MOST: Final = (1 << 53) - 1
HOW: Final = "as in 'headers.x-tenant=acme', 'json:$.order.total>100' or 'headers.x-trace exists'"


def condition(field: str, op: str, value: object = None) -> dict[str, Any]:
    """One condition in the format of the API."""
    return {"field": field, "op": op, "value": value}


def parse(text: str) -> dict[str, Any]:
    """Parse one condition. Raises: typer.BadParameter."""
    at, written = _operator(text)
    if not written:
        alone = ALONE.fullmatch(text.strip())
        if alone is None:
            _refuse(f"'{text}' is not a condition: expected FIELD OPERATOR VALUE, {HOW}")
        return condition(alone[1].rstrip(), alone[2])
    field, value = text[:at].strip(), text[at + len(written) :].strip()
    if not field:
        _refuse(f"'{text}' has no field before {written}: expected a condition {HOW}")
    op = OPERATORS[written]
    if op in TEXT_ONLY:
        return condition(field, op, _unquoted(value))
    return condition(field, op, _value(value))


def _refuse(text: str) -> NoReturn:
    raise typer.BadParameter(text, param_hint="--where")


def _operator(text: str) -> tuple[int, str]:
    """The position and spelling of the first operator; an empty spelling if there is none.

    In a JSON path, text in brackets and a * after a dot belong to the path.
    """
    is_path = text.lstrip().startswith(JSON)
    depth, quote = 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[at - 1] != "\\" else quote
        elif depth and character in "'\"":
            quote = character
        elif is_path and character in "[]":
            depth += 1 if character == "[" else -1
        elif depth <= 0:
            for written in OPERATORS:
                if text.startswith(written, at) and not (written == "*=" and is_path and text[at - 1] == "."):
                    return at, written
    return -1, ""


def _value(text: str) -> object:
    """A JSON number, true, false or null; everything else, and quoted text, is text."""
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _unquoted(text)
    is_plain = found is None or isinstance(found, str | int) or (isinstance(found, float) and abs(found) < float("inf"))
    return found if is_plain else text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _unquoted(text: str) -> str:
    """A text without its surrounding quotes."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == "'" else text


def seconds(text: str, option: str) -> float:
    """Parse a duration such as 90s, 5m or 1h30m. Returns: seconds. Raises: typer.BadParameter."""
    if not DURATION.fullmatch(text):
        raise typer.BadParameter(f"'{text}' is not a duration such as 30s, 5m, 1h or 2d", param_hint=option)
    parts = re.findall(r"([\d.]+)([smhd])", text)
    return min(sum(float(number) * SECONDS[unit] for number, unit in parts), float(MOST))


def size(text: str, option: str) -> int:
    """Parse a number of bytes such as 500, 10k or 2M. Raises: typer.BadParameter."""
    found = SIZE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"'{text}' is not a size such as 500, 10k or 2M", param_hint=option)
    return min(int(found[1][:20]) * BYTES[found[2].lower()], MOST)
