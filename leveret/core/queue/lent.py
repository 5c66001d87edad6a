"""Lent: deliveries to somebody who holds no objects of the core, and names them by token: queue id and position.

Whoever lives behind a pipe, on another node or in another language keeps the two numbers of each delivery, and settles
it with them. What is lent is held here, on the side of the queue.
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
    """Who gets them."""

    @abstractmethod
    def lend(self, tag: str, queue_id: int, position: int, message: Message, redelivered: bool) -> None:
        """Send a message. tag: of its consumer. With no_ack it is not to be settled."""

    @abstractmethod
    def can_take(self) -> bool:
        """Whether there is room on the way; Lent.wake() is called when there is again."""

    @abstractmethod
    def cancelled(self, tag: str) -> None:
        """The queue is gone, and the consumer with it."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """One of the calls above has failed: the way is to be closed, later, with end()."""


class Lent(Subscriber):
    """What one borrower has. It subscribes for as many consumers as it likes."""

    def __init__(self, turn: Turn, borrower: Borrower) -> None:
        self._borrower = borrower
        self._shared = SharedPrefetch(turn)
        self._consumers: dict[Consumer, None] = {}
        self._entries: dict[tuple[int, int], QueueEntry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def subscribe(self, queue: Queue, tag: str, prefetch: int, no_ack: bool = False, priority: int = 0) -> None:
        """Begin to lend what a queue has. prefetch: messages that may be lent at once; 0 for any number."""
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
        """Whether there is room on the way."""
        return self._borrower.can_take()

    def cancelled(self, consumer: Consumer) -> None:
        """The queue is gone, and what was lent of it with it."""
        self._consumers.pop(consumer, None)
        self._borrower.cancelled(consumer.tag)

    def fail(self, doing: str, error: Exception) -> None:
        """The borrower could not be reached."""
        self._borrower.fail(doing, error)

    def settle(self, queue_id: int, position: int) -> bool:
        """A message is done with. Returns: whether it was lent; if not, nothing happens."""
        entry = self._entries.pop((queue_id, position), None)
        if entry is not None:
            entry.queue.settle(entry)
        return entry is not None

    def requeue(self, queue_id: int, position: int, failed: bool) -> bool:
        """A message goes back to its place. failed: it counts for the delivery limit. Returns: as settle()."""
        entry = self._entries.pop((queue_id, position), None)
        if entry is not None:
            entry.queue.requeue(entry, failed)
        return entry is not None

    def discard(self, queue_id: int, position: int) -> bool:
        """A message is rejected. Returns: as settle()."""
        entry = self._entries.pop((queue_id, position), None)
        if entry is not None:
            entry.queue.discard(entry)
        return entry is not None

    def wake(self) -> None:
        """There may be room on the way again."""
        for consumer in list(self._consumers):
            if consumer.active and consumer.parked:
                consumer.queue.wake(consumer)

    def end(self) -> None:
        """The way is closed: consumers end, and what was lent goes back to its places."""
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
