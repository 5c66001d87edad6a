"""JSON of whatever an answer is made of. A name that is no UTF-8 has \\udc80 to \\udcff for bytes that are not."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def encode(value: Any) -> bytes:
    """The JSON of a value."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(plain(value), default=_raw, separators=(",", ":")).encode()


def plain(value: Any) -> Any:
    """A value, in those that JSON has."""
    return msgspec.to_builtins(value)


def _raw(value: Any) -> Any:
    return json.loads(bytes(value))
