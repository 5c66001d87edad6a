"""Encoding of messages for the control socket, which exports and imports them.

Messages follow one another; all numbers are big-endian:

    u8 flags: 1 for a dead letter, 2 if it may have been delivered before, 4 and 8 as below
    exchange and routing key as short strings
    u16 number of further keys from the header CC, u16 number of those from BCC, the keys as long strings
    properties and body as long strings
    with flag 4: u64 time of arrival, in ms since 1970
    with flag 8: the provenance, a name as short string and u64 number
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, write_i64_be

from leveret.core.errors.bounds import COUNT as NUMBER
from leveret.core.message.message import Message, Provenance, address
from leveret.wire import content as frames
from leveret.wire.arguments import ArgumentReader
from leveret.wire.constants import FRAME_MAX, FRAME_OVERHEAD
from leveret.wire.fields import DecodeError, write_longstr, write_shortstr, write_u16, write_u32

DEAD: Final = 1  # flags
REDELIVERED: Final = 2
ARRIVED: Final = 4
CAME_FROM: Final = 8
MAX_PROPERTIES: Final = FRAME_MAX - FRAME_OVERHEAD - 12  # bytes that fit into a header frame
MAX_KEYS: Final = 0xFFFF  # of each kind, besides the routing key


class Item:
    """A message in this encoding. properties: as in a content header. copies, hidden: as in an Address.

    arrived_ms, provenance: as in a Message; message() sets no arrival time.
    """

    __slots__ = (
        "arrived_ms",
        "body",
        "copies",
        "exchange",
        "has_died",
        "hidden",
        "properties",
        "provenance",
        "redelivered",
        "routing_key",
    )

    def __init__(
        self,
        exchange: str,
        routing_key: str,
        properties: bytes,
        body: bytes,
        copies: tuple[str, ...] = (),
        hidden: tuple[str, ...] = (),
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.properties = properties
        self.body = body
        self.copies = copies
        self.hidden = hidden
        self.has_died = False
        self.redelivered = False
        self.arrived_ms = 0
        self.provenance: Provenance | None = None

    def message(self) -> Message:
        """The message, with its own frames. Raises: DecodeError when it could not be sent to a client."""
        if len(self.properties) > MAX_PROPERTIES:
            raise DecodeError(f"the properties have {len(self.properties)} bytes; {MAX_PROPERTIES} fit into a frame")
        if len(self.properties) < 2:
            raise DecodeError("properties are cut short")
        content = frames.make_content(self.properties, self.body)
        where = address(self.exchange, self.routing_key, self.copies, self.hidden)
        message = Message(where, content, frames.check_properties(content), self.has_died)
        message.provenance = self.provenance
        return message

    def write(self, out: BytesWriter) -> None:
        """Encode it. Raises: ValueError when a name or a key is too long."""
        self.write_head(out, len(self.body))
        out.write(self.body)
        self.write_end(out)

    def write_head(self, out: BytesWriter, size: int) -> None:
        """Encode the part before the body. size: bytes of the body, which is not accessed.

        Raises: ValueError when a name or a key is too long.
        """
        flags = (DEAD if self.has_died else 0) | (REDELIVERED if self.redelivered else 0)
        flags |= (ARRIVED if self.arrived_ms else 0) | (CAME_FROM if self.provenance is not None else 0)
        out.append(flags)
        write_shortstr(out, self.exchange)
        write_shortstr(out, self.routing_key)
        write_u16(out, len(self.copies))
        write_u16(out, len(self.hidden))
        for keys in (self.copies, self.hidden):
            for key in keys:
                write_longstr(out, key.encode("utf-8", "surrogateescape"))
        write_longstr(out, self.properties)
        write_u32(out, size)

    def write_end(self, out: BytesWriter) -> None:
        """Encode the part after the body. Raises: ValueError when a name is too long."""
        if self.arrived_ms:
            write_i64_be(out, self.arrived_ms)
        if self.provenance is not None:
            write_shortstr(out, self.provenance.name)
            write_i64_be(out, self.provenance.number)


def unframed(message: Message, redelivered: bool) -> Item:
    """The Item of a message."""
    found = bodiless(message, redelivered)
    found.body = message.body()
    return found


def bodiless(message: Message, redelivered: bool) -> Item:
    """The Item of a message, with an empty body."""
    where = message.address
    found = Item(where.exchange, where.routing_key, frames.properties(message.content), b"")
    found.copies, found.hidden = where.copies, where.hidden
    found.has_died = message.has_died
    found.redelivered = redelivered
    found.arrived_ms = int(message.arrived_ms)
    found.provenance = message.provenance
    return found


def encode(found: Item) -> bytes:
    """Encode one message. Raises: ValueError when a name or a key is too long."""
    out = BytesWriter()
    found.write(out)
    return out.getvalue()


class Decoder:
    """Decodes one message after another. most_keys: the limit of keys besides the routing key."""

    __slots__ = ("_most_keys", "_reader")

    def __init__(self, data: bytes, most_keys: int = 2 * MAX_KEYS) -> None:
        self._reader = ArgumentReader(data, 0)
        self._most_keys = most_keys

    def next(self) -> Item | None:
        """The next message; None after the last one. Raises: DecodeError."""
        if self._reader.is_at_end():
            return None
        try:
            return _item(self._reader, self._most_keys)
        except IndexError:
            raise DecodeError("a message is cut short") from None


def decode(data: bytes) -> list[Item]:
    """Decode messages. Raises: DecodeError."""
    decoder = Decoder(data)
    items: list[Item] = []
    while (item := decoder.next()) is not None:
        items.append(item)
    return items


def _item(reader: ArgumentReader, most_keys: int) -> Item:
    flags = reader.u8()
    exchange, routing_key = reader.shortbytes(), reader.shortbytes()
    copies, hidden = reader.u16(), reader.u16()
    if copies + hidden > most_keys:
        raise DecodeError(f"{copies + hidden} further routing keys; the limit is {most_keys}")
    keys: list[str] = []
    while len(keys) < copies + hidden:
        keys.append(reader.longstr().decode("utf-8", "surrogateescape"))
    item = Item(exchange, routing_key, reader.longstr(), reader.longstr())
    item.copies, item.hidden = tuple(keys[:copies]), tuple(keys[copies:])
    item.has_died = flags & DEAD != 0
    item.redelivered = flags & REDELIVERED != 0
    if flags & ARRIVED:
        item.arrived_ms = NUMBER.nearest(reader.u64())
    if flags & CAME_FROM:
        name = reader.shortbytes()
        item.provenance = Provenance(name, NUMBER.nearest(reader.u64()))
    return item
