"""A message, and where it was sent."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.wire import content as frames
from leveret.wire import patch
from leveret.wire.fields import DecodeError, Field
from leveret.wire.properties import BasicProperties


class Address:
    """Exchange and routing keys of a publish, shared by all messages that came the same way.

    encoded: exchange and routing_key as short strings, as basic.deliver wants them.
    copies, hidden: the other keys that it was routed on, from the headers CC and BCC.
    user, connection: names of who has published; empty where nobody has since the start, or nobody knows.
    """

    __slots__ = ("connection", "copies", "encoded", "exchange", "hidden", "routing_key", "user")

    def __init__(
        self,
        exchange: str,
        routing_key: str,
        encoded: bytes,
        copies: tuple[str, ...] = (),
        hidden: tuple[str, ...] = (),
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.encoded = encoded
        self.copies = copies
        self.hidden = hidden
        self.user = ""
        self.connection = ""

    @property
    def keys(self) -> list[str]:
        """All keys."""
        return [self.routing_key, *self.copies, *self.hidden]


def address(exchange: str, routing_key: str, copies: tuple[str, ...] = (), hidden: tuple[str, ...] = ()) -> Address:
    """An address for a message that did not come from a client."""
    first = exchange.encode("utf-8", "surrogateescape")
    second = routing_key.encode("utf-8", "surrogateescape")
    encoded = bytes((len(first),)) + first + bytes((len(second),)) + second
    return Address(exchange, routing_key, encoded, copies, hidden)


def unreadable(persistent: bool) -> BasicProperties:
    """What the broker has to know of properties whose table of headers cannot be decoded."""
    properties = BasicProperties()
    properties.delivery_mode = 2 if persistent else None
    return properties


class Provenance:
    """Where a message was before it came to this broker, if another node or a link sent it.

    name: of the node or link, at most 255 bytes. number: which of its messages it is, from 0.
    """

    __slots__ = ("name", "number")

    def __init__(self, name: str, number: i64) -> None:
        self.name = name
        self.number: i64 = number


class Message:
    """One message, however many queues it is in; nothing in it changes once it is in one.

    content: header and body frames as received. persistent: delivery_mode is 2. size: bytes of the body.
    holders: places in which it is held in memory, as core/message/budget.py counts them.
    has_died: it is a dead letter, and its x-death is the broker's own, no client's. is_counted: so are the headers
    x-acquired-count and x-delivery-count in it, which a queue has put there.
    arrived_ms: when its first queue took it, by Clock.wall_ms; 0 before that, and when nobody knows any more.
    provenance: None for nearly all; what a client publishes has none.
    """

    __slots__ = (
        "address",
        "arrived_ms",
        "content",
        "has_died",
        "holders",
        "is_counted",
        "persistent",
        "provenance",
        "size",
    )

    def __init__(self, address: Address, content: bytes, persistent: bool, has_died: bool = False) -> None:
        self.address = address
        self.content = content
        self.persistent = persistent
        self.has_died = has_died
        self.is_counted = False
        self.arrived_ms: i64 = 0
        self.provenance: Provenance | None = None
        self.holders: i64 = 0
        self.size: i64 = frames.body_size(content)

    def copy(self, content: bytes) -> Message:
        """The same message, in the same queue, with other frames."""
        copy = Message(self.address, content, self.persistent, self.has_died)
        copy.arrived_ms = self.arrived_ms
        copy.provenance = self.provenance
        return copy

    def properties(self) -> BasicProperties:
        """The properties, decoded now. Cost: a few microseconds."""
        return BasicProperties.parse(frames.properties(self.content))

    def readable_properties(self) -> BasicProperties:
        """The properties; where their table of headers cannot be decoded, only what the broker has to know of them."""
        try:
            return self.properties()
        except DecodeError:
            return unreadable(self.persistent)

    def header(self, name: bytes) -> Field | None:
        """One header, None without it or where the table cannot be read. The others are not decoded."""
        if not frames.property_flags(self.content) & frames.HEADERS_FLAG:
            return None
        try:
            return patch.header(self.content, name)
        except (DecodeError, IndexError):
            return None

    def message_id(self) -> str:
        """The property message-id; empty without it, and where it cannot be read or is only in the log."""
        if not self.content:
            return ""
        try:
            found = patch.message_id(self.content)
        except IndexError:
            return ""
        return "" if found is None else found.decode("utf-8", "surrogateescape")

    def without_properties(self) -> Message:
        """The message with no properties but what the broker has to know of them."""
        return self.copy(frames.replace_properties(self.content, unreadable(self.persistent).encode()))

    def body(self) -> bytes:
        """The body as one piece."""
        return frames.body(self.content)

    @property
    def is_at_rest(self) -> bool:
        """Whether its content is only in the log; then nothing but address, size and persistent is to be relied on."""
        return not self.content


class Followed(Message):
    """A message that an observer follows. follower: who does. Copies, and those from the log, are ordinary messages."""

    __slots__ = ("follower",)

    def __init__(self, message: Message, follower: object) -> None:
        super().__init__(message.address, message.content, message.persistent)
        self.follower = follower


def at_rest(message: Message) -> Message:
    """What stays of a message in memory while its content is left to the log."""
    found = message.copy(message.content)
    found.content = b""
    return found
