"""Background jobs of a queue, and the remedy for a message that could not be delivered."""

from __future__ import annotations

from leveret.core.queue.base import BaseQueue
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.faults import Remedy


class Trim(BackgroundJob):
    """Drops more messages from the head of a queue than one call may drop."""

    def __init__(self, queue: BaseQueue) -> None:
        self._queue = queue

    def work(self) -> bool:
        """Drop some more; the queue starts another Trim if that was not all."""
        if not self._queue.deleted:
            self._queue.trim()
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the queue."""
        self._queue.fail(doing, error)


class Fetching(BackgroundJob):
    """Continues deliveries of a queue: one portion at a time, fetching paged-out messages."""

    def __init__(self, queue: BaseQueue) -> None:
        self._queue = queue

    def work(self) -> bool:
        """Fetch the next messages into memory."""
        self._queue.fetch()
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the queue."""
        self._queue.fail(doing, error)


class Undelivered(Remedy):
    """A message that may not have reached its consumer, whose connection is about to be closed."""

    def __init__(self, consumer: Consumer, entry: QueueEntry) -> None:
        self._consumer = consumer
        self._stored = entry

    def apply(self) -> None:
        """Requeue it, unless the end of its channel has done so."""
        if self._stored.consumer is self._consumer:
            self._stored.queue.requeue(self._stored, False)
