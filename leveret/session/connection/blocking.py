"""Blocking: a connection that is not read because of an alarm. See core/turn/alarms.py for the rule.

A connection is blocked when it sends content while an alarm is raised; the data of that read is still handled. If the
client supports connection.blocked, it is notified once, with the first reason, and again when all reasons have ended.
Both frames are sent ahead of replies that wait for the disk.
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
        """The client has sent content while an alarm is raised. is_little: only a little content.

        A client that sends little is blocked by memory and disk alarms, but not by the backlog of the log or of dead
        letters.
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
        """Notify the client of changes, and unblock it when no alarm is raised."""
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
        """Close the connection with an internal error."""
        if self._connection is not None:
            self._connection.fail(doing, error)

    def stop(self) -> None:
        """End the blocking, or the connection ends: then the broker must read the answer to connection.close."""
        connection = self._connection
        if connection is not None and connection.is_blocked:
            connection.is_blocked = False
            connection.broker.alarms.release(self)

    def forget(self) -> None:
        """The connection has ended: drop the reference to it."""
        self._connection = None

    @staticmethod
    def _say(connection: Life, method: Method) -> None:
        writer = FrameWriter()
        writer.method(0, method)
        connection.send_urgent(writer.take())
