"""Shortage: messages need more memory than the budget allows, and cannot be paged out.

Publishers are paused at once, but not notified, since mostly the log needs only a moment. After a second they are
notified, as RabbitMQ does when memory is low, and the operator gets a log line.
"""

from __future__ import annotations

from leveret.core.message.budget import Budget
from leveret.core.turn.alarms import FULL, HELD_MS, Alarms
from leveret.core.turn.clock import Timed, Timer
from leveret.core.turn.turn import Turn


class Shortage(Timed):
    """The shortage of one broker."""

    def __init__(self, turn: Turn, budget: Budget, alarms: Alarms) -> None:
        self._turn = turn
        self._budget = budget
        self._alarms = alarms
        self._timer: Timer | None = None

    def begin(self) -> None:
        """A shortage begins, which is reported if it lasts."""
        self._timer = self._turn.timers.call_at(self._turn.clock.now_ms + HELD_MS, self)

    def end(self) -> None:
        """The shortage is over."""
        self._turn.timers.cancel(self._timer)
        self._timer = None
        if self._alarms.set(FULL, False):
            self._turn.explain("messages need less memory than the budget again; publishers go on")

    def on_timer(self, token: int) -> None:
        """The shortage lasts."""
        self._timer = None
        used, limit = int(self._budget.used) >> 20, int(self._budget.limit) >> 20
        self._alarms.set(FULL, True)
        self._turn.explain(
            f"messages need {used} MiB of memory, and cannot be paged out to the disk; the budget is {limit} MiB. "
            "Publishers wait until consumers have taken or acknowledged some"
        )

    def fail(self, doing: str, error: Exception) -> None:
        """The notification failed."""
        self._turn.faults.own(doing, error)
