"""Lent: deliveries to a remote holder, which identifies them by token: queue id and position.

A holder behind a pipe, on another node or in another language keeps the two numbers of each delivery, and settles it
with them. The entries are held here, on the side of the queue.
"""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import mypyc_attr

from leveret.core.message.message import Message
from leveret.core.queue.consumers import Consumer, Prefetch, SharedPrefetch, Subscriber
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.turn.turn import Turn


@mypyc_attr(allow_interpreted_subclasses=True)
class Borrower:
    """The remote holder."""

    @abstractmethod
    def lend(self, tag: str, queue_id: int, position: int, message: Message, redelivered: bool) -> None:
        """Send a message. tag: of its consumer. With no_ack it is not settled."""

    @abstractmethod
    def can_take(self) -> bool:
        """Whether the connection has room; the borrower calls Lent.wake() when it has room again."""

    @abstractmethod
    def cancelled(self, tag: str) -> None:
        """The queue has ended, and the consumer with it."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed: close the connection later, with end()."""


class Lent(Subscriber):
    """The deliveries of one borrower, for any number of consumers."""

    def __init__(self, turn: Turn, borrower: Borrower) -> None:
        self._borrower = borrower
        self._shared = SharedPrefetch(turn)
        self._consumers: dict[Consumer, None] = {}
        self._entries: dict[tuple[int, int], QueueEntry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def subscribe(self, queue: Queue, tag: str, prefetch: int, no_ack: bool = False, priority: int = 0) -> None:
        """Subscribe to a queue. prefetch: messages that may be lent at once; 0 for any number."""
        window = Prefetch(prefetch)
        consumer = Consumer(self, queue, tag, no_ack, False, priority, {}, window, self._shared)
        self._consumers[consumer] = None
        queue.subscribe(consumer)

    def deliver(self, consumer: Consumer, entry: QueueEntry) -> None:
        """Lend one message."""
        token = (entry.queue.queue_id, int(entry.position))
        if not consumer.no_ack:
            self._entries[token] = entry
        try:
            self._borrower.lend(consumer.tag, token[0], token[1], entry.message, entry.redelivered)
        except Exception:
            self._entries.pop(token, None)  # its queue takes it back
            raise

    def can_take(self) -> bool:
        """Whether the connection has room."""
        return self._borrower.can_take()

    def cancelled(self, consumer: Consumer) -> None:
        """The queue has ended, and its lent messages with it."""
        self._consumers.pop(consumer, None)
        self._borrower.cancelled(consumer.tag)

    def fail(self, doing: str, error: Exception) -> None:
        """The borrower could not be reached."""
        self._borrower.fail(doing, error)

    def settle(self, queue_id: int, position: int) -> bool:
        """Acknowledge a message. Returns: whether it was lent; if not, nothing happens."""
        entry = self._entries.pop((queue_id, position), None)
        if entry is not None:
            entry.queue.settle(entry)
        return entry is not None

    def requeue(self, queue_id: int, position: int, failed: bool) -> bool:
        """Requeue a message at its old place. failed: it counts for the delivery limit. Returns: as settle()."""
        entry = self._entries.pop((queue_id, position), None)
        if entry is not None:
            entry.queue.requeue(entry, failed)
        return entry is not None

    def discard(self, queue_id: int, position: int) -> bool:
        """Reject a message. Returns: as settle()."""
        entry = self._entries.pop((queue_id, position), None)
        if entry is not None:
            entry.queue.discard(entry)
        return entry is not None

    def wake(self) -> None:
        """The connection may have room again."""
        for consumer in list(self._consumers):
            if consumer.active and consumer.parked:
                consumer.queue.wake(consumer)

    def end(self) -> None:
        """The connection is closed: consumers end, and lent messages are requeued at their old places."""
        consumers, self._consumers = self._consumers, {}
        for consumer in consumers:
            if not consumer.queue.deleted:
                consumer.queue.unsubscribe(consumer)
        entries, self._entries = self._entries, {}
        for entry in entries.values():
            entry.queue.pause()
        for entry in entries.values():
            entry.queue.requeue(entry, True)
        for entry in entries.values():
            entry.queue.resume()
