"""Parse JSON from files, requests and command arguments, within bounds that keep stored values readable."""

from __future__ import annotations

import json
import math
from typing import Final

from leveret.wire.fields import MAX_DEPTH

TOO_DEEP: Final = f"lists and objects are nested more than {MAX_DEPTH} deep"
MAX_VALUES: Final = 10_000_000  # of one document: more would take gigabytes
TOO_MANY: Final = f"it has more than {MAX_VALUES} values; split it into parts, and apply them one by one"


def read_json(text: str | bytes) -> object:
    """Parse a text. Raises: ValueError with an explanation for its author."""
    if len(text) > MAX_VALUES and values_in(text) > MAX_VALUES:
        raise ValueError(TOO_MANY)
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_number)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "digits" in str(error):  # Python's own text is for programmers
            raise ValueError("a number in it has too many digits") from None
        raise


def values_in(text: str | bytes, start: int = 0, end: int | None = None) -> int:
    """An upper bound of the number of values in a piece of a document; fast, since it parses nothing."""
    if isinstance(text, bytes):
        return text.count(b",", start, end) + text.count(b"[", start, end) + text.count(b"{", start, end)
    return text.count(",", start, end) + text.count("[", start, end) + text.count("{", start, end)


def has_more_values(value: object, most: int) -> bool:
    """Whether a JSON value contains more than most other values."""
    pending = [value]
    count = 0
    while pending:
        inner = _inside(pending.pop())
        count += len(inner)
        if count > most:
            return True
        pending += inner
    return False


def is_too_deep(value: object) -> bool:
    """Whether a JSON value has more levels than a value in a field table may have."""
    containers = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for each in containers:
            inner += _inside(each)
        containers = [each for each in inner if isinstance(each, list | dict)]
        if not containers:
            return False
    return True


def _inside(value: object) -> list[object]:
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is not a number in JSON")


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number
