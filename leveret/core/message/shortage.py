"""Shortage: messages need more memory than the budget allows, and cannot rest.

Publishers wait at once, without being told, since mostly the log needs only a moment. After a second they are told, as
RabbitMQ does it when memory is low, and so is the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.core.turn.alarms import FULL, HELD_MS
from leveret.core.turn.clock import Timed, Timer

if TYPE_CHECKING:
    from leveret.core.broker import Broker


class Shortage(Timed):
    """Of one broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._timer: Timer | None = None

    def begin(self) -> None:
        """There is a shortage, which is told if it lasts."""
        broker = self._broker
        self._timer = broker.timers.call_at(broker.clock.now_ms + HELD_MS, self)

    def end(self) -> None:
        """It is over."""
        broker = self._broker
        broker.timers.cancel(self._timer)
        self._timer = None
        if broker.alarms.set(FULL, False):
            broker.explain("messages need less memory than the budget again; publishers go on")

    def on_timer(self, token: int) -> None:
        """It lasts."""
        broker = self._broker
        self._timer = None
        used, limit = int(broker.budget.used) >> 20, int(broker.budget.limit) >> 20
        broker.alarms.set(FULL, True)
        broker.explain(
            f"messages need {used} MiB of memory, and cannot rest on the disk; the budget is {limit} MiB. "
            "Publishers wait until consumers have taken or acknowledged some"
        )

    def fail(self, doing: str, error: Exception) -> None:
        """Nobody is told."""
        self._broker.faults.own(doing, error)
