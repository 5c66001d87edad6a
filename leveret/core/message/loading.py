"""Loading: puts messages into a queue one by one, and counts the results."""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.message.confirm import Confirm, ConfirmListener
from leveret.core.message.destination import Destination, hand_out
from leveret.core.message.message import Message


class Loading(ConfirmListener):
    """Puts messages into one queue.

    stored: number of messages that are safe. unsafe: number of messages that are in memory only, because the log could
    not store them.
    """

    def __init__(self, queue: Destination) -> None:
        self.stored = 0
        self.unsafe = 0
        self._queue = queue
        self._taken = 0
        self._is_publishing = False
        self._is_full = False

    def publish(self, message: Message) -> bool:
        """Put a message into the queue. Returns: whether there was room for it."""
        self._is_full = False
        self._is_publishing = True
        self._taken += 1
        hand_out(message, [self._queue], Confirm(self, 0, 1))
        self._is_publishing = False
        return not self._is_full

    def is_settled(self) -> bool:
        """Whether all results are known."""
        return self.stored + self.unsafe == self._taken

    def confirmed(self, tag: i64) -> None:
        """A message is safe."""
        self.stored += 1

    def refused(self, tag: i64, how: int) -> None:
        """The queue is full, or the log could not store the message. A full queue says so during publish()."""
        if self._is_publishing:
            self._is_full = True
            self._taken -= 1
        else:
            self.unsafe += 1

    def fail(self, doing: str, error: Exception) -> None:
        """Part of ConfirmListener; never called here, because the methods above cannot fail."""
