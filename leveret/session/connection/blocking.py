"""Blocking: one connection that is not read because of an alarm. The rule stands in core/turn/alarms.py.

A connection is blocked by the content that it sends while an alarm is raised: what was read with it is handled yet. If
the client knows connection.blocked, it is told the first reason, once, and the end of all reasons. Both frames go out
before replies that wait for the disk.
"""

from __future__ import annotations

from leveret.core.turn.alarms import Blocked
from leveret.session.connection.life import CLOSING, Life
from leveret.wire.arguments import Method
from leveret.wire.methods import ConnectionBlocked, ConnectionUnblocked
from leveret.wire.writer import FrameWriter


class Blocking(Blocked):
    """Of one connection."""

    __slots__ = ("_connection", "_is_told")

    def __init__(self, connection: Life) -> None:
        self._connection: Life | None = connection
        self._is_told = False

    def block(self, is_little: bool) -> None:
        """The client has sent content while an alarm is raised. is_little: so little that it is no reason to wait.

        Who sends little goes on while those who send much wait for the log, or for dead letters.
        """
        connection = self._connection
        if connection is None or connection.state >= CLOSING or connection.is_blocked:
            return
        if is_little and not connection.broker.alarms.reason():
            return
        connection.is_blocked = True
        connection.broker.alarms.block(self)
        connection.wake()
        self.on_alarms()

    def on_alarms(self) -> None:
        """Tell the client what has changed for it, and let it go on when nothing is raised."""
        connection = self._connection
        if connection is None:
            return
        alarms = connection.broker.alarms
        reason = alarms.reason()
        if reason and not self._is_told and "connection.blocked" in connection.capabilities:
            self._is_told = True
            self._say(connection, ConnectionBlocked(reason))
        elif not reason and self._is_told:
            self._is_told = False
            self._say(connection, ConnectionUnblocked())
        if not alarms.raised:
            self.stop()
            connection.wake()

    def fail(self, doing: str, error: Exception) -> None:
        """The connection has failed."""
        if self._connection is not None:
            self._connection.fail(doing, error)

    def stop(self) -> None:
        """The connection is not blocked any more, or ends: then its answer to connection.close is to be read."""
        connection = self._connection
        if connection is not None and connection.is_blocked:
            connection.is_blocked = False
            connection.broker.alarms.release(self)

    def forget(self) -> None:
        """The connection has ended; nothing may hold on to it."""
        self._connection = None

    @staticmethod
    def _say(connection: Life, method: Method) -> None:
        writer = FrameWriter()
        writer.method(0, method)
        connection.send_urgent(writer.take())
