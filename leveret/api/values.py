"""Booleans and numbers that clients may send as text. Source: rabbit_mgmt_util.erl parse_bool, parse_int."""

from __future__ import annotations

import re
from typing import Literal

from leveret.api.errors import bad_request

Truth = bool | Literal["true", "false"]
Whole = int | float | str
"""7 or "7"; 7.9 is truncated to 7."""

DIGITS = re.compile(r"[+-]?[0-9]{1,18}")


def is_true(value: Truth) -> bool:
    """Whether the value is true or "true"."""
    return value is True or value == "true"


def whole(name: str, value: Whole) -> int:
    """The value as an integer. name: its name in errors. Raises: ApiError 400."""
    if isinstance(value, str) and DIGITS.fullmatch(value) is None:
        raise bad_request(f"{name}: '{value[:40]}' is not a whole number")
    return int(value)
