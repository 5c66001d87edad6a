"""Duplicates: the messages that a queue holds, so that it takes the same message only once (deduplicate-by).

Messages are the same if they have the same value in a header, or the same message-id, as long as the queue holds
the first one; messages without a value always pass. A duplicate is dropped, and confirmed when the first message is
safe. Source: rabbit_message_deduplication_queue.ex of the community plugin, for the argument x-message-deduplication.
"""

from __future__ import annotations

from typing import cast

from mypy_extensions import i64

from leveret.core.message.confirm import Confirm
from leveret.core.message.hashing import identity, shortened
from leveret.core.message.message import Message
from leveret.core.message.schedule import Schedule
from leveret.core.policy.arguments import MESSAGE_ID
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.pending_confirms import PendingConfirms
from leveret.core.queue.ready import Ready
from leveret.wire import patch
from leveret.wire.properties import BasicProperties


class Duplicates:
    """The values of one queue. by: the header that identifies messages, or MESSAGE_ID; empty when turned off again."""

    __slots__ = ("_claimed", "_echoes", "_header", "_held", "_purged", "_values", "by")

    def __init__(self) -> None:
        self.by = ""
        self._header = b""
        self._held: dict[bytes, int] = {}  # position by value
        self._values: dict[int, bytes] = {}  # value by position
        self._claimed = 0  # position of the incoming message, if it was claimed
        self._purged: list[Ready] = []  # purged lines that are not discarded completely
        self._echoes: dict[int, list[Confirm]] = {}  # confirms of duplicates, by position of their unsafe originals

    def set(self, by: str) -> None:
        """Identify messages by this from now on; messages already in the queue are not known by it."""
        if by != self.by:
            self.by = by
            self._header = by.encode("utf-8", "surrogateescape")
            self._held = {}
            self._values = {}

    def value(self, message: Message) -> bytes | None:
        """The value of an incoming message; None for one that always passes."""
        self._claimed = 0
        if not self.by:
            return None
        if self.by == MESSAGE_ID:
            found = patch.message_id(message.content)
            return None if found is None else shortened(found)
        field = message.header(self._header)
        return None if field is None else shortened(identity(field))

    def value_in(self, properties: BasicProperties) -> bytes | None:
        """The value of a message with these properties; nothing changes."""
        if self.by == MESSAGE_ID:
            found = properties.message_id
            return None if found is None else shortened(found.encode("utf-8", "surrogateescape"))
        field = properties.headers.get(self.by) if self.by and properties.headers is not None else None
        return None if field is None else shortened(identity(field))

    def knows(self, value: bytes) -> bool:
        """Whether the queue holds a message with this value."""
        return value in self._held and not self._is_purged(self._held[value])

    def claim(self, value: bytes, position: i64) -> None:
        """A message with this value gets this position."""
        self._claimed = int(position)
        self._held[value] = self._claimed
        self._values[self._claimed] = value

    def disclaim(self) -> None:
        """The message of the last value() was not taken."""
        self.release(self._claimed)

    def release(self, position: i64) -> None:
        """The message with this position has left the queue."""
        value = self._values.pop(int(position), None)
        if value is not None and self._held.get(value) == position:
            del self._held[value]

    def purged(self, line: Ready, held: Schedule | None) -> None:
        """These messages are being discarded, and can be published again at once. Cost: a pass over the held ones."""
        if len(line):
            self._purged.append(line)
        for _, entries in held.blocks() if held is not None else ():
            for entry in entries:
                self.release(cast(QueueEntry, entry).position)

    def confirm(self, value: bytes, confirm: Confirm, pending: PendingConfirms) -> None:
        """Confirm a duplicate when its first message is safe; refuse it if that is refused."""
        position = self._held[value]
        if pending.has(position):
            self._echoes.setdefault(position, []).append(confirm)
        else:
            confirm.pay()

    def on_durable(self, position: i64) -> None:
        """All messages up to this position are safe."""
        if self._echoes:
            for held in [each for each in self._echoes if each <= position]:
                for confirm in self._echoes.pop(held):
                    confirm.pay()

    def refuse(self, positions: list[int], how: int) -> None:
        """The messages with these positions are not safe, nor are their duplicates."""
        for position in positions:
            for confirm in self._echoes.pop(position, []):
                confirm.refuse(how)

    def refuse_all(self, how: int) -> None:
        """Refuse all waiting duplicates."""
        self.refuse(list(self._echoes), how)

    def _is_purged(self, position: int) -> bool:
        """Whether the message with this position was purged, but not discarded yet."""
        if not self._purged:
            return False
        self._purged = [line for line in self._purged if len(line)]
        return any(line.pick([position]) for line in self._purged)
