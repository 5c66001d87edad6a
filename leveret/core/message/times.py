"""Times: points in time in headers, in the formats that various programs write.

A number counts seconds since 1970, or milliseconds from MILLISECONDS_FROM on; it may be a string of digits. Any other
string is an ISO 8601 date, in UTC if it has no time zone. A time after the year 9999 is invalid.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from leveret.wire.fields import BINARY, DECIMAL, FLOAT32, FLOAT64, LONGSTR, TIMESTAMP, VOID, Field

MILLISECONDS_FROM: Final = 100_000_000_000  # in seconds the year 5138, in milliseconds 1973
LAST_MS: Final = 253_402_300_799_999  # of the year 9999
LONGEST: Final = 64  # bytes of a text that names a time
UNREADABLE: Final = -1

_DIGITS: Final = re.compile(r"([+-]?[0-9]{1,20})(?:\.([0-9]{1,20}))?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def time_of(field: Field) -> int:
    """The time in a field, in milliseconds since 1970, rounded up.

    Returns: 0 for a time before 1970, and for void; UNREADABLE for a value that is no time.
    """
    value = field.value
    if field.kind == VOID:
        return 0
    if field.is_integer or field.kind == TIMESTAMP:
        assert isinstance(value, int)
        return _of_number(value, 1)
    if field.kind == FLOAT32 or field.kind == FLOAT64:
        assert isinstance(value, float)
        if not -LAST_MS <= value <= LAST_MS:  # this also excludes NaN
            return UNREADABLE
        number, parts = value.as_integer_ratio()
        return _of_number(number, parts)
    if field.kind == DECIMAL:
        assert isinstance(value, tuple)
        scale, unscaled = value
        return _of_number(unscaled, 10**scale)
    if (field.kind == LONGSTR or field.kind == BINARY) and isinstance(value, bytes) and len(value) <= LONGEST:
        return _of_text(value.decode("utf-8", "replace").strip())
    return UNREADABLE


def _of_number(number: int, parts: int) -> int:
    """The time for number/parts, where parts is positive."""
    if abs(number) < MILLISECONDS_FROM * parts:
        number *= 1000
    found = -(-number // parts)
    return UNREADABLE if found > LAST_MS else max(found, 0)


def _of_text(text: str) -> int:
    number = _DIGITS.fullmatch(text)
    if number is not None:
        behind = number[2] or ""
        return _of_number(int(number[1] + behind), 10 ** len(behind))
    try:
        named = datetime.fromisoformat(text)
        if named.tzinfo is None:
            named = named.replace(tzinfo=UTC)
        found = -((_EPOCH - named) // _MILLISECOND)
    except (ValueError, OverflowError):
        return UNREADABLE
    return min(max(found, 0), LAST_MS)
