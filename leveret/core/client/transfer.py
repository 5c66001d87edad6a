"""Transfer: moves, copies or deletes selected messages of a queue.

A moved message is always in one of the queues: it is added and removed in one change of the log. It keeps its
properties, exchange and routing key, and its arrival time.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.message.confirm import Confirm, ConfirmListener
from leveret.core.message.destination import Destination, hand_out
from leveret.core.message.message import Message
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue

DONE: Final = 0  # outcome for a message
GONE: Final = 1  # a consumer has it, or it has expired
REFUSED: Final = 2  # a queue did not take it: it stays where it was


class Transfer(ConfirmListener):
    """A transfer from one queue.

    waiting: messages not known to be safe yet. unsafe: copies that could not be written, and are only in memory.
    """

    __slots__ = ("_is_refused", "_is_sending", "_queue", "unsafe", "waiting")

    def __init__(self, queue: Queue) -> None:
        self.waiting = 0
        self.unsafe = 0
        self._queue = queue
        self._is_sending = False
        self._is_refused = False

    def check(self, destination: Destination) -> None:
        """Raises: Refusal UNFIT when messages cannot be moved to a queue, because it has another log."""
        if isinstance(destination, Queue) and destination.log is not self._queue.log:
            text = f"the messages of {destination} are stored in another log; copy them, then delete them"
            raise Refusal(UNFIT, text)

    def delete(self, shown: QueueEntry) -> int:
        """Delete a message that Queue.browse() has shown. Returns: DONE or GONE. Raises: Refusal FAULTY."""
        entry = self._queue.take_out(shown)
        if entry is None:
            return GONE
        self._forget(entry)
        return DONE

    def move(self, shown: QueueEntry, message: Message | None, destinations: list[Destination]) -> int:
        """Move a message that Queue.browse() has shown to these queues. message: a changed copy, or None.

        Returns: DONE, GONE or REFUSED. Raises: Refusal FAULTY. Call check() before.
        """
        queue = self._queue
        entry = queue.take_out(shown)
        if entry is None:
            return GONE
        is_first = queue.detours.deduplicates() and queue in destinations  # else it would be its own duplicate
        log = queue.log
        log.transfer(True)
        try:
            if is_first:
                self._forget(entry)
            if self._send(message if message is not None else entry.message, destinations):
                if not is_first:
                    self._forget(entry)
                return DONE
            if is_first:  # no queue has it: treat it as refused by the log
                entry.log_id = 0
                queue.counters.removed -= 1
            queue.return_unused(entry)
            return REFUSED
        finally:
            log.transfer(False)

    def put_in_front(self, shown: QueueEntry) -> int:
        """Put a message in front of all others of the queue. Returns: DONE, GONE or REFUSED. Raises: Refusal FAULTY."""
        is_there = self._queue.put_in_front(shown)
        if is_there is None:
            return GONE
        return DONE if is_there else REFUSED

    def copy(self, message: Message, destinations: list[Destination]) -> int:
        """Put a copy of a message into these queues. Returns: DONE or REFUSED."""
        return DONE if self._send(message, destinations) else REFUSED

    def _send(self, message: Message, destinations: list[Destination]) -> bool:
        """Send a message. Returns: whether all destinations have taken it."""
        self._is_refused = False
        self._is_sending = True
        self.waiting += 1
        hand_out(message, destinations, Confirm(self, 0, len(destinations)))
        self._is_sending = False
        return not self._is_refused

    def _forget(self, entry: QueueEntry) -> None:
        self._queue.counters.removed += 1
        self._queue.forget(entry)

    def confirmed(self, tag: i64) -> None:
        """A message is safe."""
        self.waiting -= 1

    def refused(self, tag: i64, how: int) -> None:
        """A queue refused a message, within _send(), or could not store it."""
        self.waiting -= 1
        if self._is_sending:
            self._is_refused = True
        else:
            self.unsafe += 1

    def fail(self, doing: str, error: Exception) -> None:
        """Never called: the methods above only count."""
