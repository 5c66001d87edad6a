"""Encodes answers as JSON. In names that are not UTF-8, \\udc80 to \\udcff stand for the invalid bytes."""

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
    """A value, converted to the types of JSON."""
    return msgspec.to_builtins(value)


def _raw(value: Any) -> Any:
    return json.loads(bytes(value))
