"""Fetching: what consumers get next rests in the log, and is brought into memory a piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.core.chores import Chore

if TYPE_CHECKING:
    from leveret.core.queue import Queue


class Fetching(Chore):
    """A queue whose head rests in the log."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def work(self) -> bool:
        """Fetch what rests together there, and let it flow."""
        queue = self._queue
        queue.is_fetching = False
        if not queue.deleted:
            queue.ready.has_head()
            queue.touch()
        return True


def fetch_later(queue: Queue) -> None:
    """Have the head of a queue in memory soon: many queues may want that at once, and it takes milliseconds."""
    if not queue.is_fetching:
        queue.is_fetching = True
        queue.broker.chores.add(Fetching(queue))
