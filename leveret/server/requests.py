"""Requests and answers of the control socket as JSON. Large ones are handled in pieces, between turns of others."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from leveret.core.policy.documents import MAX_VALUES, TOO_MANY, read_json, values_in

LARGE = 256 * 1024  # bytes
MANY = 500  # entries
PIECE = 4 * 1024 * 1024  # bytes
CONTENT = "content"  # the argument that is a definitions file

log = logging.getLogger("leveret.control")


class Request:
    """A request. size: bytes of data that follow its line."""

    def __init__(self, verb: str, arguments: dict[str, object], size: int) -> None:
        self.verb = verb
        self.arguments = arguments
        self.size = size


async def read(line: bytes) -> Request:
    """Decode a request. In a large definitions file, the entries of large arrays stay encoded, each as a msgspec.Raw.

    Yields to the event loop in between. Raises: ValueError with an explanation.
    """
    content = _object(read_json(line)) if len(line) < LARGE else await _read_large(line)
    verb, arguments, size = content.get("verb"), content.get("arguments"), content.get("bytes", 0)
    if not isinstance(verb, str):
        raise ValueError("verb is not a text" if "verb" in content else "there is no verb")
    if not isinstance(arguments, dict) and arguments is not None:
        raise ValueError("arguments is not an object")
    if isinstance(size, bool) or not isinstance(size, int):
        raise ValueError("bytes is not a whole number")
    return Request(verb, arguments or {}, size)


async def read_content(text: bytes) -> dict[str, Any]:
    """Decode a definitions file; in a large one, the entries of large arrays stay encoded, as in read().

    Raises: ValueError.
    """
    if len(text) < LARGE:
        return _object(read_json(text))
    import msgspec

    await _check_values(text)
    try:
        return await _object_of(text)
    except (msgspec.DecodeError, RecursionError):
        return _object(read_json(text))


async def read_arguments(text: bytes) -> dict[str, Any]:
    """Decode only the arguments of a verb, as read() does. Raises: ValueError."""
    if len(text) < LARGE:
        return _object(read_json(text))
    import msgspec

    await _check_values(text)
    try:
        return await _arguments_of(text)
    except (msgspec.DecodeError, RecursionError):
        return _object(read_json(text))


async def _read_large(line: bytes) -> dict[str, Any]:
    import msgspec

    await _check_values(line)
    try:
        request = {key: _value(raw) for key, raw in _split(line).items() if key != "arguments"}
        await asyncio.sleep(0)
        arguments = await _arguments_of(_split(line).get("arguments", msgspec.Raw(b"{}")))
    except (msgspec.DecodeError, RecursionError):
        return _object(read_json(line))  # with better error texts
    return {**request, "arguments": arguments}


async def _check_values(text: bytes) -> None:
    """Check the number of values. Raises: ValueError when there are too many."""
    count = 0
    for start in range(0, len(text), PIECE):
        count += values_in(text, start, start + PIECE)
        if count > MAX_VALUES:
            raise ValueError(TOO_MANY)
        await asyncio.sleep(0)


async def _arguments_of(raw: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for key, value in _split(raw).items():
        await asyncio.sleep(0)
        arguments[key] = await _object_of(value) if key == CONTENT and _is_large(value, b"{") else _value(value)
    return arguments


async def write(answer: dict[str, Any]) -> bytes:
    """Encode an answer without a line end. Empties large arrays of its result; yields to the event loop."""
    try:
        return await _write(answer)
    except Exception:  # the caller waits for an answer
        log.exception("control socket: an answer cannot be written")
        return _encode({"error": "it is done, but the answer cannot be written as JSON; the broker's log says why"})


async def _write(answer: dict[str, Any]) -> bytes:
    import msgspec

    result = answer.get("result")
    if isinstance(result, dict):
        answer = {**answer, "result": msgspec.Raw(await write_object(result))}
    return _encode(answer)


async def write_object(found: dict[str, Any]) -> bytes:
    """Encode an object. Empties its large arrays; yields to the event loop."""
    import msgspec

    for key, value in found.items():
        if isinstance(value, list) and len(value) > MANY:
            found[key] = msgspec.Raw(await _array(value))
    return _encode(found)


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
    except UnicodeEncodeError:  # names that are not UTF-8
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
    return read_json(bytes(raw))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
