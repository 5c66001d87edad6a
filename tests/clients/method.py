"""What every AMQP method class has in common: its wire form follows from its annotated fields.

`methods.py` and `methods_basic.py` hold the table of methods, one class each. A field annotated `Bit`,
`ShortString` and so on is an argument; the order of fields is the order on the wire.
A `Request` names its reply.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import cache
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    TypeAlias,
    TypeVar,
    dataclass_transform,
    get_args,
    get_type_hints,
)

from tests.clients.codec import (
    BODY,
    HEADER,
    METHOD,
    Properties,
    Reader,
    content_header,
    encode_table,
    frame,
    long_string,
    short_string,
)

U8: TypeAlias = Annotated[int, ">B"]
U16: TypeAlias = Annotated[int, ">H"]
U32: TypeAlias = Annotated[int, ">I"]
U64: TypeAlias = Annotated[int, ">Q"]
Bit: TypeAlias = Annotated[bool, "bit"]
ShortString: TypeAlias = Annotated[str, "short"]
LongString: TypeAlias = Annotated[bytes, "long"]
FieldTable: TypeAlias = Annotated[dict[str, Any], "table"]

BY_INDEX: dict[tuple[int, int], type[Method]] = {}


@dataclass_transform(kw_only_default=True)
class Method:
    """One AMQP method with named arguments; `index` is its class id and method id."""

    index: ClassVar[tuple[int, int]] = (0, 0)

    def __init_subclass__(cls, index: tuple[int, int] | None = None) -> None:
        super().__init_subclass__()
        dataclass(kw_only=True)(cls)
        if index is not None:
            cls.index = index
            BY_INDEX[index] = cls

    def payload(self) -> bytes:
        """Return the payload of the method frame."""
        out = struct.pack(">HH", *self.index)
        bits: list[bool] = []
        for name, kind in _arguments(self.index):
            value = getattr(self, name)
            if kind == "bit":
                bits.append(value)
                continue
            out += _pack(bits) + _encode(kind, value)
            bits = []
        return out + _pack(bits)

    def frames(self, channel: int, frame_max: int) -> bytes:
        """Return all frames that say this method on a channel."""
        return frame(METHOD, channel, self.payload())


class ContentMethod(Method):
    """A method that is followed by a content header and a body."""

    body: bytes = b""
    properties: Properties = field(default_factory=Properties)

    def frames(self, channel: int, frame_max: int) -> bytes:
        """Return method, header and as many body frames as the body needs."""
        step = (frame_max or 1 << 30) - 8
        header = frame(HEADER, channel, content_header(len(self.body), self.properties))
        pieces = [frame(BODY, channel, self.body[i : i + step]) for i in range(0, len(self.body), step)]
        return super().frames(channel, frame_max) + header + b"".join(pieces)


Reply = TypeVar("Reply", bound=Method)


class Request(Method, Generic[Reply]):
    """A method that is answered by one particular other method."""

    @classmethod
    def reply(cls) -> type[Reply]:
        """Return the class of the answer."""
        found: type[Reply] = get_args(cls.__orig_bases__[0])[0]  # type: ignore[attr-defined]
        return found


def decode_method(payload: bytes) -> Method:
    """Read a method frame's payload; every byte must be used."""
    reader = Reader(payload)
    kind = BY_INDEX[reader.number(">H"), reader.number(">H")]
    found: dict[str, Any] = {}
    octet, used = 0, 8
    for name, wire in _arguments(kind.index):
        if wire != "bit":
            used = 8
            found[name] = _decode(wire, reader)
            continue
        if used == 8:
            octet, used = reader.number(">B"), 0
        found[name] = bool(octet >> used & 1)
        used += 1
    assert reader.left == 0, f"{reader.left} bytes too many in {kind.__name__}"
    return kind(**found)


@cache
def _arguments(index: tuple[int, int]) -> list[tuple[str, str]]:
    hints = get_type_hints(BY_INDEX[index], include_extras=True)
    return [(name, hint.__metadata__[0]) for name, hint in hints.items() if hasattr(hint, "__metadata__")]


def _pack(bits: list[bool]) -> bytes:
    return bytes([sum(1 << i for i, bit in enumerate(bits) if bit)]) if bits else b""


def _encode(kind: str, value: Any) -> bytes:
    match kind:
        case "short":
            return short_string(value)
        case "long":
            return long_string(value)
        case "table":
            return encode_table(value)
    return struct.pack(kind, value)


def _decode(kind: str, reader: Reader) -> Any:
    match kind:
        case "short":
            return reader.short_string()
        case "long":
            return reader.long_string()
        case "table":
            return reader.table()
    return reader.number(kind)
