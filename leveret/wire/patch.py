"""Patches: change the headers of a content without decoding the others.

The functions skip from header to header by the lengths of the values; they do not enter nested tables and arrays.
Cost: a copy, and some tens of nanoseconds for each header.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from leveret.wire.constants import FRAME_END
from leveret.wire.content import (
    EXPIRATION_FLAG,
    HEADERS_FLAG,
    MESSAGE_ID_FLAG,
    PRIORITY_FLAG,
    PROPERTIES_AT,
    body_start,
    property_at,
    property_flags,
)
from leveret.wire.fields import (
    ARRAY,
    BINARY,
    BOOLEAN,
    DECIMAL,
    FLOAT32,
    FLOAT64,
    INT8,
    INT16,
    INT32,
    INT64,
    INT64_READ_ONLY,
    LONGSTR,
    TABLE,
    TIMESTAMP,
    UINT8,
    UINT16,
    UINT32,
    VOID,
    DecodeError,
    Field,
    decode_table,
)

_LONG_KIND: Final = bytes((INT64,))


def long_value(number: int) -> bytes:
    """An encoded 64-bit integer, as in a table after the name."""
    return _LONG_KIND + number.to_bytes(8, "big", signed=True)


def timestamp_value(seconds: int) -> bytes:
    """An encoded timestamp, as in a table after the name."""
    return bytes((TIMESTAMP,)) + seconds.to_bytes(8, "big")


def text_value(raw: bytes) -> bytes:
    """An encoded text, as in a table after the name."""
    return bytes((LONGSTR,)) + len(raw).to_bytes(4, "big") + raw


def array_value(items: list[bytes]) -> bytes:
    """An encoded array, as in a table after the name. items: encoded values with their types."""
    return _container(ARRAY, items)


def table_value(pairs: list[bytes]) -> bytes:
    """An encoded table, as in a table after the name. pairs: results of pair()."""
    return _container(TABLE, pairs)


def pair(name: bytes, value: bytes) -> bytes:
    """An encoded pair of a name, of at most 255 bytes, and an encoded value."""
    return bytes((len(name),)) + name + value


def _container(kind: int, parts: list[bytes]) -> bytes:
    size = 0
    for part in parts:
        size += len(part)
    return b"".join([bytes((kind,)), size.to_bytes(4, "big"), *parts])


def header_range(content: bytes) -> tuple[i64, i64]:
    """Start and end offset of the pairs in the headers table; an empty range without headers."""
    at = property_at(content, HEADERS_FLAG)
    if not property_flags(content) & HEADERS_FLAG:
        return at, at
    return at + 4, at + 4 + (i64(read_i32_be(content, at)) & 0xFFFFFFFF)


def skip(data: bytes, pos: i64, end: i64) -> i64:
    """The end offset of the value at pos, which begins with its type. Raises: DecodeError for a bad type or length."""
    if pos >= end:
        raise DecodeError("field table is cut short")
    kind: i64 = i64(data[pos])
    size: i64 = 0
    if kind == LONGSTR or kind == BINARY or kind == TABLE or kind == ARRAY:
        if pos + 5 > end:
            raise DecodeError("field table is cut short")
        size = 4 + (i64(read_i32_be(data, pos + 1)) & 0xFFFFFFFF)
    elif kind == INT64 or kind == INT64_READ_ONLY or kind == TIMESTAMP or kind == FLOAT64:
        size = 8
    elif kind == INT32 or kind == UINT32 or kind == FLOAT32:
        size = 4
    elif kind == BOOLEAN or kind == INT8 or kind == UINT8:
        size = 1
    elif kind == INT16 or kind == UINT16:
        size = 2
    elif kind == DECIMAL:
        size = 5
    elif kind != VOID:
        raise DecodeError(f"unknown field type {kind}")
    if pos + 1 + size > end:
        raise DecodeError("field table is cut short")
    return pos + 1 + size


def find(data: bytes, start: i64, end: i64, name: bytes) -> i64:
    """The offset of a name's value in the pairs data[start:end]; -1 if absent. Raises: DecodeError."""
    wanted: i64 = len(name)
    pos = start
    while pos < end:
        size: i64 = i64(data[pos])
        value = pos + 1 + size
        if size == wanted and data[pos + 1 : value] == name:
            skip(data, value, end)
            return value
        pos = skip(data, value, end)
    return -1


def header(content: bytes, name: bytes) -> Field | None:
    """One header, or None if absent. Raises: DecodeError when it, or a header before it, is invalid."""
    start, end = header_range(content)
    at = find(content, start, end, name)
    if at < 0:
        return None
    for field in decode_table(content, at - 1 - len(name), skip(content, at, end)).values():
        return field
    return None


