"""Widening: lets a channel use a wider shared window (basic.qos with global) a moment after basic.qos-ok.

RabbitMQ up to 3.13 answers basic.qos before its queues hear of the wider window, so what it lets through comes a
moment after the answer. Celery relies on that: it asks for a window wider by one for each task that has to wait for
its time, and a task that it finds directly behind basic.qos-ok does not make it ask again before it sleeps, often for
seconds, with all other tasks outside the window.
A window that gets narrower does so at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.turn.clock import Timed, Timer

if TYPE_CHECKING:
    from leveret.session.channel import Channel

MOMENT_MS: Final = 5  # enough for Celery to look behind basic.qos-ok, and find nothing


class Widening(Timed):
    """Of one channel."""

    __slots__ = ("_channel", "_limit", "_timer")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._limit = 0
        self._timer: Timer | None = None

    def stop(self) -> None:
        """The channel ends, or its window is set otherwise."""
        self._channel.connection.broker.timers.cancel(self._timer)

    def begin(self, limit: int) -> None:
        """Have the window this wide in a moment."""
        self.stop()
        self._limit = limit
        broker = self._channel.connection.broker
        self._timer = broker.timers.call_at(broker.clock.now_ms + MOMENT_MS, self)

    def fail(self, doing: str, error: Exception) -> None:
        """The connection has failed."""
        self._channel.connection.fail(doing, error)

    def on_timer(self, token: int) -> None:
        """The moment is over."""
        self._channel.consuming.shared.resize(self._limit)
