"""DeduplicatingQueue: a queue (argument x-message-deduplication) that takes the same message only once.

Same is what has the same value in the header x-deduplication-header, as long as the queue holds it; messages without it
always pass. A duplicate is gone, but confirmed.
Source: rabbit_message_deduplication_queue.ex of the community plugin.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.errors.hints import Origin
from leveret.core.message.confirm import AGAIN, UNSAFE, Confirm
from leveret.core.message.hashing import identity, shortened
from leveret.core.message.log import Recovered, Resting
from leveret.core.message.message import Message
from leveret.core.message.refused import DUPLICATE
from leveret.core.queue.entry import Home, QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.queue.ready import Ready
from leveret.core.queue.surroundings import Surroundings
from leveret.wire.fields import Field, Table

DEDUPLICATION: Final = "x-message-deduplication"  # type of an exchange, and argument
HEADER: Final = "x-deduplication-header"
HEADER_NAME: Final = HEADER.encode()


def is_wanted(arguments: Table) -> bool:
    """Whether the argument asks for deduplication."""
    field = arguments.get(DEDUPLICATION)
    return field is not None and field.value is True


class DeduplicatingQueue(Queue):
    """A queue that does not take what it holds already. duplicates: how many it did not take."""

    def __init__(
        self,
        vhost: Home,
        broker: Surroundings,
        name: str,
        queue_id: int,
        durable: bool,
        owner: int,
        auto_delete: bool,
        arguments: Table,
        origin: Origin,
    ) -> None:
        super().__init__(vhost, broker, name, queue_id, durable, owner, auto_delete, arguments, origin)
        self._held: dict[bytes, int] = {}  # position by value
        self._values: dict[int, bytes] = {}  # value by position
        self._purged: list[Ready] = []  # lines of which something is still to be thrown away
        self._echoes: dict[int, list[Confirm]] = {}  # confirms of duplicates, by the position of what is not safe yet
        self.duplicates = 0

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Take a message, unless it is a duplicate."""
        value = _value(message)
        if value is None:
            super().publish(message, confirm)
        elif value in self._held and not self._is_purged(self._held[value]):
            self.duplicates += 1
            self._note_duplicate(message)
            if confirm is not None:
                self._confirm_duplicate(self._held[value], confirm)
        else:
            position = int(self._position) + 1
            self._hold(value, position)
            try:
                super().publish(message, confirm)
            except Exception:
                self._let_go(position)
                raise
            if self._position < position:  # it was refused
                self._let_go(position)

    def _note_duplicate(self, message: Message) -> None:
        """Let it be known who has published what the queue has."""
        entry = self.broker.refused.add(self.vhost.name, message.address, DUPLICATE, self.name, message.size)
        if entry is not None:
            entry.say(DUPLICATE, f"{self} has a message with the same {HEADER}", message)

    def holds_same(self, field: Field) -> bool:
        """Whether it would not take a message with this value, since it holds one."""
        value = shortened(identity(field))
        return value in self._held and not self._is_purged(self._held[value])

    def _confirm_duplicate(self, position: int, confirm: Confirm) -> None:
        """A duplicate is as safe as the message with this position, which may be refused yet."""
        if self._pending.has(position):
            self._echoes.setdefault(position, []).append(confirm)
        else:
            confirm.pay()

    def on_durable(self, position: int) -> None:
        """The log has everything up to this position."""
        super().on_durable(position)
        for held in [each for each in self._echoes if each <= position]:
            for confirm in self._echoes.pop(held):
                confirm.pay()

    def on_refused(self, positions: list[int], again: bool) -> None:
        """The log could not take these; duplicates of them are no safer."""
        super().on_refused(positions, again)
        self._refuse_duplicates(positions, AGAIN if again else UNSAFE)

    def on_lost(self, reason: str) -> None:
        """Another node has the queue from now on."""
        super().on_lost(reason)
        self._refuse_duplicates(list(self._echoes), AGAIN)

    def _refuse_duplicates(self, positions: list[int], how: int) -> None:
        for position in positions:
            for confirm in self._echoes.pop(position, []):
                confirm.refuse(how)

    def restore(self, found: Recovered) -> None:
        """Take a message from the log at start-up."""
        value = _value(found.message)
        if value is not None:
            self._hold(value, found.position)
        super().restore(found)

    def rest(self, found: Resting) -> int:
        """Take messages from the log at start-up: what it holds has to be known."""
        messages = self.log.fetch(self.queue_id, found.positions())
        for message in messages:
            self.restore(message)
        return len(messages)

    def die(self, entry: QueueEntry, reason: str) -> None:
        """A message is given up."""
        self._let_go(int(entry.position))
        super().die(entry, reason)

    def forget(self, entry: QueueEntry) -> None:
        """Nothing has to remember this message any longer."""
        self._let_go(int(entry.position))
        super().forget(entry)

    def purge(self) -> int:
        """Drop everything that is ready; it can be published again at once, whatever is still to be thrown away."""
        for entry in self.retries.items():
            self._let_go(int(entry.position))
        line = self.ready
        count = super().purge()
        if len(line):
            self._purged.append(line)
        return count

    def page_out(self, keep: i64, want: i64) -> None:
        """Nothing: what it holds has to be known."""

    def leave_content(self, entry: QueueEntry) -> bool:
        """Nothing can rest."""
        return True

    def _is_purged(self, position: int) -> bool:
        """Whether the message with this position was purged, and only has not been thrown away yet."""
        if not self._purged:
            return False
        self._purged = [line for line in self._purged if len(line)]
        return any(line.pick([position]) for line in self._purged)

    def _hold(self, value: bytes, position: int) -> None:
        self._held[value] = position
        self._values[position] = value

    def _let_go(self, position: int) -> None:
        value = self._values.pop(position, None)
        if value is not None and self._held.get(value) == position:
            del self._held[value]


def _value(message: Message) -> bytes | None:
    field = message.header(HEADER_NAME)
    return shortened(identity(field)) if field is not None else None
