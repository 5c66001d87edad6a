"""Deaths: the header x-death of a content, read and extended as bytes.

It has one entry for each queue and reason, and grows with each queue in a chain; entries are not decoded.
Source: mc.erl (record_death, is_death_cycle), mc_amqpl.erl (deaths_to_headers).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from leveret.core.errors.bounds import DEATHS
from leveret.core.message.message import Message
from leveret.wire import patch
from leveret.wire.fields import ARRAY, LONGSTR, TABLE, DecodeError, Table, decode_table

X_DEATH: Final = b"x-death"
REJECTED: Final = b"rejected"
OWN_HEADERS: Final = (b"x-delivery-count", b"x-acquired-count")  # of the queue that the message leaves, see limits.py


class Deaths:
    """The x-death entries of one content. start, end: their byte range; equal when there are none."""

    __slots__ = ("_content", "_seen", "end", "start")

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._seen: set[bytes] | None = None
        self.start: i64 = 0
        self.end: i64 = 0
        start, end = patch.header_range(content)
        at = patch.find(content, start, end, X_DEATH)
        if at >= 0 and content[at] == ARRAY:
            self.start = at + 5
            self.end = patch.skip(content, at, end)

    def of(self, queue: bytes, reason: bytes) -> tuple[i64, i64]:
        """Start and end of the entry for a queue and a reason; both -1 without one. Raises: DecodeError."""
        content = self._content
        pos = self.start
        if not self._may_name(queue):
            return -1, -1
        while pos < self.end:
            behind = patch.skip(content, pos, self.end)
            if (
                content[pos] == TABLE
                and _text(content, pos + 5, behind, b"queue") == queue
                and _text(content, pos + 5, behind, b"reason") == reason
            ):
                return pos, behind
            pos = behind
        return -1, -1

    def is_cycle(self, queue: bytes) -> bool:
        """Whether the message was in this queue before, and has not been rejected since."""
        if self._seen is None:
            if not self._may_name(queue):
                return False
            self._seen = self._since_rejection()
        return queue in self._seen

    def _may_name(self, queue: bytes) -> bool:
        """Whether there may be an entry for this queue: a fast search for its bytes."""
        return self._content.find(patch.pair(b"queue", patch.text_value(queue)), self.start, self.end) >= 0

    def _since_rejection(self) -> set[bytes]:
        """The queues of the entries before the first rejection, or before an unreadable entry."""
        content = self._content
        found: set[bytes] = set()
        pos = self.start
        with suppress(DecodeError, IndexError):  # an import can bring anything
            while pos < self.end:
                behind = patch.skip(content, pos, self.end)
                if content[pos] == TABLE:
                    if _text(content, pos + 5, behind, b"reason") == REJECTED:
                        break
                    found.add(_text(content, pos + 5, behind, b"queue"))
                pos = behind
        return found


def _text(data: bytes, start: i64, end: i64, name: bytes) -> bytes:
    """The text with this name in the pairs data[start:end]; empty when there is none."""
    at = patch.find(data, start, end, name)
    if at < 0 or data[at] != LONGSTR:
        return b""
    return data[at + 5 : at + 5 + i64(read_i32_be(data, at + 1))]


def recorded(message: Message, queue: bytes, reason: bytes, died_s: int) -> bytes:
    """The headers of a message with a new death first, as pairs in the order of their names.

    Ignores an x-death that a client wrote. Raises: DecodeError when the headers cannot be read.
    """
    content = message.content
    where = message.address
    exchange = where.exchange.encode("utf-8", "surrogateescape")
    start, end = patch.header_range(content)
    changes: dict[bytes, bytes] = {}
    if message.is_counted:
        for name in OWN_HEADERS:
            changes[name] = b""
    earlier = Deaths(content) if message.has_died else None
    entries: list[bytes] = []
    if earlier is None or earlier.start == earlier.end:
        entries.append(_first(message, queue, reason, exchange, died_s))
        for about, value in ((b"reason", reason), (b"queue", queue), (b"exchange", exchange)):
            changes[b"x-first-death-" + about] = patch.text_value(value)
    else:
        found, behind = earlier.of(queue, reason)
        if found < 0:
            entries.append(_first(message, queue, reason, exchange, died_s))
            entries.append(content[earlier.start : earlier.end])
        else:
            entries.append(_again(content, found + 5, behind))
            entries.append(content[earlier.start : found])
            entries.append(content[behind : earlier.end])
    changes[X_DEATH] = patch.array_value(entries)
    for about, value in ((b"reason", reason), (b"queue", queue), (b"exchange", exchange)):
        changes[b"x-last-death-" + about] = patch.text_value(value)
    return patch.changed(content, start, end, changes)


def _first(message: Message, queue: bytes, reason: bytes, exchange: bytes, died_s: int) -> bytes:
    """A new entry."""
    pairs: list[bytes] = []
    expiration = patch.expiration(message.content)
    if expiration is not None:
        pairs.append(patch.pair(b"original-expiration", patch.text_value(expiration)))
    where = message.address
    keys = [patch.text_value(key.encode("utf-8", "surrogateescape")) for key in (where.routing_key, *where.copies)]
    pairs.append(patch.pair(b"count", patch.long_value(1)))
    pairs.append(patch.pair(b"reason", patch.text_value(reason)))
    pairs.append(patch.pair(b"queue", patch.text_value(queue)))
    pairs.append(patch.pair(b"time", patch.timestamp_value(died_s)))
    pairs.append(patch.pair(b"exchange", patch.text_value(exchange)))
    pairs.append(patch.pair(b"routing-keys", patch.array_value(keys)))
    return patch.table_value(pairs)


def _again(content: bytes, start: i64, end: i64) -> bytes:
    """The entry with the pairs content[start:end] and its count incremented."""
    at = patch.find(content, start, end, b"count")
    if at < 0:
        return patch.table_value([content[start:end], patch.pair(b"count", patch.long_value(1))])
    behind = patch.skip(content, at, end)
    count: Table = decode_table(content, at - 6, behind)
    more = patch.long_value(DEATHS.nearest(DEATHS.of(count.get("count"), 0) + 1))
    return patch.table_value([content[start:at], more, content[behind:end]])
