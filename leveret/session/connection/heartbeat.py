"""Heartbeat: sends heartbeats, and detects a dead client.

The broker sends a heartbeat when it has sent nothing for half the interval. It ends the connection when two checks in a
row, one interval apart, find that nothing was received. Source: rabbit_heartbeat.erl.
"""

from __future__ import annotations

from typing import Final

from leveret.core.client.conversation import RESET
from leveret.core.turn.clock import Timed, Timer
from leveret.session.connection.life import Life
from leveret.wire.writer import HEARTBEAT

SEND: Final = 1  # timer tokens
CHECK: Final = 2


class Heartbeat(Timed):
    """Of one connection. sent_ms: time of the last output; has_received: whether input came since the last check."""

    __slots__ = ("_check", "_connection", "_idle_checks", "_interval_ms", "_send", "has_received", "sent_ms")

    def __init__(self, connection: Life) -> None:
        self._connection: Life | None = connection
        self._interval_ms = 0
        self._idle_checks = 0
        self._send: Timer | None = None
        self._check: Timer | None = None
        self.sent_ms = 0
        self.has_received = False

    def start(self, interval_s: int) -> None:
        """Begin with the client's interval; 0 for no heartbeats."""
        if interval_s and self._connection is not None:
            self._interval_ms = interval_s * 1000
            broker = self._connection.broker
            self._send = broker.timers.call_at(broker.clock.now_ms + self._interval_ms // 2, self, SEND)
            self._check = broker.timers.call_at(broker.clock.now_ms + self._interval_ms, self, CHECK)

    def stop(self) -> None:
        """The connection has ended: cancel the timers, drop the reference to it."""
        if self._connection is not None:
            timers = self._connection.broker.timers
            timers.cancel(self._send)
            timers.cancel(self._check)
            self._connection = None

    def fail(self, doing: str, error: Exception) -> None:
        """Close the connection with an internal error."""
        if self._connection is not None:
            self._connection.fail(doing, error)

    def on_timer(self, token: int) -> None:
        """Send a heartbeat, or check for input."""
        connection = self._connection
        if connection is None:
            return
        if token == SEND:
            self._show_life(connection)
        else:
            self._look_for_life(connection)

    def _show_life(self, connection: Life) -> None:
        now_ms = connection.broker.clock.now_ms
        due_ms = self.sent_ms + self._interval_ms // 2
        if due_ms <= now_ms:
            connection.send_urgent(HEARTBEAT)
            due_ms = now_ms + self._interval_ms // 2
        self._send = connection.broker.timers.call_at(due_ms, self, SEND)

    def _look_for_life(self, connection: Life) -> None:
        """End the connection at the second idle check in a row. A check while the broker does not read is not idle."""
        waits_for_us = connection.is_in_flow or connection.is_blocked
        self._idle_checks = 0 if self.has_received or waits_for_us else self._idle_checks + 1
        self.has_received = False
        if self._idle_checks >= 2:
            connection.finish(f"missed heartbeats from client, timeout: {self._interval_ms // 1000}s", RESET)
        else:
            broker = connection.broker
            self._check = broker.timers.call_at(broker.clock.now_ms + self._interval_ms, self, CHECK)
