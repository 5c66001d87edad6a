"""Letters: messages in transit from one broker to the other, with a fingerprint that identifies them.

The fingerprint covers exchange, routing key, properties and body. Two letters with the same fingerprint are
interchangeable; only their number matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from leveret.node.amqp import Got
from leveret.wire import content as frames
from leveret.wire.constants import FRAME_MAX, FRAME_OVERHEAD
from leveret.wire.content import HEADERS_FLAG, make_content, replace_properties
from leveret.wire.fields import BOOLEAN, DecodeError
from leveret.wire.methods import BasicDeliver, BasicGetOk
from leveret.wire.properties import BasicProperties

AGAIN: Final = "x-migrated-again"  # header of possible duplicates
NEW: Final = 0  # claims of a letter: not sent before
SENT: Final = 1  # it was sent before, and may be in the target
THERE: Final = 2  # it is in the target, and was never acknowledged
PRINT_BYTES: Final = 16
COUNTS: Final = ("x-delivery-count", "x-acquired-count")  # headers that a quorum queue adds to redelivered messages
COUNT_NAMES: Final = tuple(name.encode() for name in COUNTS)
FLAG_BYTES: Final = 2
EMPTY: Final = b"\0\0\0\0"  # an empty table
MAX_PROPERTIES: Final = FRAME_MAX - FRAME_OVERHEAD - 12  # bytes that fit into a header frame
_MARK: Final = bytes((len(AGAIN),)) + AGAIN.encode() + bytes((BOOLEAN, 1))


class Letter:
    """One message. tag: delivery tag. content: its frames. print: its fingerprint. claim: NEW, SENT or THERE.

    deliveries: earlier deliveries by a quorum queue. is_marked: it carries the header AGAIN.
    """

    __slots__ = ("claim", "content", "deliveries", "exchange", "is_marked", "key", "print", "redelivered", "tag")

    def __init__(self, got: Got, has_counts: bool) -> None:
        """has_counts: the queue adds its own headers to redelivered messages; they are removed."""
        method = got.method
        assert isinstance(method, BasicDeliver | BasicGetOk)
        self.tag = int(method.delivery_tag)
        self.redelivered = bool(method.redelivered)
        self.exchange = method.exchange
        self.key = method.routing_key
        self.deliveries = 0
        self.content = got.content
        self.is_marked = False
        self.claim = NEW
        if has_counts and self.redelivered:
            self._take_counts()
        self.print = self._print()

    @property
    def size(self) -> int:
        """Size in bytes."""
        return len(self.content)

    @property
    def names_queues(self) -> bool:
        """Whether it has a CC or BCC header, which an exchange would use for routing."""
        properties = frames.properties(self.content)
        return b"\x02CC" in properties or b"\x03BCC" in properties

    def user_id(self) -> str | None:
        """Its property user_id, or None."""
        if not frames.property_flags(self.content) & frames.USER_ID_FLAG:
            return None
        try:
            return BasicProperties.parse(frames.properties(self.content)).user_id
        except DecodeError:
            return None

    def mark(self) -> None:
        """Add the header AGAIN, if it fits."""
        if self.is_marked:
            return
        self.is_marked = True
        properties = marked(frames.properties(self.content))
        if len(properties) <= MAX_PROPERTIES:
            self.content = replace_properties(self.content, properties)

    def _take_counts(self) -> None:
        """Remove the headers that the queue added."""
        raw = frames.properties(self.content)
        if not any(name in raw for name in COUNT_NAMES):
            return
        try:
            properties = BasicProperties.parse(raw)
        except DecodeError:
            return
        headers = properties.headers or {}
        for name in COUNTS:
            field = headers.pop(name, None)
            if name == COUNTS[0] and field is not None and field.is_integer:
                self.deliveries = field.integer
        if not headers:
            properties.headers = None
        self.content = replace_properties(self.content, properties.encode())

    def _print(self) -> bytes:
        print_ = blake2b(digest_size=PRINT_BYTES)
        exchange = self.exchange.encode("utf-8", "surrogateescape")
        key = self.key.encode("utf-8", "surrogateescape")
        print_.update(bytes((len(exchange),)) + exchange + bytes((len(key),)) + key)
        print_.update(_comparable(self.content))
        for piece in _body(self.content):
            print_.update(piece)
        return print_.digest()


def marked(raw: bytes) -> bytes:
    """Properties with the header AGAIN added. All other bytes stay unchanged."""
    flags = int.from_bytes(raw[:FLAG_BYTES], "big")
    at = int(frames.property_at(make_content(raw, b""), HEADERS_FLAG)) - frames.PROPERTIES_AT
    if not flags & HEADERS_FLAG:
        table = len(_MARK).to_bytes(4, "big") + _MARK
        return (flags | HEADERS_FLAG).to_bytes(FLAG_BYTES, "big") + raw[FLAG_BYTES:at] + table + raw[at:]
    size = int.from_bytes(raw[at : at + 4], "big")
    end = at + 4 + size
    if _MARK in raw[at:end]:
        return raw
    return raw[:at] + (size + len(_MARK)).to_bytes(4, "big") + raw[at + 4 : end] + _MARK + raw[end:]


def _body(content: bytes) -> Iterator[memoryview]:
    """The body, frame by frame, without copying."""
    view = memoryview(content)
    at = int(frames.body_start(content))
    while at < len(content):
        size = int.from_bytes(view[at + 3 : at + 7], "big")
        yield view[at + 7 : at + 7 + size]
        at += size + FRAME_OVERHEAD


def _comparable(content: bytes) -> bytes:
    """Properties without an empty header table, as brokers encode missing headers either way."""
    raw = frames.properties(content)
    flags = int(frames.property_flags(content))
    if not flags & HEADERS_FLAG:
        return raw
    at = int(frames.property_at(content, HEADERS_FLAG)) - frames.PROPERTIES_AT
    if raw[at : at + 4] != EMPTY:
        return raw
    return (flags & ~HEADERS_FLAG).to_bytes(FLAG_BYTES, "big") + raw[FLAG_BYTES:at] + raw[at + 4 :]