def expiration(content: bytes) -> bytes | None:
    """The property expiration, or None."""
    if not property_flags(content) & EXPIRATION_FLAG:
        return None
    at = property_at(content, EXPIRATION_FLAG)
    return content[at + 1 : at + 1 + i64(content[at])]


def message_id(content: bytes) -> bytes | None:
    """The property message-id, or None."""
    if not property_flags(content) & MESSAGE_ID_FLAG:
        return None
    at = property_at(content, MESSAGE_ID_FLAG)
    return content[at + 1 : at + 1 + i64(content[at])]


def priority(content: bytes) -> i64:
    """The property priority, or 0."""
    return i64(content[property_at(content, PRIORITY_FLAG)]) if property_flags(content) & PRIORITY_FLAG else 0


def replaced(data: bytes, start: i64, end: i64, name: bytes, value: bytes) -> bytes:
    """The pairs data[start:end] with another value for a name, in the same place. Raises: DecodeError."""
    at = find(data, start, end, name)
    if at < 0:
        return data[start:end] + pair(name, value)
    return b"".join([data[start:at], value, data[skip(data, at, end) : end]])


def changed(data: bytes, start: i64, end: i64, changes: dict[bytes, bytes]) -> bytes:
    """The pairs data[start:end] with other values for some names, sorted by name.

    changes: values by name; an empty value removes the name. Of duplicate names, the first one counts.
    Raises: DecodeError when data is not a table.
    """
    names = sorted(changes)
    parts: list[bytes] = []
    next_name: i64 = 0
    copied = start
    pos = start
    last = b""
    while pos < end:
        value = pos + 1 + i64(data[pos])
        behind = skip(data, value, end)
        name = data[pos + 1 : value]
        if (pos > start and name <= last) or data[value] == INT64_READ_ONLY:
            return _sorted(data, start, end, changes)
        while next_name < len(names) and names[next_name] <= name:
            here = names[next_name]
            if copied < pos:
                parts.append(data[copied:pos])
                copied = pos
            if here == name:
                copied = behind
            if changes[here]:
                parts.append(pair(here, changes[here]))
            next_name += 1
        last = name
        pos = behind
    parts.append(data[copied:end])
    for here in names[next_name:]:
        if changes[here]:
            parts.append(pair(here, changes[here]))
    return b"".join(parts)


def _sorted(data: bytes, start: i64, end: i64, changes: dict[bytes, bytes]) -> bytes:
    """As changed(), for pairs in any order."""
    found: dict[bytes, bytes] = {}  # encoded pairs by name
    pos = start
    while pos < end:
        value = pos + 1 + i64(data[pos])
        behind = skip(data, value, end)
        name = data[pos + 1 : value]
        if name not in found:
            if data[value] == INT64_READ_ONLY:
                found[name] = pair(name, _LONG_KIND + data[value + 1 : behind])
            else:
                found[name] = data[pos:behind]
        pos = behind
    for name, raw in changes.items():
        found.pop(name, None)
        if raw:
            found[name] = pair(name, raw)
    return b"".join([found[name] for name in sorted(found)])


def with_headers(content: bytes, pairs: bytes, keeps_expiration: bool) -> bytes:
    """The same content with other headers, and without its expiration unless that is kept."""
    flags = property_flags(content)
    view = memoryview(content)
    at = property_at(content, HEADERS_FLAG)
    behind = at
    if flags & HEADERS_FLAG:
        behind = at + 4 + (i64(read_i32_be(content, at)) & 0xFFFFFFFF)
    stop = body_start(content)
    cut = cut_end = stop - 1
    if flags & EXPIRATION_FLAG and not keeps_expiration:
        cut = property_at(content, EXPIRATION_FLAG)
        cut_end = cut + 1 + i64(content[cut])
        flags ^= EXPIRATION_FLAG
    size: i64 = stop - 1 - 7 - (behind - at) - (cut_end - cut) + 4 + len(pairs)
    return b"".join(
        [
            content[:1],
            b"\0\0",
            int(size).to_bytes(4, "big"),
            content[7:PROPERTIES_AT],
            int(flags | HEADERS_FLAG).to_bytes(2, "big"),
            content[PROPERTIES_AT + 2 : at],
            len(pairs).to_bytes(4, "big"),
            pairs,
            view[behind:cut],
            view[cut_end : stop - 1],
            bytes((FRAME_END,)),
            view[stop:],
        ]
    )
