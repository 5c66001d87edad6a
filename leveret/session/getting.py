"""Getting: a basic.get from a queue at whose head more messages have expired than one turn may throw away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.core.errors.amqp import AmqpError
from leveret.core.queue.queue import Queue
from leveret.session.wait import Wait

if TYPE_CHECKING:
    from leveret.session.consuming import Consuming


class Getting(Wait):
    """Throws them away in pieces, and takes what comes then."""

    def __init__(self, consuming: Consuming, queue: Queue, no_ack: bool) -> None:
        self._consuming = consuming
        self._channel = consuming.channel
        self._connection = consuming.connection
        self._queue = queue
        self._no_ack = no_ack
        self._is_over = False

    def work(self) -> bool:
        """Throw some away. Returns: whether the client has its answer, or does not want it any more."""
        if self._is_over or not self._channel.is_open or self._connection.finished:
            self.end(self._connection)
            return True
        try:
            if not self._queue.deleted and not self._queue.clear_head():
                return False
            self._consuming.take(self._queue, self._no_ack)
        except AmqpError as error:
            self._connection.fail_channel(self._channel, error)
        self.end(self._connection)
        return True

    def finish(self) -> None:
        """Take nothing: nobody would get it."""
        self._is_over = True
        self.end(self._connection)

    def fail(self, doing: str, error: Exception) -> None:
        """The connection has failed."""
        self._connection.fail(doing, error)

    def give_up(self) -> None:
        """Whoever waits for it goes on."""
        self.finish()
