"""Field tables, basic properties and frames, written for the tests alone.

Nothing here imports the broker, so that a mistake in its encoder cannot hide behind the same mistake here.
Encoding is deliberately permissive: a test may send what a decent client never would.
Strings go through `surrogateescape`, hence `"\\udcff"` puts the single byte 0xFF on the wire.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = b"\xce"
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

Table: TypeAlias = Mapping[str, Any]

_FIXED = {
    "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "L": ">q",
    "f": ">f", "d": ">d",
}  # fmt: skip


class Frame(NamedTuple):
    """One frame as it was on the wire."""

    type: int
    channel: int
    payload: bytes


class Typed(NamedTuple):
    """A field value with its type tag, where the tag that Python would suggest is not the one wanted."""

    tag: str
    value: Any


class Timestamp(int):
    """Seconds since 1970, field type T."""


def frame(type_: int, channel: int, payload: bytes) -> bytes:
    """Return one whole frame."""
    return struct.pack(">BHI", type_, channel, len(payload)) + payload + FRAME_END


def text(data: bytes) -> str:
    """Decode bytes that should be UTF-8, keeping those that are not."""
    return data.decode("utf-8", "surrogateescape")


def octets(value: str | bytes) -> bytes:
    """Undo `text`."""
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def short_string(value: str | bytes) -> bytes:
    """Encode a string of at most 255 bytes."""
    data = octets(value)
    return struct.pack(">B", len(data)) + data


def long_string(value: str | bytes) -> bytes:
    """Encode a string with a 32-bit length."""
    data = octets(value)
    return struct.pack(">I", len(data)) + data


def encode_table(table: Table) -> bytes:
    """Encode a field table with its length."""
    return long_string(b"".join(short_string(key) + encode_value(value) for key, value in table.items()))


def encode_value(value: Any) -> bytes:
    """Encode one field value with its tag; int becomes I or l, str S, bytes x, float d."""
    tag, value = value if isinstance(value, Typed) else (_natural_tag(value), value)
    head = tag.encode()
    if tag in _FIXED:
        return head + struct.pack(_FIXED[tag], value)
    if tag == "t":
        return head + bytes([bool(value)])
    if tag in "Sx":
        return head + long_string(value)
    if tag == "F":
        return head + encode_table(value)
    if tag == "A":
        return head + long_string(b"".join(map(encode_value, value)))
    if tag == "T":
        return head + struct.pack(">Q", value)
    if tag == "D":
        sign, digits, exponent = Decimal(value).as_tuple()
        assert isinstance(exponent, int)
        assert not sign
        return head + struct.pack(">BI", -exponent, int("".join(map(str, digits))))
    return head + (value or b"")


def _natural_tag(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool | Timestamp):
        return "I" if -(2**31) <= value < 2**31 else "l"
    tags: list[tuple[type, str]] = [
        (bool, "t"), (Timestamp, "T"), (float, "d"), (str, "S"), (bytes, "x"), (Decimal, "D"),
        (list, "A"), (dict, "F"),
    ]  # fmt: skip
    return next((tag for kind, tag in tags if isinstance(value, kind)), "V")


class Reader:
    """Takes typed values from the front of some bytes; `typed` keeps the tag of every field value."""

    def __init__(self, data: bytes, typed: bool = False) -> None:
        self.data = data
        self.typed = typed
        self.at = 0

    @property
    def left(self) -> int:
        """How many bytes were not taken yet."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """Take exactly so many bytes."""
        assert self.left >= size, f"{size} bytes wanted, {self.left} left of {self.data!r}"
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, layout: str) -> Any:
        """Take one number in a `struct` layout."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def short_string(self) -> str:
        """Take a short string."""
        return text(self.take(self.number(">B")))

    def long_string(self) -> bytes:
        """Take a long string."""
        return self.take(self.number(">I"))

    def table(self) -> dict[str, Any]:
        """Take a field table."""
        inner = Reader(self.long_string(), self.typed)
        found = {}
        while inner.left:
            key = inner.short_string()
            found[key] = inner.value()
        return found

    def value(self) -> Any:
        """Take a field value with its tag."""
        tag = chr(self.number(">B"))
        value = self._untagged(tag)
        return Typed(tag, value) if self.typed else value

    def _untagged(self, tag: str) -> Any:
        if tag in _FIXED:
            return self.number(_FIXED[tag])
        match tag:
            case "t":
                return bool(self.number(">B"))
            case "S":
                return text(self.long_string())
            case "x":
                return self.long_string()
            case "T":
                return Timestamp(self.number(">Q"))
            case "F":
                return self.table()
            case "A":
                inner = Reader(self.long_string(), self.typed)
                found = []
                while inner.left:
                    found.append(inner.value())
                return found
            case "D":
                scale = self.number(">B")
                return Decimal(self.number(">I")).scaleb(-scale)
            case "V":
                return None
        raise AssertionError(f"unknown field type {tag!r}")


@dataclass(kw_only=True)
class Properties:
    """The properties of a message, in wire order; None means absent."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None
    raw: bytes = field(default=b"", compare=False, repr=False)

    def encode(self) -> bytes:
        """Return flags and values."""
        flags, values = 0, b""
        for bit, name in _BITS:
            value = getattr(self, name)
            if value is not None:
                flags |= bit
                values += _encode_property(name, value)
        return struct.pack(">H", flags) + values

    @classmethod
    def decode(cls, data: bytes) -> Properties:
        """Read what `encode` writes; the bytes themselves stay in `raw`."""
        reader = Reader(data)
        flags = reader.number(">H")
        found = {name: _decode_property(name, reader) for bit, name in _BITS if flags & bit}
        assert (reader.left, flags & 3) == (0, 0)
        return cls(**found, raw=data)

    @property
    def typed_headers(self) -> dict[str, Any]:
        """The headers as received, every value with its tag."""
        reader = Reader(self.raw, typed=True)
        flags = reader.number(">H")
        for bit, name in _BITS[:2]:
            if flags & bit:
                _decode_property(name, reader)
        return reader.table()


_BITS = [(1 << (15 - i), f.name) for i, f in enumerate(fields(Properties)) if f.name != "raw"]


def _encode_property(name: str, value: Any) -> bytes:
    if name == "headers":
        return encode_table(value)
    if name in ("delivery_mode", "priority"):
        return struct.pack(">B", value)
    return struct.pack(">Q", value) if name == "timestamp" else short_string(value)


def _decode_property(name: str, reader: Reader) -> Any:
    if name == "headers":
        return reader.table()
    if name in ("delivery_mode", "priority"):
        return reader.number(">B")
    return reader.number(">Q") if name == "timestamp" else reader.short_string()


def content_header(size: int, properties: Properties | bytes, class_id: int = 60, weight: int = 0) -> bytes:
    """Return the payload of a content header frame."""
    encoded = properties if isinstance(properties, bytes) else properties.encode()
    return struct.pack(">HHQ", class_id, weight, size) + encoded
