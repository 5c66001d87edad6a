"""A message and its address."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.wire import content as frames
from leveret.wire import patch
from leveret.wire.fields import DecodeError, Field
from leveret.wire.properties import BasicProperties


class Address:
    """Exchange and routing keys of a publish, shared by all messages with the same ones.

    encoded: exchange and routing_key as short strings, as in basic.deliver.
    copies, hidden: the further routing keys, from the headers CC and BCC.
    user, connection: names of the publisher; empty for messages published before the last start, or by no client.
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
    """An address for a message that does not come from a client."""
    first = exchange.encode("utf-8", "surrogateescape")
    second = routing_key.encode("utf-8", "surrogateescape")
    encoded = bytes((len(first),)) + first + bytes((len(second),)) + second
    return Address(exchange, routing_key, encoded, copies, hidden)


def unreadable(persistent: bool) -> BasicProperties:
    """The properties that the broker needs, for a message whose headers cannot be decoded."""
    properties = BasicProperties()
    properties.delivery_mode = 2 if persistent else None
    return properties


class Provenance:
    """The previous location of a message that another node or a link sent to this broker.

    name: of the node or link, at most 255 bytes. number: the number of the message there, from 0.
    """

    __slots__ = ("name", "number")

    def __init__(self, name: str, number: i64) -> None:
        self.name = name
        self.number: i64 = number


class Message:
    """One message, however many queues it is in; immutable once it is in a queue.

    content: header and body frames as received. persistent: delivery_mode is 2. size: bytes of the body.
    holders: the number of holders in memory, see core/message/budget.py.
    has_died: it is a dead letter, and the broker itself wrote its x-death, not a client. is_counted: likewise, a queue
    wrote its headers x-acquired-count and x-delivery-count.
    arrived_ms: when its first queue took it, by Clock.wall_ms; 0 before that, and when unknown.
    provenance: None for nearly all messages, and for all that clients publish.
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
        """The properties; if their headers cannot be decoded, only those that the broker needs."""
        try:
            return self.properties()
        except DecodeError:
            return unreadable(self.persistent)

    def header(self, name: bytes) -> Field | None:
        """One header; None if it is absent or the table cannot be read. The other headers are not decoded."""
        if not frames.property_flags(self.content) & frames.HEADERS_FLAG:
            return None
        try:
            return patch.header(self.content, name)
        except (DecodeError, IndexError):
            return None

    def message_id(self) -> str:
        """The property message-id; empty if it is absent, cannot be read, or is paged out."""
        if not self.content:
            return ""
        try:
            found = patch.message_id(self.content)
        except IndexError:
            return ""
        return "" if found is None else found.decode("utf-8", "surrogateescape")

    def without_properties(self) -> Message:
        """The message with only the properties that the broker needs."""
        return self.copy(frames.replace_properties(self.content, unreadable(self.persistent).encode()))

    def body(self) -> bytes:
        """The body in one piece."""
        return frames.body(self.content)

    @property
    def is_at_rest(self) -> bool:
        """Whether its content is paged out to the log; then only address, size and persistent are reliable."""
        return not self.content


class Followed(Message):
    """A message that an observer follows, as follower. Copies, and messages from the log, are plain Messages."""

    __slots__ = ("follower",)

    def __init__(self, message: Message, follower: object) -> None:
        super().__init__(message.address, message.content, message.persistent)
        self.follower = follower


def at_rest(message: Message) -> Message:
    """The stub that stays in memory while the content of a message is paged out."""
    found = message.copy(message.content)
    found.content = b""
    return found
