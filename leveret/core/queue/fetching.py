"""Fetching: many messages go to consumers a portion at a time, and so do those come that rest in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.core.turn.background import Chore

if TYPE_CHECKING:
    from leveret.core.queue.queue import Queue


class Fetching(Chore):
    """A queue whose consumers would take more."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def work(self) -> bool:
        """Bring the head into memory, with what rests beside it in the log, and let it flow."""
        queue = self._queue
        queue.is_fetching = False
        if not queue.deleted:
            queue.ready.has_head()
            queue.touch()
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """The queue has failed."""
        self._queue.fail(doing, error)


def fetch_later(queue: Queue) -> None:
    """Go on with a queue soon: many may want that at once, and it takes milliseconds."""
    if not queue.is_fetching:
        queue.is_fetching = True
        queue.broker.chores.add(Fetching(queue))
