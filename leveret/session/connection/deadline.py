"""Deadline: time limit of a connection for its handshake, and for the answer to a close."""

from __future__ import annotations

from leveret.core.client.conversation import CLOSE
from leveret.core.turn.clock import Timed, Timer
from leveret.session.connection.life import Life


class Deadline(Timed):
    """The deadline of one connection; at most one is set at a time."""

    __slots__ = ("_connection", "_ending", "_timer", "_why")

    def __init__(self, connection: Life) -> None:
        self._connection: Life | None = connection
        self._timer: Timer | None = None
        self._why = ""
        self._ending = CLOSE

    def set(self, patience_ms: int, why: str, ending: int) -> None:
        """End the connection after patience_ms, unless the deadline is changed or lifted before.

        why: for the log. ending: of its socket, see core/client/conversation.py.
        """
        if self._connection is not None:
            broker = self._connection.broker
            broker.timers.cancel(self._timer)
            self._timer = broker.timers.call_at(broker.clock.now_ms + patience_ms, self)
            self._why = why
            self._ending = ending

    def lift(self) -> None:
        """Cancel the deadline."""
        if self._connection is not None:
            self._connection.broker.timers.cancel(self._timer)

    def stop(self) -> None:
        """The connection has ended: drop the reference to it."""
        self.lift()
        self._connection = None

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error."""
        if self._connection is not None:
            self._connection.fail(doing, error)

    def on_timer(self, token: int) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.finish(self._why, self._ending)
