"""What is done for a queue in the background, and what sets right that a message could not be given to a consumer."""

from __future__ import annotations

from leveret.core.queue.base import BaseQueue
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.faults import Remedy


class Trim(BackgroundJob):
    """More of a queue has to go from its head than one call may throw away."""

    def __init__(self, queue: BaseQueue) -> None:
        self._queue = queue

    def work(self) -> bool:
        """Let it throw away some more; it begins another trim if that was not all."""
        if not self._queue.deleted:
            self._queue.trim()
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """The queue has failed."""
        self._queue.fail(doing, error)


class Fetching(BackgroundJob):
    """A queue whose consumers would take more: that goes to them a portion at a time, and so does what rests come."""

    def __init__(self, queue: BaseQueue) -> None:
        self._queue = queue

    def work(self) -> bool:
        """Bring the next ones into memory."""
        self._queue.fetch()
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """The queue has failed."""
        self._queue.fail(doing, error)


class Undelivered(Remedy):
    """A message that may not have reached its consumer, whose connection is about to be closed."""

    def __init__(self, consumer: Consumer, entry: QueueEntry) -> None:
        self._consumer = consumer
        self._stored = entry

    def apply(self) -> None:
        """Give it back to its queue, unless the end of its channel has done so."""
        if self._stored.consumer is self._consumer:
            self._stored.queue.requeue(self._stored, False)
