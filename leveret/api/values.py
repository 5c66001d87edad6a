"""Truths and numbers, which clients may send as text. Source: rabbit_mgmt_util.erl parse_bool, parse_int."""

from __future__ import annotations

import re
from typing import Literal

from leveret.api.errors import bad_request

Truth = bool | Literal["true", "false"]
Whole = int | float | str
"""7, or "7"; of 7.9 there remain 7."""

DIGITS = re.compile(r"[+-]?[0-9]{1,18}")


def is_true(value: Truth) -> bool:
    """Whether it says yes."""
    return value is True or value == "true"


def whole(name: str, value: Whole) -> int:
    """The number. name: what an error calls it. Raises: ApiError 400."""
    if isinstance(value, str) and DIGITS.fullmatch(value) is None:
        raise bad_request(f"{name}: '{value[:40]}' is no whole number")
    return int(value)
