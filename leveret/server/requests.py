"""Requests and answers of the control socket as JSON, quickly where they are large: all clients wait meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

LARGE = 256 * 1024  # bytes
MANY = 500  # entries


async def read(line: bytes) -> dict[str, Any]:
    """A request. Of a large one, the entries of large arrays are left as they are: a msgspec.Raw for each.

    Lets others have their turn in between. Raises: ValueError.
    """
    if len(line) < LARGE:
        return _object(json.loads(line))
    import msgspec

    try:
        request = {key: _value(raw) for key, raw in _split(line).items() if key != "arguments"}
        await asyncio.sleep(0)
        arguments: dict[str, Any] = {}
        for key, raw in _split(_split(line).get("arguments", msgspec.Raw(b"{}"))).items():
            await asyncio.sleep(0)
            if _is_large(raw, b"{"):
                arguments[key] = await _object_of(raw)
            else:
                arguments[key] = _value(raw)
    except msgspec.DecodeError:
        return _object(json.loads(line))  # it knows better what is wrong, if anything is
    return {**request, "arguments": arguments}


async def write(answer: dict[str, Any]) -> bytes:
    """An answer, without the end of its line. Empties large arrays of its result; others have their turn meanwhile."""
    import msgspec

    result = answer.get("result")
    if isinstance(result, dict):
        for key, value in result.items():
            if isinstance(value, list) and len(value) > MANY:
                result[key] = msgspec.Raw(await _array(value))
    return _encode(answer)


async def _array(entries: list[Any]) -> bytes:
    pieces: list[bytes] = []
    while entries:
        pieces.append(_encode(entries[:MANY])[1:-1])
        del entries[:MANY]
        await asyncio.sleep(0)
    return b"[" + b",".join(pieces) + b"]"


def _encode(value: Any) -> bytes:
    import msgspec

    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # names that are no UTF-8
        return json.dumps(value, default=_value).encode()


async def _object_of(raw: Any) -> dict[str, Any]:
    import msgspec

    content: dict[str, Any] = {}
    for key, value in _split(raw).items():
        await asyncio.sleep(0)
        content[key] = msgspec.json.decode(value, type=list[msgspec.Raw]) if _is_large(value, b"[") else _value(value)
    return content


def _split(text: Any) -> dict[str, Any]:
    import msgspec

    return msgspec.json.decode(text, type=dict[str, msgspec.Raw])


def _is_large(raw: Any, start: bytes) -> bool:
    view = memoryview(raw)
    return len(view) >= LARGE and bytes(view[:1]) == start


def _value(raw: Any) -> Any:
    return json.loads(bytes(raw))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value
